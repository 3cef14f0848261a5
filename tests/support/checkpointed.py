"""What the tests of checkpoint share: running without one, a block, and how bits are compared."""

import numpy as np

import tinygrad_like as tg
from tinygrad_like import Tensor, checkpoint, nn


def plainly(f, *inputs):
    """In the place of `checkpoint`: no checkpoint."""
    return f(*inputs)


BOTH = plainly, checkpoint


def bits(tensors):
    return [None if t is None else (t.dtype.name, t.shape, t.numpy().tobytes()) for t in tensors]


def assert_same(run, seed=3):
    """`run(checkpoint)` returns tensors: their bits, and the random stream after it, are those of
    `run(plainly)`."""
    found = []
    for way in BOTH:
        tg.seed(seed)
        found.append((bits(run(way)), tg.get_rng_state()))
    (expected, random_expected), (got, random_got) = found
    assert len(expected) > 0
    for i, (a, b) in enumerate(zip(expected, got, strict=True)):
        assert a == b, f"result {i}: {b} with a checkpoint, {a} without"
    assert random_got == random_expected


class Block(nn.Module):
    """A block with dropout, a residual and a weight that is used twice."""

    def __init__(self, n):
        self.norm = nn.LayerNorm(n)
        self.dense = nn.Dense(n, 2 * n)
        self.out = nn.Dense(2 * n, n)
        self.dropout = nn.Dropout(0.3)

    def forward(self, x):
        y = self.dropout(tg.gelu(self.dense(self.norm(x))))
        return x + self.dropout(self.out(y) @ self.dense.weight @ self.out.weight)


def data(n=6, rows=5, dtype=np.float32):
    return Tensor(np.random.default_rng(0).standard_normal((rows, n)), dtype=dtype)


def backward_of_a_block(way):
    block = Block(6)
    way(block, data()).sum().backward()
    return [p.grad for p in block.parameters()]
