"""examples/translate.py: its dates are right, it runs and resumes, and says what is wrong."""

import datetime
import importlib
import random
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ctrl_c import needs_ctrl_c, stop_by_ctrl_c

import tinygrad_like as tg

pytestmark = pytest.mark.long

EXAMPLE = Path(__file__).parents[2] / "examples" / "translate.py"
SMALL = ("--width", "16", "--examples", "640", "--test-examples", "50", "--epochs", "2")
SMALL += ("--batch", "8", "--dropout", "0.1", "--lr", "1e-2")


@pytest.fixture(scope="module")
def example():
    """The example as a module, beside its data."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLE.parent))
        yield importlib.import_module("translate")


@pytest.fixture(scope="module")
def dates(example):
    return sys.modules["dates"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folders of a short run of both models, with the result of each."""
    folders = {}
    for model in ("lstm", "transformer"):
        out = tmp_path_factory.mktemp(model)
        folders[model] = out, run("--model", model, *SMALL, "--out", str(out))
    return folders


def command(*options):
    return [sys.executable, str(EXAMPLE), *options]


def run(*options):
    return subprocess.run(command(*options), capture_output=True, text=True, timeout=300)


def read(text):
    """The date that a person reads in `text`, by datetime alone."""
    text = re.sub(r"(?<=\d)(st|nd|rd|th)\b", "", text.lower())
    text = re.sub(r"\bthe\b|\bof\b|[,']", "", text)
    weekday, text = re.fullmatch(r"\s*((?:(?:mon|tue|wed|thu|fri|sat|sun)\w*)?)(.*)", text).groups()
    text = " ".join(text.split())
    years = ("%Y", "%y")
    forms = ["%Y%m%d", "%Y %B %d", "%Y %b %d"]
    forms += [f"%d{mark}%m{mark}{y}" for mark in "/." for y in years]
    forms += [f"{y}-%m-%d" for y in years]
    forms += [f"{day_month} {y}" for y in years for day_month in ("%d %b", "%d %B")]
    forms += [f"%d-{month}-{y}" for y in years for month in ("%b", "%B")]
    forms += [f"{month} %d {y}" for y in years for month in ("%b", "%B")]
    found = set()
    for form in forms:
        try:
            date = datetime.datetime.strptime(text, form).date()
        except ValueError:
            continue
        if "%y" in form:  # strptime's 1969 to 2068, as 1950 to 2049
            date = date.replace(year=1950 + (date.year - 1950) % 100)
        if date.year >= 1950:
            found.add(date)
    assert len(found) == 1, f"{text!r} may be {sorted(map(str, found))}"
    date = found.pop()
    assert date.strftime("%A").lower().startswith(weekday), f"{date} is no {weekday}"
    return date.isoformat()


def test_every_written_date_can_be_read_one_way_only_and_is_its_iso_date(dates):
    pairs = dates.make_pairs(dates.all_days(), 5000, random.Random(0))
    wrong = [(written, iso, read(written)) for written, iso in pairs if read(written) != iso]
    assert not wrong, wrong[:5]
    assert all(len(written) <= dates.LONGEST for written, _ in pairs)
    forms = {re.sub(r"[a-z]+", "a", re.sub(r"\d", "0", w.lower())) for w, _ in pairs}
    assert len(forms) > 100, f"there are {len(forms)} ways to write a date"


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        *((1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (12, "12th")),
        *((13, "13th"), (21, "21st"), (22, "22nd"), (23, "23rd"), (30, "30th"), (31, "31st")),
    ],
)
def test_ordinals_are_english(dates, n, expected):
    assert dates.ordinal(n) == expected


def test_no_day_of_the_test_is_in_training(example, dates, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["translate.py", "--examples", "40000"])
    train, test = example.make_data(example.parse())
    days, held_out = ({example.ISO.decode(iso) for iso in part.arrays[1]} for part in (train, test))
    assert (len(train), len(test)) == (40_000, 2000)
    assert not days & held_out
    assert len(days | held_out) > 0.9 * len(dates.all_days())


