"""Translate dates written in many ways to ISO dates, character by character, with attention.

    python examples/translate.py                       # a transformer
    python examples/translate.py --model lstm          # LSTMs with additive attention
    python examples/translate.py --date "3 March 2017" # by the checkpoint in --out
    python examples/translate.py --resume              # go on after Ctrl-C

It makes its own data: days from 1950 to 2049, so that a year of two digits means one year only.
Numbers with slashes or dots are day, month, year (03/04/17 is 2017-04-03); with dashes, or eight
digits in a row, they are year, month, day (17-04-03 is the same). The days of the test are in no
training pair. Everything it writes lies in `--out`: checkpoint.safetensors and report.png.
"""

import argparse
import calendar
import datetime
import random
import signal
import string
import sys
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

import tinygrad_like as tg
from tinygrad_like import nn

WRITTEN = tg.data.Vocabulary(string.ascii_letters + string.digits + " ,./-'")
ISO = tg.data.Vocabulary(string.digits + "-")
PADDING = 0  # in a written date, whose characters are 1, 2, ...
START = len(ISO)  # stands before the first character of an ISO date
LONGEST, LENGTH = 40, len("2017-03-03")
TASK = "dates"  # by which a checkpoint is known to be of this example
EXAMPLES = ("the 3rd of March, 2017", "03/04/17", "Tue 7 Feb 1984", "NOVEMBER 11TH '09")


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


