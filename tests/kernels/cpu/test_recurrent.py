"""The CPU's recurrent layers against the reference in float64: on one, two and three threads."""

import itertools

import numpy as np
import pytest
from cpu_threads import on_threads
from grouped import grouped
from tinygrad_like.kernels import cpu, reference

BLOCKS = {"rnn": (1, 1, 1), "gru": (3, 4, 1), "lstm": (4, 4, 2)}  # of weight, of bias; states
SHAPES = [(1, 5, 7, 256), (2, 9, 30, 300), (33, 20, 17, 65), (5, 1, 8, 32), (70, 7, 64, 96)]


def run(kernels, kind, arrays, lengths, how):
    """All that a layer gives forward and backward, but what it keeps for itself."""
    x, weight, recurrent, bias, dout, *states = arrays
    count = BLOCKS[kind][2]
    first, dstates = states[:count], states[count:]
    out, *rest = getattr(kernels, kind)(x, weight, recurrent, bias, *first, lengths, *how)
    last, kept = rest[:count], rest[count:]
    grads = getattr(kernels, f"{kind}_backward")(
        *(dout, *dstates, x, weight, recurrent, *first, out, *kept, lengths, *how),
        (True,) * (4 + count),
    )
    return [out, *last, *grads]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", BLOCKS)
@grouped("cut dtype count", itertools.product([False, True], [np.float32, np.float64], [1, 2, 3]))
def test_layers_agree_with_the_reference(kind, shape, cut, dtype, count):
    n, t, d, h = shape
    wide, tall, states = BLOCKS[kind]
    rng = np.random.default_rng(0)
    shapes = [(n, t, d), (d, wide * h), (h, wide * h), (tall * h,), (n, t, h)]
    shapes += [(n, h)] * (2 * states)
    arrays = [rng.standard_normal(s).astype(dtype) for s in shapes]
    for k in (1, 2):
        arrays[k] /= np.sqrt(len(arrays[k])).astype(dtype)
    lengths = rng.integers(0, t + 1, n) if cut else None
    how = (cut, "tanh") if kind == "rnn" else (cut,)
    with on_threads(count):
        ours = run(cpu, kind, arrays, lengths, how)
        again = run(cpu, kind, arrays, lengths, how)
    exact = run(reference, kind, [a.astype(np.float64) for a in arrays], lengths, how)
    for k, (a, b, c) in enumerate(zip(ours, exact, again, strict=True)):
        assert (a.dtype, a.shape) == (dtype, b.shape), k
        bound = 64 * np.finfo(dtype).eps * max(1, np.abs(b).max())
        np.testing.assert_allclose(a, b, rtol=0, atol=bound, err_msg=f"result {k}")
        np.testing.assert_array_equal(a, c, err_msg=f"result {k} in a second run")
