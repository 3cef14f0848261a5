"""Rows for bench/accuracy.py of layers: each element of a result sums over a batch or a window.

The elements of the matrix become images, sequences, keys or queries; the remainder is left out.
"""

import torch
import torch.nn.functional as F

import tinygrad_like as tg

STEPS, SEQUENCES = 32, 30_000  # at most: the gates of every step are kept
WINDOWS = 1024  # that overlap, in the gradient of average pooling


def layer_rows(gradient):
    """(name, ours, PyTorch's) of each; gradient(shape, loss) gives ours and theirs of a loss."""

    def gradients(shape, loss, ours, theirs):
        return gradient(shape, loss(ours))[0], gradient(shape, loss(theirs))[1]

    for name, channels, outputs, groups, size in (
        ("conv", 1, 3, 1, 16),
        ("conv, many channels", 8, 16, 1, 8),
        ("conv, strange channels", 8, 3, 1, 8),
        ("depthwise conv", 2, 2, 2, 16),
    ):
        weight = outputs, channels // groups, 3, 3
        images = channels, size, size
        loss = _of_weights(images, groups)
        shape = _always(weight)
        yield f"gradient: {name}", *gradients(shape, loss, tg.conv2d, F.conv2d)
    loss = _of_bias((2, 16, 16))
    yield "gradient: conv's bias", *gradients(_always((2,)), loss, tg.conv2d, F.conv2d)
    yield "avg_pool of all", _average(tg.avg_pool2d), _average(F.avg_pool2d)
    yield (
        "gradient: avg_pool",
        *gradients(_overlapping, _of_overlapping, tg.avg_pool2d, F.avg_pool2d),
    )
    yield "attention", _of_one_query(_ours), _of_one_query(_theirs)
    yield "gradient: attention's mask", *gradients(_always((1, 1, 1, 2)), _of_mask, _ours, _theirs)
    yield (
        "gradient: lstm",
        *gradients(_always((1 + 4 + 1, 16)), _of_lstm, _our_states, _their_states),
    )


def _always(shape):
    return lambda rows, columns: shape


def _cut(x, *shape):
    """As many arrays of this shape as the elements of x fill."""
    flat, each = x.reshape(-1), 1
    for n in shape:
        each *= n
    count = flat.shape[0] // each
    return flat[: count * each].reshape(count, *shape)


def _of_weights(images, groups):
    """A loss whose gradient with respect to a weight is a sum over the pixels that it meets."""
    return lambda conv: lambda p, x: conv(_cut(x, *images), p, padding=1, groups=groups).sum()


def _of_bias(images):
    """A loss whose gradient with respect to each of two biases is the sum of x in its channel."""

    def loss(conv):
        def of_conv(p, x):
            x = _cut(x, *images)
            weight = x[:1, :, :1, :1].reshape(2, 1, 1, 1)
            return (conv(x, weight, p, groups=2) * x).sum()

        return of_conv

    return loss


def _average(pool):
    return lambda x: pool(x.reshape(1, 1, *x.shape), tuple(x.shape))


def _overlapping(rows, columns):
    return 2 * WINDOWS, 2


def _of_overlapping(pool):
    """The loss whose gradient is, for each row, the mean of those of x whose windows it is in."""

    def loss(p, x):
        y = pool(p.reshape(1, 1, *p.shape), (WINDOWS, 1), stride=1)[0, 0]
        return (y * x.reshape(-1)[: 2 * y.shape[0]].reshape(-1, 2)).sum()

    return loss


def _ours(q, k, v, mask=None):
    return tg.scaled_dot_product_attention(q, k, v, mask=mask)


def _theirs(q, k, v, mask=None):
    return F.scaled_dot_product_attention(q, k, v, mask)


def _of_one_query(attention):
    """The attention of one query to the rows of a matrix, as keys and values."""

    def mixed(x):
        x = _cut(x, 4)
        rows = x.reshape(1, 1, *x.shape)
        return attention(rows[:, :, :1], rows, rows)

    return mixed


def _of_mask(attention):
    """The loss whose gradient is a sum over a batch of queries, each of which mixes two values."""

    def loss(p, x):
        v = _cut(x, 1, 2, 1)
        first, second = v[:, :, :1], v[:, :, 1:]
        return (attention(first, v, v, p) * (first - second)).sum()

    return loss


def _of_lstm(states):
    """A loss of an LSTM of 4 units: the rows of p are all its weights and its bias."""

    def loss(p, x):
        x = _cut(x, STEPS, 1)[:SEQUENCES]
        p = p * 0.1
        return (states(x, p[:1], p[1:5], p[5]) * x).sum()

    return loss


def _our_states(x, weight, recurrent, bias):
    return tg.lstm(x, weight, recurrent, bias)[0]


def _their_states(x, weight, recurrent, bias):
    """The same in PyTorch, whose gates are in another order."""
    weight, recurrent, bias = (
        w.reshape(-1, 4, 4)[:, [0, 1, 3, 2]].reshape(-1, 16) for w in (weight, recurrent, bias)
    )
    start = x.new_zeros(1, x.shape[0], 4)
    weights = [weight.T.contiguous(), recurrent.T.contiguous(), bias[0], bias[0] * 0]
    return torch.lstm(x, (start, start), weights, True, 1, 0.0, True, False, True)[0]
