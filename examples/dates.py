"""Days from 1950 to 2049 in many ways of writing, and as ISO dates: the data of translate.py.

`make_data` gives a training and a test set of ids, and `encode` those of any written date. With
these years a year of two digits means one year only.
"""

import calendar
import datetime
import random
import string

import numpy as np

import tinygrad_like as tg

WRITTEN = tg.data.Vocabulary(string.ascii_letters + string.digits + " ,./-'")
ISO = tg.data.Vocabulary(string.digits + "-")
PADDING = 0  # in a written date, whose characters are 1, 2, ...
LONGEST, LENGTH = 40, len("2017-03-03")


def all_days():
    """Every day from 1950 to 2049."""
    first, end = datetime.date(1950, 1, 1), datetime.date(2050, 1, 1)
    return [first + datetime.timedelta(n) for n in range((end - first).days)]


def ordinal(n):
    """1st, 2nd, 3rd, 4th, ..., 11th, ..., 21st, ..."""
    endings = {1: "st", 2: "nd", 3: "rd"}
    return f"{n}{'th' if n in (11, 12, 13) else endings.get(n % 10, 'th')}"


def in_numbers(date, choose):
    """A date in numbers: 3/4/17, 03.04.2017, 2017-04-03, 20170403."""
    year = choose([f"{date.year}", f"{date:%y}"])
    month = choose([f"{date.month}", f"{date:%m}"])
    day = choose([f"{date.day}", f"{date:%d}"])
    form = choose(["{2}/{1}/{0}", "{2}.{1}.{0}", "{0}-{1}-{2}", ""])
    return form.format(year, month, day) or f"{date.year}{date:%m%d}"


def in_words(date, choose):
    """A date with the name of its month, often that of its weekday, and any case."""
    year = choose([f"{date.year}", f"{date:%y}", f"'{date:%y}"])
    month = choose([calendar.month_name, calendar.month_abbr])[date.month]
    nth = ordinal(date.day)
    day = choose([f"{date.day}", f"{date.day:02}", nth])
    text = choose(
        [
            f"{day} {month} {year}",
            f"{day}-{month}-{year}",
            f"{month} {day} {year}",
            f"{month} {day}, {year}",
            f"{date.year} {month} {day}",
            f"the {nth} of {month}, {year}",
            f"{nth} of {month} {year}",
        ]
    )
    weekday = choose([calendar.day_name, calendar.day_abbr])[date.weekday()]
    text = choose([text, text, f"{weekday} {text}", f"{weekday}, {text}"])
    return choose([str, str, str.lower, str.upper])(text)


def make_pairs(days, count, rng):
    """`count` pairs of a written date and its ISO date, of days in an even mixture."""
    days = [day for _ in range(-(-count // len(days))) for day in rng.sample(days, len(days))]
    forms = [in_numbers, in_words, in_words]
    return [(rng.choice(forms)(day, rng.choice), day.isoformat()) for day in days[:count]]


def encode(text):
    """The ids of a written date: (LONGEST,), padded at the end.

    Raises ValueError for one that is empty or too long, and for characters that are in no date.
    """
    if not 0 < len(text) <= LONGEST:
        raise ValueError(
            f"[translate] the date {text!r} has {len(text)} characters, expected 1 to {LONGEST}"
        )
    return np.pad(1 + WRITTEN.encode(text), (0, LONGEST - len(text)), constant_values=PADDING)


def make_dataset(pairs):
    """Ids of written dates (N, LONGEST), and of ISO dates (N, LENGTH)."""
    written, iso = zip(*pairs, strict=True)
    return tg.data.Dataset(np.stack([*map(encode, written)]), np.stack([*map(ISO.encode, iso)]))


def make_data(args):
    """(training, test) datasets; no day of the test is in the training set."""
    rng = random.Random(args.seed)
    days = all_days()
    rng.shuffle(days)
    cut = len(days) // 10
    return (
        make_dataset(make_pairs(days[cut:], args.examples, rng)),
        make_dataset(make_pairs(days[:cut], args.test_examples, rng)),
    )