@pytest.mark.parametrize("model", ["lstm", "transformer"])
def test_characters_one_by_one_are_those_of_the_whole_pass(example, dates, model):
    tg.seed(3)
    translator = example.MODELS[model](16, 2, 0.1)
    written = np.stack([example.encode(text) for text in ("3/4/17", "Tue 7 Feb 1984")])
    iso = example.translate(translator, written)
    translator.eval()
    before, ids = tg.Tensor(example.shifted(iso)), tg.Tensor(written)
    memory = translator.encode(ids)  # with padding that translate() has cut off
    assert (translator.decode(before, *memory)[0].numpy().argmax(axis=-1) == iso).all()
    weights = translator.alignment(before, *memory).numpy()
    assert weights.shape == (2, example.LENGTH, dates.LONGEST)
    np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=1e-5)
    assert weights[0, :, 6:].max() == 0, "a step looks at padding"


@pytest.mark.parametrize("model", ["lstm", "transformer"])
def test_it_trains_draws_and_translates(trained, model):
    out, result = trained[model]
    assert result.returncode == 0, result.stderr
    assert "epoch 2/2: loss" in result.stdout
    assert (out / "report.png").read_bytes().startswith(b"\x89PNG")
    state = tg.io.load(out / "checkpoint.safetensors")
    losses = state["history"]["metrics"]["loss"]["values"]
    assert losses[-20:].mean() < 0.8 * losses[:20].mean(), "it learned nothing"
    result = run("--date", "3 March 2017", "--out", str(out))
    assert re.fullmatch(r"[\d-]{10}\n", result.stdout), result


@needs_ctrl_c
def test_stopped_by_ctrl_c_it_resumes_to_the_same_bytes(trained, tmp_path):
    whole, _ = trained["transformer"]
    options = ("--model", "transformer", *SMALL, "--out", str(tmp_path))
    stop_by_ctrl_c(command(*options), tmp_path / "log", after="epoch 1/2:")
    name = "checkpoint.safetensors"
    assert 80 < tg.io.load(tmp_path / name)["step"] < 160, "it stopped between epochs"

    result = run(*options, "--resume")
    assert result.returncode == 0, result.stderr
    assert (whole / name).read_bytes() == (tmp_path / name).read_bytes()


@pytest.mark.parametrize(
    ("date", "message"),
    [
        ("3 März 2017", "the vocabulary lacks 'ä'"),
        ("", "has 0 characters, expected 1 to 40"),
        ("the very last day of the month of March, 2017", "has 45 characters, expected 1 to 40"),
    ],
)
def test_a_date_that_it_cannot_read_is_refused(trained, date, message):
    result = run("--date", date, "--out", str(trained["lstm"][0]))
    assert result.returncode == 1, result
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_a_checkpoint_of_another_model_is_refused(trained, tmp_path):
    out = str(trained["lstm"][0])
    result = run("--model", "transformer", *SMALL, "--out", out, "--resume")
    assert result.returncode == 1, result
    assert "is of a run with {'model': 'lstm'}, this one has {'model': 'transf" in result.stderr
    result = run("--date", "3 March 2017", "--out", str(tmp_path))
    assert "No such file or directory" in result.stderr
    tg.io.save(tmp_path / "checkpoint.safetensors", {"settings": {"model": "gpt"}})
    for options, message in (
        (("--date", "3 March 2017"), "checkpoint.safetensors is of another model"),
        ((*SMALL, "--resume"), "checkpoint.safetensors is the file of something else"),
    ):
        result = run(*options, "--out", str(tmp_path))
        assert result.returncode == 1, result
        assert message in result.stderr
        assert "Traceback" not in result.stderr


@pytest.mark.parametrize("option", ["--epochs", "--examples", "--test-examples"])
def test_nothing_to_do_is_refused(example, capsys, option):
    with pytest.raises(SystemExit):
        example.parse([option, "0"])
    assert f"error: argument {option}: got 0, expected at least 1" in capsys.readouterr().err


def test_a_loss_that_is_no_number_stops_it(tmp_path):
    result = run(*SMALL, "--lr", "1e30", "--out", str(tmp_path))
    assert result.returncode == 1, result
    assert "the loss is nan: lower the learning rate" in result.stderr
