"""Train a classifier of handwritten digits, and draw what it learned.

    python examples/mnist.py                       # an MLP on MNIST, 3 epochs
    python examples/mnist.py --model cnn --epochs 2
    python examples/mnist.py --autocast float16    # products in half precision; or bfloat16
    python examples/mnist.py --resume              # go on after Ctrl-C

Without MNIST and without a network it trains on 1,797 smaller digits that come with the package.
Everything it writes lies in `--out`: checkpoint.safetensors, model.safetensors, report.png.
"""

import argparse
import itertools
import signal
import sys
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

import tinygrad_like as tg
from tinygrad_like import nn


def mlp(image_shape, hidden, classes):
    """Dense layers with ReLU between them."""
    widths = [int(np.prod(image_shape)), *hidden]
    layers = [nn.Flatten()]
    for n_in, n_out in itertools.pairwise(widths):
        layers += [nn.Dense(n_in, n_out), nn.ReLU()]
    return nn.Sequential(*layers, nn.Dense(widths[-1], classes))


def cnn(image_shape, hidden, classes):
    """Two padded 3x3 convolutions of 32 and 64 filters, each pooled, and a dense layer of 128."""
    channels, height, width = image_shape
    return nn.Sequential(
        *(nn.Conv2D(channels, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2D(2)),
        *(nn.Conv2D(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2D(2)),
        *(nn.Flatten(), nn.Dense(64 * (height // 4) * (width // 4), 128), nn.ReLU()),
        nn.Dense(128, classes),
    )


def cnn3(image_shape, hidden, classes):
    """Three unpadded 3x3 convolutions of 32, 64, 64 filters, two pools, a dense layer of 64."""
    channels, height, width = image_shape
    sizes = [((n - 2) // 2 - 2) // 2 - 2 for n in (height, width)]
    if min(sizes) < 1:
        raise ValueError(f"[cnn3] images of {height} x {width} are too small, use --model cnn")
    return nn.Sequential(
        *(nn.Conv2D(channels, 32, 3), nn.ReLU(), nn.MaxPool2D(2)),
        *(nn.Conv2D(32, 64, 3), nn.ReLU(), nn.MaxPool2D(2)),
        *(nn.Conv2D(64, 64, 3), nn.ReLU(), nn.Flatten()),
        *(nn.Dense(64 * sizes[0] * sizes[1], 64), nn.ReLU(), nn.Dense(64, classes)),
    )


MODELS = {"mlp": mlp, "cnn": cnn, "cnn3": cnn3}
OPTIMIZERS = {
    "sgd": tg.optim.SGD,
    "momentum": lambda params, lr: tg.optim.SGD(params, lr, momentum=0.9),
    "adam": tg.optim.Adam,
    "adamw": tg.optim.AdamW,
    "rmsprop": tg.optim.RMSprop,
    "adagrad": tg.optim.Adagrad,
}


def load_data():
    """MNIST where it can be had, else the digits of the package; mean 0, deviation 1."""
    try:
        train, test = tg.data.mnist()
    except tg.data.DataUnavailable as error:
        print(f"{error}\nTraining on tg.data.digits() instead: 1,797 digits of 8 x 8 pixels.")
        train, test = tg.data.digits()
    mean, std = train.arrays[0].mean(), train.arrays[0].std()
    return [
        tg.data.Dataset((images - mean) / std, labels, name=part.name, classes=part.classes)
        for part in (train, test)
        for images, labels in [part.arrays]
    ]


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

    def __init__(self, args, train, test):
        self.args, self.test = args, test
        self.epoch, self.losses, self.accuracies = 0, [], []
        tg.seed(args.seed)
        images, _ = train.arrays
        self.model = MODELS[args.model](images.shape[1:], args.hidden, len(train.classes))
        self.model.to(args.device)
        self.optimizer = OPTIMIZERS[args.optimizer](self.model.parameters(), lr=args.lr)
        self.loader = tg.data.DataLoader(train, args.batch_size, shuffle=True, seed=args.seed)
        self.autocast = tg.autocast(args.autocast or "float16", enabled=args.autocast is not None)
        self.scaler = tg.optim.GradScaler(enabled=args.autocast == "float16")
        names = ("model", "hidden", "optimizer", "lr", "batch_size", "autocast", "seed")
        self.checkpoint = tg.io.Checkpoint(
            Path(args.out) / "checkpoint.safetensors",
            {"data": train.name, **{k: getattr(args, k) for k in names}},
            model=self.model,
            optimizer=self.optimizer,
            loader=self.loader,
            scaler=self.scaler,
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

    def step(self, images, labels):
        """One update; returns the loss."""
        images, labels = (tg.Tensor(x, device=self.args.device) for x in (images, labels))
        with self.autocast:
            loss = tg.losses.cross_entropy(self.model(images), labels)
        self.optimizer.zero_grad()
        with np.errstate(over="ignore", invalid="ignore"):  # left to the scaler
            self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
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
        start, images_seen, rate = time.perf_counter(), 0, 0.0
        self.model.train()
        for images, labels in bar:
            loss = self.step(images, labels)
            if not np.isfinite(loss):
                raise SystemExit(f"the loss is {loss}: lower --lr, or look for NaN in the data")
            self.losses.append(loss)
            images_seen += len(images)
            rate = images_seen / (time.perf_counter() - start)
            bar.set_postfix_str(f"loss {loss:.3f}, {rate:,.0f} images/s", refresh=False)
            if interrupted or self.checkpoint.age >= self.args.save_every:
                self.save()
            if interrupted:
                bar.close()
                return False
        accuracy = float((self.predict()[0] == self.test.arrays[1]).mean())
        self.accuracies.append(accuracy)
        self.epoch += 1
        self.save()
        recent = np.mean(self.losses[-len(self.loader) :])
        print(f"{title}: loss {recent:.4f}, test accuracy {accuracy:.2%}, {rate:,.0f} images/s")
        return True

    def predict(self):
        """The predicted class and the loss of every test image."""
        self.model.eval()
        classes, losses = [], []
        with tg.no_grad(), self.autocast:
            for images, labels in tg.data.DataLoader(self.test, 500):
                images, labels = (tg.Tensor(x, device=self.args.device) for x in (images, labels))
                logits = self.model(images)
                each = tg.losses.cross_entropy(logits, labels, reduction="none")
                classes.append(logits.argmax(axis=1).numpy())
                losses.append(each.numpy())
        return np.concatenate(classes), np.concatenate(losses)


def draw(training, path):
    """The loss curve, the confusion matrix and the worst mistakes as one picture."""
    from matplotlib.figure import Figure

    images, labels = training.test.arrays
    names = training.test.classes
    predicted, losses = training.predict()
    figure = Figure(figsize=(15, 5), layout="constrained")
    curve, matrix, mistakes = figure.subfigures(1, 3)

    axes = curve.subplots()
    smooth = max(1, len(training.losses) // 100)
    means = np.convolve(training.losses, np.ones(smooth) / smooth, "valid")
    axes.plot(np.arange(len(means)) + smooth, means, color="tab:blue")
    axes.set(xlabel="step", ylabel="training loss", yscale="log", title="Loss")
    right = axes.twinx()
    ends = (np.arange(len(training.accuracies)) + 1) * len(training.loader)
    right.plot(ends, training.accuracies, "o-", color="tab:orange")
    right.set(ylabel="test accuracy")
    right.yaxis.set_major_formatter("{x:.1%}")

    axes = matrix.subplots()
    counts = np.zeros((len(names), len(names)), int)
    np.add.at(counts, (labels, predicted), 1)
    axes.imshow(np.log1p(counts), cmap="Blues")
    for i, j in np.ndindex(counts.shape):
        color = "white" if counts[i, j] > counts.max() / 8 else "black"
        axes.text(j, i, counts[i, j], ha="center", va="center", fontsize=7, color=color)
    accuracy = (labels == predicted).mean()
    axes.set(xlabel="predicted", ylabel="true", title=f"Test accuracy {accuracy:.2%}")
    axes.set(xticks=range(len(names)), yticks=range(len(names)))

    wrong = np.flatnonzero(predicted != labels)
    worst = wrong[np.argsort(-losses[wrong])][:16]
    mistakes.suptitle(f"Worst of {len(wrong)} mistakes")
    for axes, i in zip(mistakes.subplots(4, 4).flat, worst, strict=False):
        axes.imshow(images[i, 0], cmap="gray_r")
        axes.set_title(f"{names[labels[i]]}, not {names[predicted[i]]}", fontsize=8)
    for axes in mistakes.axes:
        axes.set_axis_off()
    figure.savefig(path, dpi=100)


def parse(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--model", choices=MODELS, default="mlp")
    add("--hidden", type=int, nargs="+", default=[128, 64], help="widths of the mlp's layers")
    add("--epochs", type=int, help="3 by default, 30 for the few digits of the package")
    add("--batch-size", type=int, default=128)
    add("--optimizer", choices=OPTIMIZERS, default="adam")
    add("--lr", type=float, default=1e-3, help="learning rate")
    add("--autocast", choices=("float16", "bfloat16"), help="compute products in this type")
    add("--seed", type=int, default=0)
    add("--device", default="cpu", help="cpu or cuda")
    add("--out", default="runs/mnist", help="folder for what it writes")
    add("--save-every", type=float, default=30, help="seconds: what a killed run may lose")
    add("--resume", action="store_true", help="go on from the checkpoint in --out")
    args = parser.parse_args(arguments)
    if args.epochs is not None and args.epochs < 1:
        parser.error(f"--epochs is {args.epochs}, expected at least 1")
    return args


def main():
    args = parse()
    train, test = load_data()
    if args.epochs is None:
        args.epochs = 3 if len(train) > 10_000 else 30
    try:
        training = Training(args, train, test)
        Path(args.out).mkdir(parents=True, exist_ok=True)
        if args.resume:
            training.resume()
    except (ValueError, OSError) as error:  # of what the user gave: the message says it all
        raise SystemExit(str(error)) from None
    print(training.model.summary(train.arrays[0][:1]))
    if not training.run():
        path = training.checkpoint.path
        print(f"stopped; go on with --resume (state in {path})" if training.saved else "stopped")
        return 130
    folder = Path(args.out)
    written = [
        training.saved,
        attempt(
            lambda path: tg.io.save(path, training.model.state_dict()), folder / "model.safetensors"
        ),
        attempt(lambda path: draw(training, path), folder / "report.png"),
    ]
    if args.autocast == "float16":
        print(f"{training.scaler.skipped} of {len(training.losses)} steps overflowed, skipped")
    what = "everything is" if all(written) else "what could be written is"
    print(f"test accuracy {training.accuracies[-1]:.2%}; {what} in {args.out}")
    return 0 if all(written) else 1


if __name__ == "__main__":
    sys.exit(main())
