"""Tell from a paragraph of a docstring which module of the standard library it documents.

    python examples/classify_text.py                        # a bidirectional LSTM
    python examples/classify_text.py --model transformer
    python examples/classify_text.py --text "Wait until the future is done."
    python examples/classify_text.py --resume               # go on after Ctrl-C

The texts are the docstrings of the Python that runs this: nothing is downloaded. The names of the
modules are taken out of all of them, and the paragraphs of a docstring are all in the training set
or all in the test set. A bag of words with logistic regression (scikit-learn) is the baseline.
Everything it writes lies in `--out`: checkpoint.safetensors and report.png.
"""

import argparse
import math
import platform
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
from docstrings import MODULES, collect, cut
from tqdm import tqdm

import tinygrad_like as tg
from tinygrad_like import nn

PADDING, UNKNOWN = 0, 1  # ids; those of known words follow


def known_words(pieces):
    """The words that occur at least twice, sorted; the others are all one, the unknown word."""
    counts = Counter(word for words, _ in pieces for word in words)
    return sorted(word for word, count in counts.items() if count > 1)


def encode(pieces, vocabulary, length):
    """The ids of the words, (N, length), padded at the end."""
    numbers = {word: i for i, word in enumerate(vocabulary, UNKNOWN + 1)}
    ids = np.full((len(pieces), length), PADDING)
    for row, words in zip(ids, pieces, strict=True):
        row[: len(words)] = [numbers.get(word, UNKNOWN) for word in words]
    return ids


