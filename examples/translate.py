"""Translate dates written in many ways to ISO dates, character by character, with attention.

    python examples/translate.py                       # a transformer
    python examples/translate.py --model lstm          # LSTMs with additive attention
    python examples/translate.py --date "3 March 2017" # by the checkpoint in --out
    python examples/translate.py --resume              # go on after Ctrl-C

It makes its own data: days from 1950 to 2049, so that a year of two digits means one year only.
Numbers with slashes or dots are day, month, year (03/04/17 is 2017-04-03); with dashes, or eight
digits in a row, they are year, month, day (17-04-03 is the same). The days of the test are in no
training pair. Everything it writes lies in `--out`: checkpoint.safetensors, history.jsonl,
report.png.
"""

from functools import partial
from pathlib import Path

import numpy as np
from dates import ISO, LENGTH, PADDING, encode, make_data
from sklearn.metrics import accuracy_score
from translators import MODELS, START

import tinygrad_like as tg
from tinygrad_like.training import at_least, command_line, open_run, panels, run_program

TASK = "dates"  # by which a checkpoint is known to be of this example
EXAMPLES = ("the 3rd of March, 2017", "03/04/17", "Tue 7 Feb 1984", "NOVEMBER 11TH '09")


def shorter(written):
    """Written dates without the padding that all of them have."""
    return tg.Tensor(written[:, : (written != PADDING).sum(axis=1).max()])


def shifted(iso):
    """What stands before each character."""
    return np.pad(iso[:, :-1], ((0, 0), (1, 0)), constant_values=START)


def translate(model, written):
    """The likeliest characters, one after the other: ids (N, S) -> (N, LENGTH)."""
    model.eval()
    with tg.no_grad():
        memory = model.encode(shorter(written))
        before, state, iso = np.full((len(written), 1), START), None, []
        for _ in range(LENGTH):
            logits, state = model.decode(tg.Tensor(before), *memory, state)
            before = logits.numpy().argmax(axis=-1)
            iso.append(before)
    model.train()
    return np.concatenate(iso, axis=1)


def exact_matches(model, test):
    """The share of the test's dates that are right in every character."""
    right, found = [], []
    for written, iso in tg.data.DataLoader(test, 500):
        right += map(ISO.decode, iso)
        found += map(ISO.decode, translate(model, written))
    return accuracy_score(right, found)


def draw_attention(figure, model):
    """Where the model looks in a few dates."""
    figure.suptitle("Attention: from each character of the ISO date (row) to the written date")
    for text, cell in zip(EXAMPLES, figure.subfigures(2, 2).flat, strict=True):
        written = encode(text)[None]
        iso = translate(model, written)
        with tg.no_grad():
            memory = model.eval().encode(shorter(written))
            weights = model.alignment(tg.Tensor(shifted(iso)), *memory).numpy()
        panels.attention(cell, weights[:, None], ISO.decode(iso[0]), text)


def parse(arguments=None):
    parser = command_line(__doc__, out="runs/translate")
    add = parser.add_argument
    add("--model", choices=MODELS, default="transformer")
    add("--width", type=int, default=64, help="a multiple of 4")
    add("--layers", type=int, default=1, help="of the encoder, and of the decoder")
    add("--dropout", type=float, default=0.0)
    add("--examples", type=at_least(1), default=40_000, help="pairs to learn from")
    add("--test-examples", type=at_least(1), default=2000)
    add("--epochs", type=at_least(1), default=5)
    add("--batch", type=int, default=64)
    add("--lr", type=float, default=2e-3)
    add("--clip", type=float, default=1.0, help="largest norm of the gradient")
    add("--date", metavar="TEXT", help="translate TEXT by the checkpoint in --out")
    args = parser.parse_args(arguments)
    if args.width < 4 or args.width % 4:
        parser.error(f"--width is {args.width}, expected a multiple of 4: heads and directions")
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
    return ISO.decode(translate(model, written)[0])


def main():
    args = parse()
    tg.set_device(args.device)
    if args.date is not None:
        print(translate_one(args))
        return 0
    train, test = make_data(args)
    tg.seed(args.seed)
    model = MODELS[args.model](args.width, args.layers, args.dropout)
    loader = tg.data.DataLoader(train, args.batch, shuffle=True, seed=args.seed)
    optimizer = tg.optim.Adam(model.parameters(), args.lr)
    schedule = tg.optim.CosineLR(optimizer, args.epochs * len(loader), min_lr=args.lr / 100)
    parts = {"model": model, "optimizer": optimizer, "schedule": schedule, "loader": loader}
    run = open_run(args, settings={"task": TASK}, may_differ=("date",), **parts)
    print(model.summary())
    for written, iso in run.epochs(loader, args.epochs):
        # The right characters stand before each (teacher forcing).
        before = tg.Tensor(shifted(iso))
        logits, _ = model.decode(before, *model.encode(shorter(written)))
        loss = tg.losses.cross_entropy(logits, tg.Tensor(iso))
        optimizer.zero_grad()
        loss.backward()
        tg.optim.clip_grad_norm(model.parameters(), args.clip)
        optimizer.step()
        schedule.step()
        run.log(loss=loss)
        if run.epoch_ended:
            run.log(exact_matches=exact_matches(model, test))

    matches = run.history["exact_matches"].values[-1]
    run.plot("report.png", partial(draw_attention, model=model), size=(15, 8), widths=(1, 2))
    return run.finish(f"exact matches on held-out dates {matches:.2%}")


if __name__ == "__main__":
    run_program(main)
