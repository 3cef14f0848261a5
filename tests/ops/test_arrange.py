"""Shapes and places: what has no row in cases_arrange.py, ends of ranges, and refusals."""

import numpy as np
import pytest

import tinygrad_like as tg
from tinygrad_like.engine import gradients


@pytest.mark.parametrize(("n", "k", "m"), [(3, 0, None), (3, 1, 5), (4, -2, 2), (0, 0, None)])
def test_indices_of_triangles(n, k, m):
    for name in ("tril_indices", "triu_indices"):
        found = getattr(tg, name)(n, k, m)
        for ours, theirs in zip(found, getattr(np, name)(n, k, m), strict=True):
            np.testing.assert_array_equal(ours.numpy(), theirs)


NUMPY_ONLY = {
    "fliplr": lambda x: np.fliplr(x),
    "flipud": lambda x: np.flipud(x),
    "ravel": lambda x: np.ravel(x),
    "rollaxis": lambda x: np.rollaxis(x, 2, 1),
    "gradient": lambda x: np.gradient(x, 0.5, axis=1),
    "partition": lambda x: np.partition(x, 1)[..., 1],
    "argpartition": lambda x: np.argpartition(x, 1)[..., 1],
    "sliding_window_view": lambda x: np.lib.stride_tricks.sliding_window_view(x, 2, axis=0),
    "take wrap": lambda x: np.take(x, [7, -9], axis=1, mode="wrap"),
    "einsum by lists": lambda x: np.einsum(x, [..., 0], [...]),
    "insert": lambda x: np.insert(x, 1, 5.0, axis=2),
    "sum of a number": lambda x: np.sum(x[0, 0, 0], axis=0),
}


@pytest.mark.parametrize("name", NUMPY_ONLY)
def test_a_numpy_function_of_a_tensor_is_recorded(name):
    x = np.random.default_rng(0).standard_normal((3, 4, 2))
    y = NUMPY_ONLY[name](tg.Tensor(x, requires_grad=True))
    assert y.requires_grad == (name != "argpartition")
    np.testing.assert_allclose(y.detach().numpy(), NUMPY_ONLY[name](x), rtol=1e-14)


@pytest.mark.parametrize("axis", [0, -1])
def test_a_number_is_reduced_along_its_only_element(axis):
    x = tg.Tensor(3.0, requires_grad=True)
    for function in (tg.sum, tg.mean, tg.max, tg.prod, tg.logsumexp, tg.median):
        y = function(x, axis=axis, keepdims=True)
        assert (y.shape, y.item()) == ((), 3.0)
        assert gradients([y], [x], [tg.ones(())])[0].item() == 1
    assert tg.argmax(x, axis=axis).item() == 0
    np.testing.assert_array_equal(tg.vmap(lambda v: tg.max(v, axis=axis))(tg.ones(3)).numpy(), 1)


@pytest.mark.parametrize("axis", [0, -1])
@pytest.mark.parametrize(("function", "value", "slope"), [
    (lambda x, axis: tg.softmax(x, axis=axis), 1, 0),
    (lambda x, axis: tg.log_softmax(x, axis=axis), 0, 0),
    (lambda x, axis: tg.cummax(x, axis)[0], 3, 1),
    (lambda x, axis: tg.cummin(x, axis)[0], 3, 1),
    (tg.logcumsumexp, 3, 1),
])  # fmt: skip
def test_a_number_is_a_row_of_one(function, value, slope, axis):
    x = tg.Tensor(3.0, dtype="float64", requires_grad=True)
    y = function(x, axis)
    assert (y.shape, y.item()) == ((), value)
    tg.gradcheck(lambda x: function(x, axis) * x, x)
    assert gradients([y], [x], [tg.ones(())])[0].item() == slope
    each = tg.vmap(lambda v: function(v, axis))(tg.Tensor([3.0, 3.0]))
    np.testing.assert_array_equal(each.numpy(), [value] * 2)