class BidirectionalLSTM(nn.Module):
    """LSTMs from the first word to the last and back, side by side: (N, T, D) -> (N, T, D)."""

    def __init__(self, args):
        self.lstm = nn.LSTM(args.width, args.width // 2, args.layers, bidirectional=True)

    def forward(self, x, real):
        return self.lstm(x, lengths=real.sum(axis=1))[0]


class Transformer(nn.Module):
    """Self attention among the words that are there: (N, T, D) -> (N, T, D)."""

    def __init__(self, args):
        self.position = nn.LearnedPositions(args.length, args.width)
        self.encoder = nn.TransformerEncoder(
            args.width, args.heads, 2 * args.width, args.layers, dropout=args.dropout
        )

    def forward(self, x, real):
        return self.encoder(self.position(x), mask=real[:, None, None])


MODELS = {"lstm": BidirectionalLSTM, "transformer": Transformer}


class Classifier(nn.Module):
    """logits = Dense(mean over words of encoder(Embedding(ids))): ids (N, T) -> (N, classes)."""

    def __init__(self, args, vocabulary, classes):
        self.embedding = nn.Embedding(vocabulary, args.width)
        self.embedding.weight.data *= 0.1  # a rare word says little, from the start
        self.encoder = MODELS[args.model](args)
        self.dropout = nn.Dropout(args.dropout)
        self.head = nn.Dense(args.width, classes)

    def forward(self, ids):
        real = ids != PADDING
        kept = self.dropout(tg.ones(ids.shape, device=ids.device))  # whole words go, or stay
        x = self.encoder(self.embedding(ids) * kept[..., None], real)
        share = real / real.sum(axis=1, keepdims=True)
        mean = (x * share[..., None]).sum(axis=1)
        return self.head(self.dropout(mean))


def make_batch(ids, device):
    """The ids as a tensor, as wide as the longest text among them."""
    return tg.Tensor(ids[:, : (ids != PADDING).sum(axis=1).max()], device=device)


def predict(model, ids, device):
    """The probability of each class, (N, classes)."""
    model.eval()
    with tg.no_grad():
        batches = [make_batch(ids[k : k + 256], device) for k in range(0, len(ids), 256)]
        found = [model(batch).softmax(axis=1).numpy() for batch in batches]
    model.train()
    return np.concatenate(found)


def count_pairs(labels, predicted):
    """The confusion matrix: how many texts of class i (row) were taken for class j (column)."""
    counts = np.zeros((len(MODULES), len(MODULES)), int)
    np.add.at(counts, (labels, predicted), 1)
    return counts


def scores(counts):
    """Accuracy, and the mean over classes of precision, recall and F1 (0 where nothing counts)."""
    right = np.diag(counts)
    taken, given = counts.sum(axis=0), counts.sum(axis=1)
    return {
        "accuracy": right.sum() / counts.sum(),
        "precision": np.mean(right / np.maximum(taken, 1)),
        "recall": np.mean(right / np.maximum(given, 1)),
        "F1": np.mean(2 * right / np.maximum(taken + given, 1)),
    }


def bag_of_words(training, test):
    """What a logistic regression on the words of a piece, in no order, predicts for the test."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    weights = TfidfVectorizer(analyzer=lambda words: words, sublinear_tf=True)
    baseline = make_pipeline(weights, LogisticRegression(C=10, max_iter=1000))
    baseline.fit(*zip(*training, strict=True))
    return baseline.predict([words for words, _ in test])


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

    def __init__(self, args, training, test):
        self.args = args
        self.vocabulary = known_words(training)
        data = [
            tg.data.Dataset(
                encode([words for words, _ in part], self.vocabulary, args.length),
                np.array([label for _, label in part]),
                classes=MODULES,
            )
            for part in (training, test)
        ]
        self.test = data[1]
        tg.seed(args.seed)
        self.model = Classifier(args, len(self.vocabulary) + 2, len(MODULES)).to(args.device)
        self.loader = tg.data.DataLoader(data[0], args.batch, shuffle=True, seed=args.seed)
        self.optimizer = tg.optim.AdamW(
            self.model.parameters(), args.lr, weight_decay=args.weight_decay
        )
        steps = args.epochs * len(self.loader)
        self.schedule = tg.optim.CosineLR(self.optimizer, steps, warmup_steps=steps // 10)
        self.epoch, self.losses, self.accuracies = 0, [], []
        names = "model layers width heads length batch epochs lr weight_decay dropout seed"
        source = f"docstrings of Python {platform.python_version()}"
        self.checkpoint = tg.io.Checkpoint(
            Path(args.out) / "checkpoint.safetensors",
            {"data": source, **{k: getattr(args, k) for k in names.split()}},
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
            vocabulary=self.vocabulary,
            modules=MODULES,
        )

    def resume(self):
        progress = self.checkpoint.load()
        self.losses, self.accuracies = progress["losses"].tolist(), progress["accuracies"]
        self.epoch = progress["epoch"]

    def step(self, ids, labels):
        """One update; returns the loss."""
        logits = self.model(make_batch(ids, self.args.device))
        loss = tg.losses.cross_entropy(logits, tg.Tensor(labels, device=self.args.device))
        self.optimizer.zero_grad()
        loss.backward()
        tg.optim.clip_grad_norm(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.schedule.step()
        return loss.item()

    def run(self):
        """Train to the last epoch; returns False if Ctrl-C came first."""
        interrupted = []
        before = signal.signal(signal.SIGINT, lambda *_: interrupted.append(True))
        total = self.args.epochs * len(self.loader)
        bar = tqdm(total=total, initial=len(self.losses), unit="step", disable=None)
        try:
            while self.epoch < self.args.epochs:
                if not self.run_epoch(bar, interrupted):
                    return False
        finally:
            bar.close()
            signal.signal(signal.SIGINT, before)
        return True

    def run_epoch(self, bar, interrupted):
        for ids, labels in self.loader:
            loss = self.step(ids, labels)
            if not math.isfinite(loss):
                raise SystemExit(f"the loss is {loss}: lower --lr")
            self.losses.append(loss)
            bar.set_postfix_str(f"loss {loss:.3f}", refresh=False)
            bar.update()
            if interrupted or self.checkpoint.age >= self.args.save_every:
                self.save()
            if interrupted:
                return False
        self.epoch += 1
        self.accuracies.append(float(scores(self.confusion())["accuracy"]))
        recent = np.mean(self.losses[-len(self.loader) :])
        bar.write(
            f"epoch {self.epoch}/{self.args.epochs}: training loss {recent:.3f}, "
            f"test accuracy {self.accuracies[-1]:.1%}"
        )
        self.save()
        return True

    def confusion(self):
        """The confusion matrix of the test set."""
        ids, labels = self.test.arrays
        return count_pairs(labels, predict(self.model, ids, self.args.device).argmax(axis=1))


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
    model = Classifier(args, len(vocabulary) + 2, len(MODULES)).to(args.device)
    model.load_state_dict(state["model"])
    ids = encode(pieces, vocabulary, args.length)
    if (ids <= UNKNOWN).all():
        print("none of its words is in the vocabulary: this says nothing of the text")
    probabilities = predict(model, ids, args.device).mean(axis=0)
    for i in np.argsort(-probabilities, kind="stable"):
        bar = "#" * round(40 * float(probabilities[i]))
        print(f"{MODULES[i]:12}{probabilities[i]:7.1%}  {bar}".rstrip())


def compare(training, parts):
    """The scores of our model, of the baseline where it can be had, and of a constant guess."""
    _, labels = training.test.arrays
    table = {training.args.model: scores(training.confusion())}
    try:
        table["bag of words"] = scores(count_pairs(labels, bag_of_words(*parts)))
    except ImportError:
        print("no bag of words: pip install 'tinygrad-like[examples]' brings scikit-learn")
    commonest = np.bincount([label for _, label in parts[0]]).argmax()
    table["largest class"] = scores(count_pairs(labels, np.full_like(labels, commonest)))
    print(f"{'test set':14}" + "".join(f"{metric:>11}" for metric in table["largest class"]))
    for name, row in table.items():
        print(f"{name:14}" + "".join(f"{value:11.1%}" for value in row.values()))
    return table


def draw(training, table, path):
    """The curves, the confusion matrix and the comparison as one picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(18, 5.5), layout="constrained")
    curve, matrix, bars = figure.subplots(1, 3)
    draw_curves(curve, training)
    draw_confusion(matrix, training.confusion())
    for i, (name, row) in enumerate(table.items()):
        x = np.arange(len(row)) + 0.27 * (i - 1)
        boxes = bars.bar(x, list(row.values()), 0.25, label=name)
        bars.bar_label(boxes, fmt="{:.0%}", fontsize=8)
    bars.set(title="Test set", xticks=range(len(row)), xticklabels=row, ylim=(0, 1))
    bars.yaxis.set_major_formatter("{x:.0%}")
    bars.legend(loc="upper center", ncols=3)
    figure.savefig(path, dpi=100)