class RecurrentTranslator(nn.Module):
    """keys = both LSTMs(written), h = LSTM(iso), logits = Dense(tanh(Dense([h, attention]))).

    The decoder starts from zeros: all that it knows of the date comes through the attention.
    """

    def __init__(self, width, layers, dropout):
        self.written = nn.Embedding(1 + len(WRITTEN), width)
        self.iso = nn.Embedding(len(ISO) + 1, width)
        self.encoder = nn.LSTM(width, width // 2, layers, bidirectional=True, dropout=dropout)
        self.decoder = nn.LSTM(width, width, layers, dropout=dropout)
        self.attention = nn.AdditiveAttention(width, width, width)
        self.mix = nn.Dense(2 * width, width)
        self.head = nn.Dense(width, len(ISO))
        self.dropout = nn.Dropout(dropout)

    def encode(self, written):
        """(memory (N, S, width), which of it is no padding (N, S))."""
        seen = written != PADDING
        keys, _ = self.encoder(self.dropout(self.written(written)), lengths=seen.sum(axis=1))
        return keys, seen

    def decode(self, before, memory, seen, state=None):
        """The logits after each of the characters `before`, and the state to go on from."""
        h, state = self.decoder(self.iso(before), state)
        context, _ = self.attention(h, memory, mask=seen[:, None])
        mixed = tg.tanh(self.mix(tg.concatenate([h, context], axis=-1)))
        return self.head(self.dropout(mixed)), state

    def alignment(self, before, memory, seen):
        """Where each step of the decoder looks: (N, T, S)."""
        h, _ = self.decoder(self.iso(before))
        return self.attention(h, memory, mask=seen[:, None])[1]


class TransformerTranslator(nn.Module):
    """logits = Dense(decoder(iso + position, encoder(written + position)))."""

    def __init__(self, width, layers, dropout):
        self.written = nn.Embedding(1 + len(WRITTEN), width)
        self.iso = nn.Embedding(len(ISO) + 1, width)
        self.position = nn.PositionalEncoding(width)
        options = {"dropout": dropout, "activation": "relu"}
        self.encoder = nn.TransformerEncoder(width, 4, 2 * width, layers, **options)
        self.decoder = nn.TransformerDecoder(width, 4, 2 * width, layers, **options)
        self.head = nn.Dense(width, len(ISO))
        self.dropout = nn.Dropout(dropout)

    def encode(self, written):
        """(memory (N, S, width), which of it is no padding (N, S))."""
        seen = written != PADDING
        x = self.dropout(self.position(self.written(written)))
        return self.encoder(x, mask=seen[:, None, None]), seen

    def decode(self, before, memory, seen, state=None):
        """The logits after each of the characters `before`, and the state to go on from."""
        cache = state or nn.KeyValueCache()
        x = self.dropout(self.position(self.iso(before), offset=cache.length))
        x = self.decoder(x, memory, memory_mask=seen[:, None, None], cache=cache)
        return self.head(x), cache

    def alignment(self, before, memory, seen):
        """Where the heads of the last decoder layer look, on average: (N, T, S)."""
        mask = seen[:, None, None]
        x = self.position(self.iso(before))
        *below, last = self.decoder.layers
        for layer in below:
            x = layer(x, memory, memory_mask=mask)
        x = x + last.attention(last.norm1(x), causal=True)
        _, weights = last.cross_attention(last.norm2(x), memory, mask=mask, return_weights=True)
        return weights.mean(axis=1)


MODELS = {"lstm": RecurrentTranslator, "transformer": TransformerTranslator}


def tensors(model, *arrays):
    """Arrays as Tensors beside the weights of a model."""
    return [tg.Tensor(a, device=model.head.weight.device) for a in arrays]


def shorter(written):
    """Written dates without the padding that all of them have."""
    return written[:, : (written != PADDING).sum(axis=1).max()]


def translate(model, written):
    """The likeliest characters, one after the other: ids (N, S) -> (N, LENGTH)."""
    model.eval()
    with tg.no_grad():
        memory = model.encode(*tensors(model, shorter(written)))
        before, state, iso = np.full((len(written), 1), START), None, []
        for _ in range(LENGTH):
            logits, state = model.decode(*tensors(model, before), *memory, state)
            before = logits.numpy().argmax(axis=-1)
            iso.append(before)
    model.train()
    return np.concatenate(iso, axis=1)


def shifted(iso):
    """What stands before each character."""
    return np.pad(iso[:, :-1], ((0, 0), (1, 0)), constant_values=START)


def attempt(write, path):
    """Call `write(path)`, which makes a file; returns whether it could, and says so if not."""
    try:
        write(path)
    except ImportError:
        print("no picture: pip install 'tinygrad-like[examples]' brings matplotlib")
    except OSError as error:  # a full disk, for one: training goes on, an older file stays
        tqdm.write(f"could not write {path}: {error.strerror or error}", file=sys.stderr)
        return False
    return True


class Training:
    """A model in training, and the file that it goes on from after it was stopped."""

    saved = True  # whether the newest checkpoint could be written

    def __init__(self, args):
        self.args = args
        self.epoch, self.losses, self.accuracies = 0, [], []
        train, self.test = make_data(args)
        tg.seed(args.seed)
        self.model = MODELS[args.model](args.width, args.layers, args.dropout).to(args.device)
        self.loader = tg.data.DataLoader(train, args.batch, shuffle=True, seed=args.seed)
        self.optimizer = tg.optim.Adam(self.model.parameters(), args.lr)
        self.schedule = tg.optim.CosineLR(
            self.optimizer, args.epochs * len(self.loader), min_lr=args.lr / 100
        )
        names = "model width layers dropout examples test_examples epochs batch lr clip seed"
        self.checkpoint = tg.io.Checkpoint(
            Path(args.out) / "checkpoint.safetensors",
            {"task": TASK, **{k: getattr(args, k) for k in names.split()}},
            model=self.model,
            optimizer=self.optimizer,
            schedule=self.schedule,
            loader=self.loader,
        )

    def save(self):
        self.saved = attempt(self.keep, self.checkpoint.path)

    def keep(self, _):
        self.checkpoint.save(
            losses=np.array(self.losses, np.float32),
            accuracies=self.accuracies,
            epoch=self.epoch,
        )

    def resume(self):
        progress = self.checkpoint.load()
        self.losses, self.accuracies = progress["losses"].tolist(), progress["accuracies"]
        self.epoch = progress["epoch"]

    def step(self, written, iso):
        """One update with the right characters before each (teacher forcing); returns the loss."""
        written, before, iso = tensors(self.model, shorter(written), shifted(iso), iso)
        logits, _ = self.model.decode(before, *self.model.encode(written))
        loss = tg.losses.cross_entropy(logits, iso)
        self.optimizer.zero_grad()
        loss.backward()
        tg.optim.clip_grad_norm(self.model.parameters(), self.args.clip)
        self.optimizer.step()
        self.schedule.step()
        return loss.item()

    def run(self):
        """Train to the last epoch; returns False if Ctrl-C came first."""
        interrupted = []
        before = signal.signal(signal.SIGINT, lambda *_: interrupted.append(True))
        try:
            while self.epoch < self.args.epochs:
                if not self.run_epoch(interrupted):
                    return False
        finally:
            signal.signal(signal.SIGINT, before)
        return True

    def run_epoch(self, interrupted):
        batches = iter(self.loader)
        done = self.loader.state_dict()["batch"]
        title = f"epoch {self.epoch + 1}/{self.args.epochs}"
        bar = tqdm(batches, title, len(self.loader), initial=done, unit="batch", disable=None)
        start, seen, rate = time.perf_counter(), 0, 0.0
        for written, iso in bar:
            loss = self.step(written, iso)
            if not np.isfinite(loss):
                raise SystemExit(f"the loss is {loss}: lower --lr")
            self.losses.append(loss)
            seen += len(written)
            rate = seen / (time.perf_counter() - start)
            bar.set_postfix_str(f"loss {loss:.4f}, {rate:,.0f} examples/s", refresh=False)
            if interrupted or self.checkpoint.age >= self.args.save_every:
                self.save()
            if interrupted:
                bar.close()
                return False
        self.accuracies.append(self.evaluate())
        self.epoch += 1
        self.save()
        recent = np.mean(self.losses[-len(self.loader) :])
        print(
            f"{title}: loss {recent:.4f}, exact matches on held-out dates "
            f"{self.accuracies[-1]:.2%}, {rate:,.0f} examples/s",
            flush=True,
        )
        return True

    def evaluate(self):
        """The share of the test's dates that are right in every character."""
        right = [
            (translate(self.model, written) == iso).all(axis=1)
            for written, iso in tg.data.DataLoader(self.test, 500)
        ]
        return float(np.concatenate(right).mean())


def draw(training, path):
    """The loss, the accuracy, and where the model looks in a few dates."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 8), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 2))
    axes = left.subplots()
    smooth = max(1, len(training.losses) // 100)
    means = np.convolve(training.losses, np.ones(smooth) / smooth, "valid")
    axes.plot(np.arange(len(means)) + smooth, means, color="tab:blue")
    axes.set(xlabel="step", ylabel="training loss", yscale="log", title=training.args.model)
    twin = axes.twinx()
    ends = (np.arange(len(training.accuracies)) + 1) * len(training.loader)
    twin.plot(ends, training.accuracies, "o-", color="tab:orange")
    twin.set(ylabel="exact matches on held-out dates", ylim=(0, 1.02))
    twin.yaxis.set_major_formatter("{x:.0%}")

    right.suptitle("Attention: from each character of the ISO date (row) to the written date")
    model = training.model
    for text, cell in zip(EXAMPLES, right.subplots(2, 2).flat, strict=True):
        written = encode(text)[None]
        iso = translate(model, written)
        with tg.no_grad():
            memory = model.eval().encode(*tensors(model, shorter(written)))
            weights = model.alignment(*tensors(model, shifted(iso)), *memory).numpy()[0]
        cell.imshow(weights, cmap="Blues", vmin=0, aspect="auto")
        cell.set_xticks(range(len(text)), text)
        cell.set_yticks(range(LENGTH), ISO.decode(iso[0]))
    figure.savefig(path, dpi=100)


def parse(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--model", choices=MODELS, default="transformer")
    add("--width", type=int, default=64, help="a multiple of 4")
    add("--layers", type=int, default=1, help="of the encoder, and of the decoder")
    add("--dropout", type=float, default=0.0)
    add("--examples", type=int, default=40_000, help="pairs to learn from")
    add("--test-examples", type=int, default=2000)
    add("--epochs", type=int, default=5)
    add("--batch", type=int, default=64)
    add("--lr", type=float, default=2e-3)
    add("--clip", type=float, default=1.0, help="largest norm of the gradient")
    add("--seed", type=int, default=0)
    add("--device", default="cpu", help="cpu or cuda")
    add("--date", metavar="TEXT", help="translate TEXT by the checkpoint in --out")
    add("--out", default="runs/translate", help="folder for what it writes")
    add("--save-every", type=float, default=30, help="seconds: what a killed run may lose")
    add("--resume", action="store_true", help="go on from the checkpoint in --out")
    args = parser.parse_args(arguments)
    if args.width < 4 or args.width % 4:
        parser.error(f"--width is {args.width}, expected a multiple of 4: heads and directions")
    for name in ("examples", "test_examples", "epochs"):
        if getattr(args, name) < 1:
            option = name.replace("_", "-")
            parser.error(f"--{option} is {getattr(args, name)}, expected at least 1")
    return args


def translate_one(args):
    """The ISO date of --date by a checkpoint, whatever model it holds."""
    written = encode(args.date)[None]
    path = Path(args.out) / "checkpoint.safetensors"
    state = tg.io.load(path)
    settings = state.get("settings", {})
    if settings.get("task") != TASK:
        raise ValueError(f"[translate] {path} is of another model: it does not translate dates")
    model = MODELS[settings["model"]](settings["width"], settings["layers"], settings["dropout"])
    model.load_state_dict(state["model"])
    return ISO.decode(translate(model.to(args.device), written)[0])


def main():
    args = parse()
    try:
        if args.date is not None:
            print(translate_one(args))
            return 0
        training = Training(args)
        Path(args.out).mkdir(parents=True, exist_ok=True)
        if args.resume:
            training.resume()
    except (ValueError, OSError) as error:  # of what the user gave: the message says it all
        raise SystemExit(str(error)) from None
    print(training.model.summary())
    if not training.run():
        path = training.checkpoint.path
        print(f"stopped; go on with --resume (state in {path})" if training.saved else "stopped")
        return 130
    picture = Path(args.out) / "report.png"
    written = [training.saved, attempt(lambda path: draw(training, path), picture)]
    what = "everything is" if all(written) else "what could be written is"
    print(f"exact matches on held-out dates {training.accuracies[-1]:.2%}; {what} in {args.out}")
    return 0 if all(written) else 1


if __name__ == "__main__":
    sys.exit(main())