OF_NUMPY = {
    "an integer beside indices": (lambda x, lib: x[1, :, [0, 1]]),
    "one shift of two axes": (lambda x, lib: lib.roll(x, 1, axis=(0, 1))),
    "a pad longer than its axis": (lambda x, lib: lib.pad(x, 5, mode="reflect")),
    "a turn and more": (lambda x, lib: lib.pad(x, 5, mode="wrap")),
    "falling integers": (lambda x, lib: lib.linspace(5, -5, 20, dtype="int32")),
}


@pytest.mark.parametrize("name", OF_NUMPY)
def test_where_numpy_and_pytorch_disagree_arrays_are_numpys(name):
    x = np.arange(24.0).reshape(2, 3, 4)
    ours, theirs = OF_NUMPY[name](tg.Tensor(x), tg), OF_NUMPY[name](x, np)
    np.testing.assert_array_equal(ours.numpy(), theirs, strict=True)


REFUSED = [
    (lambda: tg.scatter(tg.ones(3), [3], 1.0), IndexError, "from 3 to 3, expected -3 to 2"),
    (lambda: tg.scatter(tg.ones(3), [0], tg.ones(2)), ValueError, r"updates are \(2,\)"),
    (lambda: tg.scatter(tg.ones(3), [0], 1.0, reduce="max"), ValueError, "reduce is 'max'"),
    (lambda: tg.scatter(tg.arange(3), [0], 0.5), TypeError, "float64"),
    (lambda: tg.fold(tg.ones((1, 4, 5)), 3, 2), ValueError, r"expected \(N, C 4, 4\)"),
    (lambda: tg.unfold(tg.ones((1, 1, 2, 2)), 3), ValueError, "no window fits"),
    (lambda: tg.rot90(tg.ones((2, 2)), axes=(0, 0)), ValueError, "names an axis twice"),
    (lambda: tg.pad(tg.ones(3), -2), ValueError, "takes away 4"),
    (lambda: tg.kthvalue(tg.ones(3), 4), ValueError, "k is 4, expected an integer from 1 to 3"),
    (lambda: tg.quantile(tg.ones(3), 1.5), ValueError, "q is 1.5, expected numbers from 0 to 1"),
    (lambda: tg.quantile(tg.ones(3), 0.5, method="inverted_cdf"), ValueError, "method is"),
    (lambda: tg.median(tg.ones((0, 3)), axis=0), ValueError, "of no elements has no value"),
    (lambda: tg.masked_scatter(tg.ones(3), tg.ones(3) > 0, tg.ones(2)), ValueError, "3 places"),
    (lambda: tg.insert(tg.ones(3), 4, 1.0), IndexError, "expected from -3 to 3"),
    (lambda: tg.cross(tg.ones(2), tg.ones(2)), ValueError, "2 and 2 elements, not 3"),
    (lambda: tg.digitize(tg.ones(3), [1, 3, 2]), ValueError, "rising or falling"),
    (lambda: tg.einsum(tg.ones(2), [0.5]), TypeError, "an axis is 0.5"),
    (lambda: tg.vmap(tg.unique)(tg.ones((2, 3))), tg.GraphError, "different numbers of results"),
    (lambda: tg.vmap(tg.bincount)(tg.arange(4).reshape(2, 2)), tg.GraphError, "minlength=4"),
]


@pytest.mark.parametrize(("call", "error", "text"), REFUSED, ids=[row[2] for row in REFUSED])
def test_what_does_not_fit_is_refused(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_what_has_a_name_has_no_second_one():
    others = "movedim tensor_split narrow expand index_select masked_select bucketize fliplr ravel"
    assert not [name for name in (*others.split(), "put_along_axis") if hasattr(tg, name)]


def test_an_element_that_does_not_count_has_no_share_of_the_gradient():
    x, u = (tg.Tensor([5.0, 5.0], requires_grad=True) for _ in range(2))
    y = tg.scatter(x, [0, 0], u, reduce="amax", include_self=False)
    dx, du = gradients([y], [x, u], [tg.Tensor([1.0, 1.0])])
    np.testing.assert_array_equal(dx.numpy(), [0, 1])
    np.testing.assert_array_equal(du.numpy(), [0.5, 0.5])
