"""Tell from a paragraph of a docstring which module of the standard library it documents.

    python examples/classify_text.py                        # a bidirectional LSTM
    python examples/classify_text.py --model transformer
    python examples/classify_text.py --text "Wait until the future is done."
    python examples/classify_text.py --resume               # go on after Ctrl-C

The texts are the docstrings of the Python that runs this: nothing is downloaded. The names of the
modules are taken out of all of them, and the paragraphs of a docstring are all in the training set
or all in the test set, as --seed draws it. A bag of words with logistic regression (scikit-learn)
is the baseline.
Everything it writes lies in `--out`: checkpoint.safetensors, history.jsonl, report.png.
"""

import platform
import time
from pathlib import Path

import numpy as np
from baseline import compare, draw_scores
from classifier import ENCODERS, Classifier
from docstrings import MODULES, UNKNOWN, collect, cut, encode, known_words
from sklearn.metrics import accuracy_score, confusion_matrix

import tinygrad_like as tg
from tinygrad_like.training import at_least, command_line, open_run, panels, run_program


def predict(model, ids):
    """The probability of each class, (N, classes)."""
    return tg.Tensor(tg.training.predict(model, ids)).softmax(axis=1).numpy()


def classify(args):
    """Print what a checkpoint makes of one text, the mean over its pieces, likeliest first."""
    path = Path(args.out) / "checkpoint.safetensors"
    state = tg.io.load(path)
    if state.get("modules") != MODULES:
        raise ValueError(f"[classify] {path} is of another model: it knows no such modules")
    for name, value in state["settings"].items():
        setattr(args, name, value)
    pieces = cut(args.text, args.length)
    if not pieces:
        raise ValueError(f"[classify] the text {args.text!r} has no words, or modules' names only")
    vocabulary = state["vocabulary"]
    model = Classifier(args, len(vocabulary) + 2, len(MODULES))
    model.load_state_dict(state["model"])
    ids = encode(pieces, vocabulary, args.length)
    if (ids <= UNKNOWN).all():
        print("none of its words is in the vocabulary: this says nothing of the text")
    probabilities = predict(model, ids).mean(axis=0)
    for i in np.argsort(-probabilities, kind="stable"):
        bar = "#" * round(40 * float(probabilities[i]))
        print(f"{MODULES[i]:12}{probabilities[i]:7.1%}  {bar}".rstrip())


def parse(arguments=None):
    parser = command_line(__doc__, out="runs/classify_text")
    add = parser.add_argument
    add("--model", choices=ENCODERS, default="lstm")
    add("--layers", type=int, default=1)
    add("--width", type=int, help="128 for lstm, 64 for transformer")
    add("--heads", type=int, default=4, help="of the transformer")
    add("--length", type=int, default=32, help="words in a piece, at most")
    add("--epochs", type=at_least(1), default=16)
    add("--batch", type=int, default=32)
    add("--lr", type=float, help="learning rate: 4e-3 for lstm, 3e-3 for transformer")
    add("--weight-decay", type=float, default=0.1)
    add("--dropout", type=float, default=0.4)
    add("--threads", type=int, default=1, help="matrices as small as these gain from no more")
    add("--text", help="classify this text by the checkpoint in --out")
    args = parser.parse_args(arguments)
    width, lr = {"lstm": (128, 4e-3), "transformer": (64, 3e-3)}[args.model]
    args.width = width if args.width is None else args.width
    args.lr = lr if args.lr is None else args.lr
    return args


def main():
    args = parse()
    start = time.perf_counter()
    tg.set_num_threads(args.threads)
    tg.set_device(args.device)
    if args.text is not None:
        classify(args)
        return 0
    parts = collect(args.length, args.seed)
    vocabulary = known_words(parts[0])
    (ids, labels), (test_ids, test_labels) = (
        (
            encode([words for words, _ in part], vocabulary, args.length),
            np.array([label for _, label in part]),
        )
        for part in parts
    )
    tg.seed(args.seed)
    model = Classifier(args, len(vocabulary) + 2, len(MODULES))
    train = tg.data.Dataset(ids, labels, classes=MODULES)
    loader = tg.data.DataLoader(train, args.batch, shuffle=True, seed=args.seed)
    optimizer = tg.optim.AdamW(model.parameters(), args.lr, weight_decay=args.weight_decay)
    steps = args.epochs * len(loader)
    schedule = tg.optim.CosineLR(optimizer, steps, warmup_steps=steps // 10)
    source = f"docstrings of Python {platform.python_version()}"
    trained = {"model": model, "optimizer": optimizer, "schedule": schedule, "loader": loader}
    options = {"settings": {"data": source}, "may_differ": ("threads", "text")}
    keep = {"vocabulary": vocabulary, "modules": MODULES}
    run = open_run(args, keep=keep, **options, **trained)
    print(model.summary())
    print(
        f"{len(ids):,} pieces to learn from, {len(test_ids):,} to test, of {len(MODULES)} modules; "
        f"{len(vocabulary):,} words"
    )
    for ids, labels in run.epochs(loader, args.epochs):
        loss = tg.losses.cross_entropy(model(tg.Tensor(ids)), tg.Tensor(labels))
        optimizer.zero_grad()
        loss.backward()
        tg.optim.clip_grad_norm(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        run.log(loss=loss)
        if run.epoch_ended:
            predicted = predict(model, test_ids).argmax(axis=1)
            run.log(accuracy=accuracy_score(test_labels, predicted))

    predicted = predict(model, test_ids).argmax(axis=1)
    counts = confusion_matrix(test_labels, predicted, labels=range(len(MODULES)))
    table = compare(args.model, predicted, test_labels, parts, len(MODULES))
    run.plot(
        "report.png",
        lambda figure: panels.confusion(figure, counts, MODULES),
        lambda figure: draw_scores(figure, table),
        size=(18, 5.5),
    )
    return run.finish(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    run_program(main)
