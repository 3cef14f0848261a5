"""vmap over every row of the op tests equals the loop: values, and gradients of order 1 and 2.

Each row runs with all of its inputs different from example to example, and with one input alone.
Gradients are taken inside vmap, of vmap, and both.
"""

import functools
import zlib

import numpy as np
import pytest
from cases import CASES
from grouped import grouped
from op_calls import LABELS_OF_OPS, family_of

import tinygrad_like as tg

EXAMPLES = 3
BY_LABEL = {}
for row in CASES:
    BY_LABEL.setdefault(row.label, []).append(row)

# Boolean indices and nonzero: how much they choose depends on the values.
NOT_JOINED = "a boolean index", "examples may have different numbers"


CASE_OF = {label: cases[0] for label, cases in BY_LABEL.items()}
OF_OPS = grouped("label", [x for x in BY_LABEL if x in LABELS_OF_OPS], by=family_of)


def which_differ(case):
    """For each input, whether examples differ in it: all of them, or one alone."""
    n = len(case.inputs)
    yield (True,) * n
    if n > 1:
        yield from (tuple(i == j for j in range(n)) for i in range(n))


def examples(case, differ):
    """(the inputs of each example, the inputs of vmap, its in_axes)."""
    seeds = [zlib.crc32(case.name.encode()) + i for i in range(EXAMPLES)]
    drawn = [[x.make(np.random.default_rng(seed)) for x in case.inputs] for seed in seeds]
    each = [
        [tg.Tensor(x if d else x0) for x, x0, d in zip(xs, drawn[0], differ, strict=True)]
        for xs in drawn
    ]
    stacked = [
        tg.Tensor(np.stack(column) if d else column[0])
        for column, d in zip(zip(*drawn, strict=True), differ, strict=True)
    ]
    return each, stacked, tuple(0 if d else None for d in differ)


def floating(case):
    places = range(len(case.inputs))
    drawn = [x.make(np.random.default_rng(0)) for x in case.inputs]
    return tuple(i for i in places if drawn[i].dtype.kind in "fc")


def weighted(case, *inputs):
    """A number that depends on every floating output."""
    total = 0.0
    for k, y in enumerate(y for y in case(*inputs) if y.dtype.kind in "fc"):
        weights = np.random.default_rng(k).standard_normal(y.shape)
        total = total + tg.real(y * (weights * (1 + 2j) if y.dtype.kind == "c" else weights)).sum()
    return total


def gradient(case, f=None):
    f = f or functools.partial(weighted, case)
    return tg.grad(f, floating(case), allow_unused=True)


def penalty(case, *inputs):
    return sum(tg.real(g * tg.conj(g)).sum() for g in gradient(case)(*inputs))


def assert_same(found, expected, tolerance):
    """Tensors equal those of each example, stacked: in shape, dtype and value."""
    for y, parts in zip(found, zip(*expected, strict=True), strict=True):
        whole = np.stack([part.numpy() for part in parts])
        assert (y.shape, y.dtype) == (whole.shape, whole.dtype)
        assert_close(y.numpy(), whole, tolerance)


def assert_close(found, expected, tolerance):
    size = max(np.abs(expected[np.isfinite(expected)]).max(initial=0), 1)
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * size)


def check_rows(label, check, tolerance, grad):
    """Run a check on all rows of a label; what is wrong is said of all rows at once."""
    failures, count = [], 0
    with np.errstate(all="ignore"):
        for case in BY_LABEL[label]:
            if not case.grad and grad:
                continue
            for differ in which_differ(case):
                count += 1
                try:
                    check(case, *examples(case, differ), tolerance)
                except tg.GraphError as error:
                    if not any(reason in str(error) for reason in NOT_JOINED):
                        failures.append(f"{case.name} {differ}: {error}")
                except Exception as error:
                    failures.append(f"{case.name} {differ}: {type(error).__name__}: {error}")
    assert count
    assert not failures, "\n".join(failures)


