"""The training steps that are measured: starting weights, batches and arithmetic.

    mlp        Dense 784-128-64-10, ReLU                                  128 images of 28 x 28
    cnn        Conv 1-32 and 32-64, 3x3, pad 1, each with ReLU and max-pool 2,
               Dense 3136-128, ReLU, Dense 128-10                         64 images of 28 x 28
    lstm       Embedding 65-128, LSTM 2 x 256, Dense 256-65               32 sequences of 64
    ctc        LSTM 40-128, Dense 128-32, CTC with 20 labels              16 sequences of 200
    gpt-mini   4 blocks of width 128, 4 heads                             12 sequences of 64
    gpt-small  6 blocks of width 384, 6 heads                             8 sequences of 256
    gpt2       12 blocks of width 768, 12 heads, 50,257 tokens, bfloat16  8 sequences of 1024

All but gpt2 are for every device; gpt2, with its 124 million parameters, is for a GPU. There
"bfloat16" is autocast: products in bfloat16, parameters and optimizer in float32. gpt2-tiny is the
same step in a size for tests.

Loss: mean cross-entropy, over all positions; of ctc the mean of each sequence's loss by its number
of labels. Optimizer: AdamW. Everything is NumPy, so that each opponent builds the same model in a
process that loads no other library. Layouts are those of tinygrad_like: a dense weight is (n_in,
n_out), an LSTM's gates stand in the order i, f, o, g.
"""

import itertools
import math
from typing import NamedTuple

import numpy as np

LEARNING_RATE, WEIGHT_DECAY = 1e-3, 0.01
BATCHES = 8  # taken in turn: a model that has learned its only batch by heart has no gradients
VOCABULARY = 65
MLP_SIZES = (784, 128, 64, 10)
LSTM_WIDTHS, LSTM_BATCH, LSTM_STEPS = (128, 256, 256), 32, 64
CTC_WIDTHS, CTC_BATCH, CTC_FRAMES, CTC_LABELS = (40, 128, 32), 16, 200, 20


class GPTSizes(NamedTuple):
    """The sizes of a GPT and of its batch."""

    blocks: int
    width: int
    heads: int
    context: int
    batch: int
    vocabulary: int = VOCABULARY
    bfloat16: bool = False


GPTS = {
    "gpt-mini": GPTSizes(4, 128, 4, 64, 12),
    "gpt-small": GPTSizes(6, 384, 6, 256, 8),
    "gpt2": GPTSizes(12, 768, 12, 1024, 8, vocabulary=50257, bfloat16=True),
    "gpt2-tiny": GPTSizes(2, 32, 2, 16, 4, vocabulary=101, bfloat16=True),
}
NAMES = ("mlp", "cnn", "lstm", "ctc", "gpt-mini", "gpt-small")
NAMES_ON_A_GPU = (*NAMES, "gpt2")
EVERY_NAME = (*NAMES_ON_A_GPU, "gpt2-tiny")


def in_bfloat16(name):
    """Whether the products of a step are in bfloat16, by autocast."""
    return name in GPTS and GPTS[name].bfloat16


def weights(name):
    """{path: float32 array}: the starting weights of a workload, the same in every process."""
    rng = np.random.default_rng(0)
    return {path: _start(rng, path, shape) for path, shape in _shapes(name).items()}


def _start(rng, path, shape):
    if len(shape) == 1:
        return np.full(shape, path.endswith(("norm.weight", "norm1.weight", "norm2.weight")), "f4")
    inputs = math.prod(shape[1:]) if len(shape) == 4 else shape[0]
    return rng.standard_normal(shape, np.float32) / np.float32(math.sqrt(inputs))