def draw_curves(axes, training):
    smooth = max(1, len(training.losses) // 100)
    means = np.convolve(training.losses, np.ones(smooth) / smooth, "valid")
    axes.plot(np.arange(len(means)) + smooth, means, color="tab:blue")
    axes.set(xlabel="step", ylabel="training loss", title=training.args.model)
    right = axes.twinx()
    ends = (np.arange(len(training.accuracies)) + 1) * len(training.loader)
    right.plot(ends, training.accuracies, "o-", color="tab:orange")
    right.set(ylabel="test accuracy")
    right.yaxis.set_major_formatter("{x:.0%}")


def draw_confusion(axes, counts):
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for i, j in zip(*np.nonzero(counts), strict=True):
        color = "white" if share[i, j] > 0.5 else "black"
        axes.text(j, i, counts[i, j], ha="center", va="center", fontsize=8, color=color)
    places = range(len(MODULES))
    axes.set(xlabel="predicted", ylabel="true", xticks=places, yticks=places)
    axes.set_xticklabels(MODULES, rotation=45, ha="right")
    axes.set_yticklabels(MODULES)
    axes.set_title(f"Test accuracy {scores(counts)['accuracy']:.1%}")


def parse(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--model", choices=MODELS, default="lstm")
    add("--layers", type=int, default=1)
    add("--width", type=int, help="128 for lstm, 64 for transformer")
    add("--heads", type=int, default=4, help="of the transformer")
    add("--length", type=int, default=32, help="words in a piece, at most")
    add("--epochs", type=int, default=16)
    add("--batch", type=int, default=32)
    add("--lr", type=float, help="learning rate: 4e-3 for lstm, 3e-3 for transformer")
    add("--weight-decay", type=float, default=0.1)
    add("--dropout", type=float, default=0.4)
    add("--seed", type=int, default=0, help="of the split, too")
    add("--device", default="cpu", help="cpu or cuda")
    add("--threads", type=int, default=1, help="matrices as small as these gain from no more")
    add("--text", help="classify this text by the checkpoint in --out")
    add("--out", default="runs/classify_text", help="folder for what it writes")
    add("--save-every", type=float, default=30, help="seconds: what a killed run may lose")
    add("--resume", action="store_true", help="go on from the checkpoint in --out")
    args = parser.parse_args(arguments)
    if args.epochs < 1:
        parser.error(f"--epochs is {args.epochs}, expected at least 1")
    width, lr = {"lstm": (128, 4e-3), "transformer": (64, 3e-3)}[args.model]
    args.width = width if args.width is None else args.width
    args.lr = lr if args.lr is None else args.lr
    return args


def main():
    args = parse()
    start = time.perf_counter()
    try:
        tg.set_num_threads(args.threads)
        if args.text is not None:
            classify(args)
            return 0
        parts = collect(args.length, args.seed)
        training = Training(args, *parts)
        Path(args.out).mkdir(parents=True, exist_ok=True)
        if args.resume:
            training.resume()
    except (ValueError, OSError) as error:  # of what the user gave: the message says it all
        raise SystemExit(str(error)) from None
    print(training.model.summary())
    print(
        f"{len(parts[0]):,} pieces to learn from, {len(parts[1]):,} to test, of "
        f"{len(MODULES)} modules; {len(training.vocabulary):,} words"
    )
    if not training.run():
        path = training.checkpoint.path
        print(f"stopped; go on with --resume (state in {path})" if training.saved else "stopped")
        return 130
    table = compare(training, parts)
    picture = Path(args.out) / "report.png"
    written = [training.saved, attempt(lambda path: draw(training, table, path), picture)]
    what = "everything is" if all(written) else "what could be written is"
    print(f"{time.perf_counter() - start:.0f} s; {what} in {args.out}")
    return 0 if all(written) else 1


if __name__ == "__main__":
    sys.exit(main())
