"""Train a classifier of handwritten digits, and draw what it learned.

    python examples/mnist.py                       # an MLP on MNIST, 3 epochs
    python examples/mnist.py --model cnn --epochs 2
    python examples/mnist.py --autocast float16    # products in half precision; or bfloat16
    python examples/mnist.py --resume              # go on after Ctrl-C

Without MNIST and without a network it trains on 1,797 smaller digits that come with the package.
Everything it writes lies in `--out`: checkpoint.safetensors, history.jsonl, model.safetensors,
report.png.
"""

import itertools

import numpy as np
from sklearn.metrics import accuracy_score, confusion_matrix

import tinygrad_like as tg
from tinygrad_like import nn
from tinygrad_like.training import at_least, command_line, open_run, panels, run_program


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
    channels, *size = image_shape
    sizes = [((n - 2) // 2 - 2) // 2 - 2 for n in size]
    if min(sizes) < 1:
        raise ValueError(f"[cnn3] images of {size} are too small, use --model cnn")
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


def accuracy(model, test):
    images, labels = test.arrays
    return accuracy_score(labels, tg.training.predict(model, images, 500).argmax(axis=1))


def draw_mistakes(figure, test, logits):
    """The 16 wrong answers of which the model was surest."""
    images, labels = test.arrays
    predicted = logits.argmax(axis=1)
    losses = tg.losses.cross_entropy(tg.Tensor(logits), labels, reduction="none").numpy()
    wrong = np.flatnonzero(predicted != labels)
    worst = wrong[np.argsort(-losses[wrong])][:16]
    figure.suptitle(f"Worst of {len(wrong)} mistakes")
    for axes, i in zip(figure.subplots(4, 4).flat, worst, strict=False):
        axes.imshow(images[i, 0], cmap="gray_r")
        axes.set_title(f"{test.classes[labels[i]]}, not {test.classes[predicted[i]]}", fontsize=8)
    for axes in figure.axes:
        axes.set_axis_off()


def parse(arguments=None):
    parser = command_line(__doc__, out="runs/mnist")
    add = parser.add_argument
    add("--model", choices=MODELS, default="mlp")
    add("--hidden", type=int, nargs="+", default=[128, 64], help="widths of the mlp's layers")
    add("--epochs", type=at_least(1), help="3 by default, 30 for the few digits of the package")
    add("--batch-size", type=int, default=128)
    add("--optimizer", choices=OPTIMIZERS, default="adam")
    add("--lr", type=float, default=1e-3, help="learning rate")
    add("--autocast", choices=("float16", "bfloat16"), help="compute products in this type")
    return parser.parse_args(arguments)


def main():
    args = parse()
    tg.set_device(args.device)
    tg.seed(args.seed)
    train, test = load_data()
    epochs = args.epochs or (3 if len(train) > 10_000 else 30)
    model = MODELS[args.model](train.arrays[0].shape[1:], args.hidden, len(train.classes))
    optimizer = OPTIMIZERS[args.optimizer](model.parameters(), lr=args.lr)
    loader = tg.data.DataLoader(train, args.batch_size, shuffle=True, seed=args.seed)
    autocast = tg.autocast(args.autocast or "float16", enabled=args.autocast is not None)
    scaler = tg.optim.GradScaler(enabled=args.autocast == "float16")
    parts = {"model": model, "optimizer": optimizer, "loader": loader, "scaler": scaler}
    run = open_run(args, settings={"data": train.name}, may_differ=("epochs",), **parts)
    print(model.summary(train.arrays[0][:1]))
    for images, labels in run.epochs(loader, epochs):
        with autocast:
            loss = tg.losses.cross_entropy(model(tg.Tensor(images)), tg.Tensor(labels))
        optimizer.zero_grad()
        with np.errstate(over="ignore", invalid="ignore"):  # left to the scaler
            scaler.scale(loss).backward()
        scaler.step(optimizer)
        run.log(loss=loss)
        if run.epoch_ended:
            with autocast:
                run.log(accuracy=accuracy(model, test))

    with autocast:
        logits = tg.training.predict(model, test.arrays[0], 500)
    labels, predicted = test.arrays[1], logits.argmax(axis=1)
    counts = confusion_matrix(labels, predicted, labels=range(len(test.classes)))
    run.write("model.safetensors", lambda path: tg.io.save(path, model.state_dict()))
    run.plot(
        "report.png",
        lambda figure: panels.confusion(figure, counts, test.classes),
        lambda figure: draw_mistakes(figure, test, logits),
    )
    if args.autocast == "float16":
        print(f"{scaler.skipped} of {run.step} steps overflowed, skipped")
    return run.finish(f"test accuracy {accuracy_score(labels, predicted):.2%}")


if __name__ == "__main__":
    run_program(main)