def _shapes(name):
    """{path: shape} of the parameters, by the paths that they have in our models."""
    if name in GPTS:
        return _gpt_shapes(GPTS[name])
    if name == "lstm":
        shapes = {"embedding.weight": (VOCABULARY, LSTM_WIDTHS[0])}
        for k, (n, h) in enumerate(itertools.pairwise(LSTM_WIDTHS)):
            layer = f"lstm.layers.{k}.forward"
            shapes |= {f"{layer}.weight": (n, 4 * h), f"{layer}.recurrent": (h, 4 * h)}
            shapes |= {f"{layer}.bias": (4 * h,)}
        return shapes | _dense("head", LSTM_WIDTHS[-1], VOCABULARY)
    if name == "ctc":
        n, h, classes = CTC_WIDTHS
        layer = "lstm.layers.0.forward"
        shapes = {f"{layer}.weight": (n, 4 * h), f"{layer}.recurrent": (h, 4 * h)}
        return shapes | {f"{layer}.bias": (4 * h,)} | _dense("head", h, classes)
    if name == "cnn":
        shapes = {"0.weight": (32, 1, 3, 3), "0.bias": (32,)}
        shapes |= {"3.weight": (64, 32, 3, 3), "3.bias": (64,)}
        return shapes | _dense("7", 3136, 128) | _dense("9", 128, 10)
    layers = [_dense(str(2 * k), n, m) for k, (n, m) in enumerate(itertools.pairwise(MLP_SIZES))]
    return layers[0] | layers[1] | layers[2]


def _dense(path, n_in, n_out):
    return {f"{path}.weight": (n_in, n_out), f"{path}.bias": (n_out,)}


def _gpt_shapes(sizes):
    d = sizes.width
    shapes = {"token.weight": (sizes.vocabulary, d), "position.weight": (sizes.context, d)}
    norms = ["norm"]
    for k in range(sizes.blocks):
        block = f"blocks.{k}"
        for part in ("query", "key", "value", "out"):
            shapes |= _dense(f"{block}.attention.{part}", d, d)
        shapes |= _dense(f"{block}.feed_forward.up", d, 4 * d)
        shapes |= _dense(f"{block}.feed_forward.down", 4 * d, d)
        norms += [f"{block}.norm1", f"{block}.norm2"]
    for norm in norms:
        shapes |= {f"{norm}.weight": (d,), f"{norm}.bias": (d,)}
    return shapes


def batches(name, size=None):
    """[(inputs, labels)]: images and classes, tokens and those to predict, frames and labels.

    All are random.
    `size` is how many images or sequences a batch has, if not as many as the workload says.
    """
    rng = np.random.default_rng(1)
    if name in ("mlp", "cnn"):
        n, shape = (128, (784,)) if name == "mlp" else (64, (1, 28, 28))
        n = size or n
        return [
            (rng.random((n, *shape), np.float32), rng.integers(0, 10, n)) for _ in range(BATCHES)
        ]
    if name == "ctc":
        n, (width, _, classes) = size or CTC_BATCH, CTC_WIDTHS
        return [
            (
                rng.standard_normal((n, CTC_FRAMES, width), np.float32),
                rng.integers(1, classes, (n, CTC_LABELS)),
            )
            for _ in range(BATCHES)
        ]
    n, t, vocabulary = LSTM_BATCH, LSTM_STEPS, VOCABULARY
    if name in GPTS:
        n, t, vocabulary = GPTS[name].batch, GPTS[name].context, GPTS[name].vocabulary
    text = rng.integers(0, vocabulary, (BATCHES, size or n, t + 1))
    return [(np.array(piece[:, :-1]), np.array(piece[:, 1:])) for piece in text]


def gemm_flops(name):
    """(flops, those in 3x3 convolutions) that the matrix products of a step take at least.

    Beside its forward product a layer takes two in the backward pass, or one where its inputs need
    no gradient; beside its two forward products attention takes four in the backward pass.
    """
    if name in GPTS:
        blocks, d, _, t, n, vocabulary, _ = GPTS[name]
        dense = 3 * 2 * n * t * (blocks * 12 * d * d + d * vocabulary)
        return dense + blocks * 6 * 2 * n * (t * (t + 1) // 2) * d, 0
    if name == "lstm":
        layers = sum(4 * h * (m + h) for m, h in itertools.pairwise(LSTM_WIDTHS))
        rows = LSTM_BATCH * LSTM_STEPS
        return 3 * 2 * rows * (layers + LSTM_WIDTHS[-1] * VOCABULARY), 0
    if name == "ctc":
        n, h, classes = CTC_WIDTHS
        return 2 * CTC_BATCH * CTC_FRAMES * (2 * n * 4 * h + 3 * (h * 4 * h + h * classes)), 0
    if name == "cnn":
        convolutions = 2 * 64 * (2 * 82 * 82 * 32 + 3 * 40 * 40 * 64 * 32)
        return convolutions + 3 * 2 * 64 * (3136 * 128 + 128 * 10), convolutions
    products = [2 * 128 * n * m for n, m in itertools.pairwise(MLP_SIZES)]
    return 3 * sum(products) - products[0], 0
