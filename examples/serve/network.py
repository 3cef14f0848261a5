"""The served classifier: a small CNN, its answers, and explanations of them.

Run as a program, it trains one epoch on MNIST and leaves what the server loads:

    python examples/serve/network.py --out runs/serve
"""

import zlib

import numpy as np

import tinygrad_like as tg
from tinygrad_like import nn
from tinygrad_like.training import command_line, open_run, run_program

SIZE = 28  # pixels of a side
CHANNELS = 16  # of the first convolution, whose maps the page shows
FEWEST, MOST = 1, 64  # pictures of a batch, also those with which a new model is tried
NUMBERS = "mean", "std", "accuracy"  # in the file, beside the weights


def network():
    """Two convolutions of 16 and 32 filters, each pooled, and two dense layers."""
    return nn.Sequential(
        *(nn.Conv2D(1, CHANNELS, 3, padding=1), nn.ReLU(), nn.MaxPool2D(2)),
        *(nn.Conv2D(CHANNELS, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2D(2)),
        *(nn.Flatten(), nn.Dense(32 * (SIZE // 4) ** 2, 64), nn.ReLU(), nn.Dense(64, 10)),
    )


class Classifier:
    """A trained network, the numbers of its training set, and a name for this version of it.

    Pictures are arrays (n, 28, 28) of float32, 0 for paper and 1 for ink.

    Raises FileNotFoundError where there is no file, and ValueError for a damaged one, one of other
    layers, or one whose numbers are not finite.
    """

    def __init__(self, path):
        state = tg.io.load(path)
        self.model = network()
        try:
            self.mean, self.std, self.accuracy = (float(state[name]) for name in NUMBERS)
            self.ink = np.asarray(state["ink"], np.float64)
            self.model.load_state_dict(state["model"])
        except KeyError as error:
            raise ValueError(f"{path} has no {error}; network.py writes such a file") from None
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path} is not as network.py writes it: {error}") from None
        if self.ink.shape != (11,) or not np.isfinite([self.accuracy, *self.ink]).all():
            raise ValueError(f"{path} has no finite accuracy, or no deciles of ink")
        self.model.eval()
        self.name = _name_of(self.model.state_dict().values(), self.mean, self.std)
        paper = np.zeros((MOST, SIZE, SIZE), np.float32)
        for count in FEWEST, MOST:  # its kernels are compiled now, not at the first request
            if not np.isfinite(self.probabilities(paper[:count])).all():
                raise ValueError(f"{path} gives probabilities that are not finite")
        self.explain(paper[0])

    def normalised(self, pictures):
        return tg.Tensor(((pictures - self.mean) / self.std)[:, None].astype(np.float32))

    def probabilities(self, pictures):
        """The probability of each digit, an array (n, 10)."""
        with tg.no_grad():
            return tg.softmax(self.model(self.normalised(pictures)), axis=1).numpy()

    def explain(self, picture):
        """(probabilities (10,), feature maps (16, 28, 28), saliency (28, 28)) of one picture.

        The maps are the first convolution's, from 0 to 1. Saliency is the size of the gradient of
        the likeliest digit's score with respect to each pixel, from 0 to 1 (Simonyan et al. 2014,
        section 3).
        """
        x = self.normalised(picture[None])
        with tg.no_grad():
            maps = self.model[1](self.model[0](x)).numpy()[0]
        slopes = tg.grad(lambda x: self.model(x).max())(x).numpy()[0, 0]
        probabilities = self.probabilities(picture[None])[0]
        return probabilities, _to_one(maps), _to_one(np.abs(slopes))


def _name_of(weights, *numbers):
    """A checksum of what was loaded, and not of the file, which may be another one by now."""
    found = zlib.crc32(repr(numbers).encode())
    for x in weights:
        found = zlib.crc32(x.numpy().tobytes(), found)
    return f"{found:08x}"


def _to_one(x):
    return x / max(float(x.max()), 1e-12)


def ink_of(pictures):
    """The share of each picture that is ink: the number by which drift is watched."""
    return pictures.mean(axis=(1, 2))


def main():
    args = command_line(__doc__, out="runs/serve").parse_args()
    tg.set_device(args.device)
    tg.seed(args.seed)
    train, test = tg.data.mnist()
    images, mean, std = train.arrays[0], train.arrays[0].mean(), train.arrays[0].std()
    model = network()
    optimizer = tg.optim.Adam(model.parameters(), lr=2e-3)
    loader = tg.data.DataLoader(train, 128, shuffle=True, seed=args.seed)
    run = open_run(args, model=model, optimizer=optimizer, loader=loader)
    for x, labels in run.epochs(loader, 1):
        loss = tg.losses.cross_entropy(model(tg.Tensor((x - mean) / std)), tg.Tensor(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        run.log(loss=loss)
    scores = tg.training.predict(model, (test.arrays[0] - mean) / std, 500)
    accuracy = float((scores.argmax(axis=1) == test.arrays[1]).mean())
    quantiles = np.quantile(ink_of(images[:, 0]), np.linspace(0, 1, 11))
    state = {"model": model.state_dict(), "mean": float(mean), "std": float(std)}
    state |= {"ink": quantiles, "accuracy": accuracy}
    run.write("classifier.safetensors", lambda path: tg.io.save(path, state))
    return run.finish(f"test accuracy {accuracy:.2%}")


if __name__ == "__main__":
    run_program(main)
