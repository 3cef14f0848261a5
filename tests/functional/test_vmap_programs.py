"""Random programs: vmap equals the loop, nested too, and so do the derivatives of both."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_like as tg

AXES = st.integers(-3, 2)

# {name: (a step of a program, what it draws)}: x has three axes before the step and after it.
STEPS = {
    "sin": (lambda x, w, _: tg.sin(x), st.none()),
    "times": (lambda x, w, _: x * w, st.none()),
    "divide": (lambda x, w, _: w / (2 + x * x), st.none()),
    "where": (lambda x, w, _: tg.where(x > w, x, 2 * w), st.none()),
    "maximum": (lambda x, w, c: tg.maximum(x, c), st.floats(-1, 1)),
    "clip": (lambda x, w, c: tg.clip(x, c, w.detach().max()), st.floats(-3, -1)),
    "sum": (lambda x, w, a: x.sum(axis=a, keepdims=True), AXES),
    "mean": (lambda x, w, a: x - x.mean(axis=a, keepdims=True), AXES),
    "max": (lambda x, w, a: x / (1 + abs(x.max(axis=a, keepdims=True))), AXES),
    "norm": (lambda x, w, a: x * (1 + (x * x).sum(axis=a, keepdims=True)) ** 0.5, AXES),
    "cumsum": (lambda x, w, a: tg.cumsum(x, axis=a), AXES),
    "softmax": (lambda x, w, a: tg.softmax(x, axis=a), AXES),
    "logsumexp": (lambda x, w, a: tg.logsumexp(x, axis=a, keepdims=True) * w, AXES),
    "layer_norm": (lambda x, w, _: tg.layer_norm(x * w, eps=0.1), st.none()),
    "sort": (lambda x, w, a: tg.sort(x, axis=a), AXES),
    "flip": (lambda x, w, a: tg.flip(x, axis=a), AXES),
    "roll": (lambda x, w, a: tg.roll(x, 1, axis=a), AXES),
    "transpose": (lambda x, w, p: x.transpose(p), st.permutations([0, 1, 2])),
    "reshape": (lambda x, w, a: x.reshape(*np.roll(x.shape, a).tolist()), AXES),
    "matmul": (lambda x, w, _: x @ x.swapaxes(-1, -2), st.none()),
    "matmul with w": (lambda x, w, _: x @ tg.broadcast_to(w, (x.shape[2], 2)), st.none()),
    "einsum": (lambda x, w, _: tg.einsum("ijk,ilk->ijl", x, x * w), st.none()),
    "row": (lambda x, w, i: x[i % x.shape[0]][None], st.integers(-2, 5)),
    "slice": (lambda x, w, i: x[..., i % x.shape[2] :], st.integers(0, 5)),
    "rows": (lambda x, w, i: x[np.array(i) % x.shape[0]], st.lists(st.integers(-2, 5), min_size=1)),
    "columns": (lambda x, w, _: x[:, tg.argsort(x[0, :, 0])], st.none()),
    "largest": (lambda x, w, a: tg.take_along_axis(x, tg.argsort(x, a), a), AXES),
    "concatenate": (lambda x, w, a: tg.concatenate([x, w * x], axis=a), AXES),
    "pad": (lambda x, w, _: tg.pad(x, ((0, 0), (1, 0), (0, 1))), st.none()),
    "repeat": (lambda x, w, a: tg.repeat(x, 2, axis=a), AXES),
}


@st.composite
def programs(draw):
    names = draw(st.lists(st.sampled_from(list(STEPS)), min_size=2, max_size=6))
    steps = [(STEPS[name][0], draw(STEPS[name][1])) for name in names]

    def program(x, w):
        for step, drawn in steps:
            x = step(x, w, drawn)
            if x.size > 300:
                x = x[:2, :2, :2]
        return x

    program.__name__ = " ".join(names)
    return program


SHAPES = st.tuples(*[st.integers(1, 3)] * 3)
PLACES = st.integers(0, 3)  # where the axis of examples is
EXAMPLES = 2


def drawn_at(shape, axis, seed):
    """(a Tensor of examples of this shape, along an axis; one Tensor for each example)."""
    rows = np.random.default_rng(seed).standard_normal((EXAMPLES, *shape))
    return tg.Tensor(np.moveaxis(rows, 0, axis)), [tg.Tensor(row) for row in rows]


def assert_close(found, expected, tolerance=1e-10):
    found, expected = found.numpy(), np.asarray(expected)
    assert found.shape == expected.shape
    size = max(np.abs(expected).max(initial=0), 1)
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * size)


def numbers(x):
    return np.cos(np.arange(x.size)).reshape(x.shape)


def weighted(program):
    def f(x, w):
        y = program(x, w)
        return (y * numbers(y)).sum()

    return f


SETTINGS = settings(deadline=None, max_examples=100, derandomize=True, database=None)
LONG = settings(SETTINGS, max_examples=1000)


def check_one_vmap(program, shape, axis, out, shared):
    x, rows = drawn_at(shape, axis, 1)
    w, ws = drawn_at((), 0, 2)
    if shared:
        w, ws = ws[0], [ws[0]] * EXAMPLES
    axes = axis, None if shared else 0
    each = [program(*args).numpy() for args in zip(rows, ws, strict=True)]
    assert_close(tg.vmap(program, axes, out)(x, w), np.stack(each, out))

    f = weighted(program)
    by_both = tg.grad(f, (0, 1), allow_unused=True)
    expected = [[g.numpy() for g in by_both(*args)] for args in zip(rows, ws, strict=True)]
    inside = tg.vmap(by_both, axes)(x, w)
    outside = tg.grad(lambda x, w: tg.vmap(f, axes)(x, w).sum(), (0, 1), allow_unused=True)(x, w)
    dx, dw = (np.stack(column) for column in zip(*expected, strict=True))
    assert_close(inside[0], dx)
    assert_close(inside[1], dw)
    assert_close(outside[0], np.moveaxis(dx, 0, axis))
    assert_close(outside[1], dw.sum(0) if shared else dw)


def check_nested(program, shape, axis):
    x, rows = drawn_at(shape, axis, 1)
    w, ws = drawn_at((), 0, 2)
    f = tg.vmap(lambda w: tg.vmap(lambda x: program(x, w), axis)(x))
    assert_close(f(w), [[program(row, one).numpy() for row in rows] for one in ws])
    by_w = tg.grad(weighted(program), 1, allow_unused=True)
    found = tg.vmap(lambda w: tg.vmap(lambda x: by_w(x, w), axis)(x))(w)
    assert_close(found, [[by_w(row, one).numpy() for row in rows] for one in ws])


def check_directions(program, shape):
    """vmap(jvp(grad)) against the loop: the second derivative along a direction."""
    x, rows = drawn_at(shape, 0, 1)
    v, vs = drawn_at(shape, 0, 3)
    w = tg.Tensor(0.7, dtype=np.float64)

    def along(x, v):
        gradient = tg.grad(lambda x: weighted(program)(x, w) + (x**3).sum())
        return tg.jvp(gradient, (x,), (v,))[1]

    expected = [along(*args).numpy() for args in zip(rows, vs, strict=True)]
    assert_close(tg.vmap(along)(x, v), expected, 1e-9)


@SETTINGS
@given(programs(), SHAPES, PLACES, st.integers(0, 3), st.booleans())
def test_vmap_and_its_gradients_are_the_loops(program, shape, axis, out, shared):
    check_one_vmap(program, shape, axis, out, shared)


@SETTINGS
@given(programs(), SHAPES, PLACES)
def test_nested_vmaps_are_the_loops(program, shape, axis):
    check_nested(program, shape, axis)


@SETTINGS
@given(programs(), SHAPES)
def test_second_derivatives_along_directions_are_the_loops(program, shape):
    check_directions(program, shape)


@pytest.mark.long
@LONG
@given(programs(), SHAPES, PLACES, st.integers(0, 3), st.booleans())
def test_a_thousand_programs(program, shape, axis, out, shared):
    check_one_vmap(program, shape, axis, out, shared)
    check_nested(program, shape, axis)
