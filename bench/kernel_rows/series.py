"""Rows of running sums and products, of distinct elements and counts, and of labels in frames."""

from functools import partial

import numpy as np

from bench.kernel_rows.row import FLOAT, Row, by_autograd, by_x, moved, normal
from bench.limits import Work

LINES = 512, 4096
COUNT = 1 << 18
FRAMES = 128, 32, 64, 24  # frames, sequences, classes, labels
INDEX = 8  # bytes of int64


def rows():
    yield from _running("running_sum", "cumsum")
    yield from _running("running_product", "cumprod")
    yield _mode()
    for name, most in (("floats", None), ("small integers", 1000), ("integers", 1 << 40)):
        yield _unique(name, most)
    yield from _counts()
    yield from _along_axis()
    yield from _labels()


def _running(name, function):
    """A cumulative function of rows, of numbers near 1, and its gradient."""

    def arrays(rng):
        return [rng.uniform(0.9, 1.1, LINES).astype(np.float32), *normal(LINES)(rng)]

    def backward(k, x, g):
        if hasattr(k, "vjp"):
            return partial(k.vjp(partial(getattr(k, function), axis=1), x)[1], g)
        if function == "cumsum":
            return lambda: g[:, ::-1].cumsum(1)[:, ::-1]
        return lambda: (g * x.cumprod(1))[:, ::-1].cumsum(1)[:, ::-1] / x

    def of_torch(torch, x):
        return getattr(torch, function)(x, 1)

    yield Row(
        f"{name} {by_x(LINES)}",
        arrays,
        lambda k, x, g: partial(getattr(k, function), x, 1),
        lambda torch, x, g: partial(of_torch, torch, x),
        moved(LINES, 1, 1),
        tolerance=1e-3,  # NumPy adds in float32
    )
    yield Row(
        f"{name}_backward {by_x(LINES)}",
        arrays,
        backward,
        lambda torch, x, g: by_autograd(torch, partial(of_torch, torch), [x], g, 1),
        moved(LINES, 1 if function == "cumsum" else 3, 1),
        tolerance=1e-3,
    )


def _mode():
    """The most frequent value of each row of 50 different ones."""

    def kernel(k, x):
        if hasattr(k, "mode"):
            return lambda: k.mode(x, 1)[0]
        return lambda: np.take_along_axis(x, k.mode_places(x), 1)[:, 0]

    return Row(
        f"mode_places {by_x(LINES)}",
        lambda rng: [rng.integers(0, 50, LINES).astype(np.float32)],
        kernel,
        lambda torch, x: lambda: torch.mode(x, 1)[0],
        Work(read=FLOAT * LINES[0] * LINES[1], written=FLOAT * LINES[0]),
    )


def _unique(name, most):
    """The distinct elements, and where each one stands among them."""

    def arrays(rng):
        return [rng.integers(0, most, COUNT)] if most else normal((COUNT,))(rng)

    size = (INDEX if most else FLOAT) * COUNT
    return Row(
        f"unique_places {COUNT} {name}",
        arrays,
        lambda k, x: partial(k.unique, x, return_inverse=True),
        lambda torch, x: partial(torch.unique, x, return_inverse=True),
        Work(read=size, written=INDEX * COUNT),
    )