def check_values(case, each, stacked, axes, tolerance):
    """One seed for each example: then examples that draw alike draw what the loop draws."""

    def seeded(*inputs):
        tg.seed(3)
        return case(*inputs)

    found = tg.vmap(seeded, axes, randomness="same")(*stacked)
    assert_same(found, [seeded(*inputs) for inputs in each], tolerance)


def check_inside(case, each, stacked, axes, tolerance, f=None):
    by_example = seeded(gradient(case, f))
    found = tg.vmap(by_example, axes, randomness="same")(*stacked)
    assert_same(found, [by_example(*inputs) for inputs in each], tolerance)


def check_outside(case, each, stacked, axes, tolerance, f=None):
    f = seeded(f or functools.partial(weighted, case))
    weights = np.arange(1.0, EXAMPLES + 1)

    def total(*inputs):
        return (tg.vmap(f, axes, randomness="same")(*inputs) * weights).sum()

    found = tg.grad(total, floating(case), allow_unused=True)(*stacked)
    expected = [gradient(case, f)(*inputs) for inputs in each]
    for i, y, parts in zip(floating(case), found, zip(*expected, strict=True), strict=True):
        parts = [p.numpy() * w for p, w in zip(parts, weights, strict=True)]
        whole = np.stack(parts) if axes[i] == 0 else sum(parts)
        assert_close(y.numpy(), whole, tolerance)


def check_pull_back(case, each, stacked, axes, tolerance):
    """Many gradients of one point: what was saved is shared, and only g differs."""
    inputs, places = each[0], floating(case)

    def outputs(*given):
        tg.seed(3)
        mine = iter(given)
        every = [next(mine) if i in places else x for i, x in enumerate(inputs)]
        return [y for y in case(*every) if y.dtype.kind in "fc"]

    value, pull_back = tg.vjp(outputs, *[inputs[i] for i in places], allow_unused=True)
    rng = np.random.default_rng(0)
    gs = [tg.Tensor(rng.standard_normal((EXAMPLES, *y.shape)), dtype=y.dtype) for y in value]
    found = tg.vmap(pull_back)(gs)
    expected = [pull_back([g[i] for g in gs]) for i in range(EXAMPLES)]
    assert_same(found, expected, tolerance)


def seeded(f):
    @functools.wraps(f)
    def call(*inputs):
        tg.seed(3)
        return f(*inputs)

    return call


def is_brief(label):
    """Whether a label is of an op, or of what has no gradient: compositions take long."""
    return label in LABELS_OF_OPS or not CASE_OF[label].grad


@grouped("label", BY_LABEL, by=str, brief=is_brief, together=family_of)
def test_values_are_those_of_the_loop(label):
    check_rows(label, check_values, 1e-12, grad=False)


@pytest.mark.long
@OF_OPS
def test_gradients_of_each_example_are_those_of_the_loop(label):
    check_rows(label, check_inside, 1e-10, grad=True)


@pytest.mark.long
@OF_OPS
def test_the_gradient_of_vmap_is_that_of_the_loop(label):
    check_rows(label, check_outside, 1e-10, grad=True)


@pytest.mark.long
@OF_OPS
def test_many_gradients_are_pulled_back_as_in_a_loop(label):
    def check(case, *arguments):
        if arguments[2][:1] != (None,):  # once for each row
            check_pull_back(case, *arguments)

    check_rows(label, check, 1e-10, grad=True)


@pytest.mark.long
@OF_OPS
def test_second_derivatives_of_each_example_are_those_of_the_loop(label):
    def check(case, *arguments):
        check_inside(case, *arguments, f=functools.partial(penalty, case))

    check_rows(label, check, 1e-9, grad=True)


@pytest.mark.long
@OF_OPS
def test_the_gradient_of_gradients_of_each_example_is_that_of_the_loop(label):
    def check(case, *arguments):
        check_outside(case, *arguments, f=functools.partial(penalty, case))

    check_rows(label, check, 1e-9, grad=True)