def _counts():
    def sorted_and_more(rng):
        a, v = normal((COUNT // 16,), (COUNT,))(rng)
        return [np.sort(a), v]

    yield Row(
        f"searchsorted {COUNT} in {COUNT // 16}",
        sorted_and_more,
        lambda k, a, v: partial(k.searchsorted, a, v),
        lambda torch, a, v: partial(torch.searchsorted, a, v),
        Work(read=FLOAT * COUNT, written=INDEX * COUNT),
    )
    yield Row(
        f"histogram {COUNT} in 100",
        normal((COUNT,)),
        lambda k, x: lambda: k.histogram(x, 100)[0],
        lambda torch, x: lambda: torch.histogram(x, 100)[0],
        Work(read=FLOAT * COUNT, written=INDEX * 100),
        tolerance=1e-3,  # edges are rounded to float32, which moves an element or two
    )
    yield Row(
        f"bincount {COUNT} to 1000",
        lambda rng: [rng.integers(0, 1000, COUNT)],
        lambda k, x: partial(k.bincount, x),
        lambda torch, x: partial(torch.bincount, x),
        Work(read=INDEX * COUNT, written=INDEX * 1000),
    )


def _along_axis():
    """Columns read by number, and added to: x[:, index], and its gradient."""
    n, m = 256, 1024

    def arrays(rng):
        return *normal((n, m), (n, 4 * m))(rng), rng.integers(0, m, 4 * m)

    def added(k, x, g, index):
        def step():
            y = x.copy()
            k.add_slices_(y[:, :, None], index, g[:, :, None])
            return y

        return step

    size = FLOAT * n * m
    yield Row(
        f"take columns {by_x((n, 4 * m))}",
        arrays,
        lambda k, x, g, index: partial(k.take, x, index, 1),
        lambda torch, x, g, index: partial(torch.index_select, x, 1, index),
        Work(read=size + INDEX * 4 * m, written=4 * size),
    )
    yield Row(
        f"add_slices columns {by_x((n, 4 * m))}",
        arrays,
        added,
        lambda torch, x, g, index: partial(x.index_add, 1, index, g),
        Work(read=5 * size + INDEX * 4 * m, written=size),
    )


def _labels():
    """CTC's losses of log-probabilities, and their gradient."""
    frames, n, classes, labels = FRAMES
    lengths = np.full(n, frames), np.full(n, labels)
    states = np.zeros((n, 2 * labels + 1), np.int64)

    def arrays(rng):
        targets = rng.integers(1, classes, (n, labels))
        return [np.log(rng.dirichlet(np.ones(classes), (frames, n))).astype(np.float32), targets]

    def paths(k, x, targets):
        """(losses, alphas, betas, the classes of the states) by the kernels alone."""
        at = states.copy()
        at[:, 1::2] = targets
        skips = np.zeros(at.shape, bool)
        skips[:, 3::2] = targets[:, 1:] != targets[:, :-1]
        ends = np.zeros(at.shape, bool)
        ends[:, -2:] = True
        scores = np.take_along_axis(x.swapaxes(0, 1), at[:, None].repeat(frames, 1), 2)
        alphas = k.ctc_alphas(scores, skips)
        betas = k.ctc_betas(scores, skips, lengths[0], ends)
        return -np.logaddexp(alphas[-1, :, -1], alphas[-1, :, -2]), alphas, betas, at

    def forward(k, x, targets):
        if hasattr(k, "losses"):
            return partial(k.losses.ctc, x, targets, *lengths, reduction="none")
        return lambda: paths(k, x, targets)[0]

    def backward(k, x, targets):
        if hasattr(k, "losses"):
            loss = partial(k.losses.ctc, targets=targets, input_lengths=lengths[0],
                           target_lengths=lengths[1], reduction="sum")  # fmt: skip
            return partial(k.vjp(loss, x)[1], np.float32(1))

        def step():
            losses, alphas, betas, at = paths(k, x, targets)
            shares = np.exp(alphas + betas + losses[:, None])
            of_class = (at[:, :, None] == np.arange(classes)).astype(x.dtype)
            return -(shares.swapaxes(0, 1) @ of_class).swapaxes(0, 1)

        return step

    def of_torch(torch, targets, reduction, x):
        counts = map(torch.from_numpy, lengths)
        return torch.nn.functional.ctc_loss(x, targets, *counts, reduction=reduction)

    def torch_backward(torch, x, targets):
        loss = partial(of_torch, torch, targets, "sum")
        return by_autograd(torch, loss, [x], torch.ones(()), 1)

    size = FLOAT * frames * n * classes
    name = f"{frames}x{n}x{classes} to {labels}"
    work = Work(read=size, written=FLOAT * n)
    yield Row(f"ctc {name}", arrays, forward,
              lambda torch, x, t: partial(of_torch, torch, t, "none", x), work)  # fmt: skip
    # PyTorch's gradient is that of logits, before their softmax: the probabilities are added.
    yield Row(f"ctc_backward {name}", arrays, backward, torch_backward,
              Work(read=size, written=size), same_numbers=False)  # fmt: skip
