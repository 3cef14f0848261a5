"""Every function of NumPy that can be given a Tensor is here, or left out with a reason.

Those of numpy_options.py, numpy_series.py and numpy_places.py in ops/protocols give NumPy's values
and dtypes, and keep the gradient.
"""

import re
from pathlib import Path

import numpy as np
import pytest
from needed import needs_emulator

import tinygrad_like as tg
from tinygrad_like import Tensor
from tinygrad_like.ops.protocols import numpy_functions

PAGE = (Path(tg.__file__).parent / "LEFT_OUT.md").read_text(encoding="utf-8")
ROOMS = {"np": np, "np.linalg": np.linalg, "np.fft": np.fft}
DONE = {
    *numpy_functions.BY_UFUNC,
    *numpy_functions.BY_FUNCTION,
    *numpy_functions.WITHOUT_VALUES,
    *numpy_functions.WRITING,
}


def meets_tensors(f):
    """Whether NumPy asks the arguments of a function what to do, by one of its two protocols."""
    return isinstance(f, np.ufunc) or hasattr(f, "_implementation")


def test_every_function_of_numpy_is_here_or_left_out_with_a_reason():
    functions = {
        f"{room}.{name}": f
        for room, module in ROOMS.items()
        for name, f in vars(module).items()
        if not name.startswith("_") and meets_tensors(f)
    }
    assert len(functions) > 300
    missing = [name for name, f in functions.items() if f not in DONE and f"`{name}`" not in PAGE]
    assert not missing, f"neither in ops/protocols/numpy_functions.py nor in LEFT_OUT.md: {missing}"


def test_nothing_is_left_out_that_is_here():
    listed = PAGE.split("## Options of NumPy")[0].split("## Functions of NumPy")[1]
    names = re.findall(r"`np\.(\w+)`", listed)
    assert len(names) > 20
    here = [name for name in names if getattr(np, name, None) in DONE]
    assert not [name for name in here if name not in ("polymul", "convolve")]


X = np.array([[0.5, -1.0, 2.0], [3.0, 0.25, -0.75]])
M = np.array([[True, False, True], [True, True, False]])
HOLES = np.where(M, X, np.nan)
LARGE = np.array([0, 1e20, 0])
ROW = np.array([1.0, 5.0, -2.0, 4.0])
Z = ROW * (1 + 2j) - 1j
I = np.array([[1, 0, 2], [2, 1, 1]])  # noqa: E741

REDUCED = {
    **{
        f"{name} where": lambda x, name=name: getattr(np, name)(x, axis=1, where=M)
        for name in "sum prod mean var std any all".split()
    },
    **{
        f"{name} where": lambda x, name=name: getattr(np, name)(x + 0 * HOLES, axis=0, where=M | ~M)
        for name in "nansum nanprod nanmean nanvar nanstd".split()
    },
    "max where": lambda x: np.max(x, 1, initial=0.75, where=M),
    "min initial": lambda x: np.min(x, axis=0, initial=0.75, keepdims=True),
    "sum of all": lambda x: np.sum(x, dtype=np.float32, initial=2.5),
    "mean dtype": lambda x: np.mean(x, 0, np.float32),
    "std correction": lambda x: np.std(x, correction=1, where=M),
    "var of complex": lambda x: np.var(x * (1 + 2j), axis=1, where=M[:1]),
    "cumsum dtype": lambda x: np.cumsum(x, 1, np.float32),
    "trace dtype": lambda x: np.trace(x, dtype=np.float32),
    "reshape F": lambda x: np.reshape(x, (3, -1), order="F"),
    "reshape F of three": lambda x: np.reshape(x, (1, 3, 2), "F"),
    "ravel F": lambda x: np.ravel(x, "F"),
    "copy": lambda x: np.copy(x, "C"),
    "gradient beside a large element": lambda x: np.gradient(x + LARGE, axis=1)[:, 1],
    "sort kind": lambda x: np.sort(x, 0, "stable"),
    "argsort stable": lambda x: np.argsort(x, stable=True),
    "add.reduce": lambda x: np.add.reduce(x, where=M, initial=1.0),
    "multiply.reduce": lambda x: np.multiply.reduce(x, axis=None),
    "minimum.reduce": lambda x: np.minimum.reduce(x, axis=1, keepdims=True),
    "logical_or.reduce": lambda x: np.logical_or.reduce(x > 2),
    "logaddexp.reduce": lambda x: np.logaddexp.reduce(x, 1),
    "add.accumulate": np.add.accumulate,
    "maximum.accumulate": lambda x: np.maximum.accumulate(x, 1),
    "subtract.outer": lambda x: np.subtract.outer(x, x[0]),
    "power.outer": lambda x: np.power.outer(ROW**2, x),
    "multiply.outer of a number": lambda x: np.multiply.outer(x, 2.0),
}
SERIES = {
    "linspace": lambda x: np.linspace(x[0], x[1], 4),
    "linspace of a number": lambda x: np.linspace(0, x, 3, endpoint=False, axis=-1),
    "linspace retstep": lambda x: np.linspace(x[0], 2.0, 3, retstep=True)[1],
    "logspace": lambda x: np.logspace(x[0], x[1], 3, base=2.0),
    "geomspace": lambda x: np.geomspace(-np.abs(x[0]), -np.abs(x[1]), 4, axis=1),
    "unwrap": lambda x: np.unwrap(3.1 * x),
    "unwrap period": lambda x: np.unwrap(x, 1.5, axis=0, period=2.25),
    **{
        f"{f.__name__} {mode} {n}": lambda x, f=f, mode=mode, n=n: f(x[0], ROW[:n], mode)
        for f in (np.convolve, np.correlate)
        for mode in ("full", "same", "valid")
        for n in (2, 4)
    },
    "convolve with a list": lambda x: np.convolve(x[1], [1, 2]),
    "convolve of complex": lambda x: np.convolve(x[1], Z),
    "correlate of complex": lambda x: np.correlate(Z[:2], x[0] * 1j, "full"),
    "polyadd": lambda x: np.polyadd(x[0], ROW),
    "polysub": lambda x: np.polysub(ROW, x[1]),
    "polymul": lambda x: np.polymul(x[0], x[1]),
    "polyder": lambda x: np.polyder(x[0], 2),
    "polyint": lambda x: np.polyint(x[0], 2, [1.0, 2.0]),
    "polyfit": lambda x: np.polyfit(x[0], x[1], 1),
    "polyfit weights": lambda x: np.polyfit(x[0], x.T, 1, w=ROW[:3]),
    "tensorinv": lambda x: np.linalg.tensorinv((x.T @ x + np.eye(3)).reshape(3, 3, 1), 1),
    "tensorsolve": lambda x: np.linalg.tensorsolve(
        (x @ x.T + np.eye(2)).reshape(2, 1, 2), x[:, :1], (2,)
    ),
}
PLACES = {
    "extract": lambda x: np.extract(M, x),
    "compress": lambda x: np.compress([True, False, True], x, axis=1),
    "compress flat": lambda x: np.compress([True, False, True], x),
    "choose": lambda x: np.choose(I, [x, 2 * x, x[0]]),
    "choose wrap": lambda x: np.choose(I + 1, (x, 2 * x), mode="wrap"),
    "resize": lambda x: np.resize(x, (4, 2)),
    "trim_zeros": lambda x: np.trim_zeros(np.pad(x[0], (1, 2))),
    "trim_zeros behind": lambda x: np.trim_zeros(np.pad(x[1], (1, 2)), "b"),
    "union1d": lambda x: np.union1d(x, ROW),
    "intersect1d": lambda x: np.intersect1d(x, x[0]),
    "setdiff1d": lambda x: np.setdiff1d(x, ROW),
    "setxor1d": lambda x: np.setxor1d(x, ROW),
    "apply_along_axis": lambda x: np.apply_along_axis(lambda r: np.outer(r, r), 1, x),
    "apply_along_axis options": lambda x: np.apply_along_axis(np.var, 0, x, ddof=1),
    "apply_over_axes": lambda x: np.apply_over_axes(np.sum, x, (0, 1)),
    "frexp": lambda x: np.frexp(1.1 * x)[0],
}
WITHOUT_GRADIENT = {
    "flatnonzero": lambda x: np.flatnonzero(x > 0),
    "nanargmax": lambda x: np.nanargmax(x + 0 * HOLES, axis=0),
    "nanargmin": lambda x: np.nanargmin(x + 0 * HOLES),
    "lexsort": lambda x: np.lexsort((x[0], np.round(x[1]))),
    "lexsort of rows": np.lexsort,
    "isposinf": lambda x: np.isposinf(x / 0),
    "isneginf": lambda x: np.isneginf(x / 0),
    "isin": lambda x: np.isin(x, ROW, invert=True),
    "isin of nothing": lambda x: np.isin(x + 0 * HOLES, []),
    "polyder of booleans": lambda x: np.polyder(x[0] > 0),
    "setdiff1d of equals": lambda x: np.setdiff1d((x > 0) * I, [1, 7]),
    "setxor1d of equals": lambda x: np.setxor1d((x > 0) * I, [1, 7]),
    "frexp's exponents": lambda x: np.frexp(x)[1],
    "sum of integers": lambda x: np.sum(x > 0, axis=0, initial=2),
    "logical_and.reduce": np.logical_and.reduce,
}
CALLS = REDUCED | SERIES | PLACES | WITHOUT_GRADIENT
FLAT = ("any where", "all where", "argsort stable", "logical_or.reduce")  # no gradient
ROUNDED = ("dtype", "sum of all")  # to float32: no differences


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.filterwarnings("ignore:.* encountered in:RuntimeWarning")
def test_values_are_numpys_and_the_gradient_is_kept(name):
    f, x = CALLS[name], Tensor(X, requires_grad=True)
    found, expected = f(x), np.asarray(f(X))
    assert isinstance(found, Tensor)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    tolerance = 1e-6 if expected.dtype == np.float32 else 1e-12
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=tolerance, atol=1e-15)
    differentiable = name not in WITHOUT_GRADIENT and name not in FLAT
    assert found.requires_grad == differentiable
    if differentiable and expected.dtype != np.float32:
        tg.gradcheck(f, x, order=1)


@needs_emulator
@pytest.mark.parametrize(
    "name", ["sum where", "linspace", "convolve full 2", "choose", "setdiff1d", "isin", "frexp"]
)
def test_a_device_computes_them_and_arrays_go_there(name):
    f = CALLS[name]
    found, expected = f(Tensor(X, device="cuda-emulator")), f(X)
    assert found.device == "cuda-emulator"
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)


def test_equality_is_told_by_a_bool():
    t, holes = Tensor(X, requires_grad=True), Tensor(HOLES)
    assert np.array_equal(t, X) is True
    assert np.array_equal(t, X[0]) is False
    assert np.array_equal(holes, HOLES) is False
    assert np.array_equal(holes, HOLES, equal_nan=True) is True
    assert np.array_equiv(t, X[None]) is True
    assert np.array_equiv(t, X.T) is False


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda t: np.sum(t, where=I), TypeError, r"\[sum\] where has dtype int64, expected bool"),
        (
            lambda t: np.sum(t > 0, initial=0.5),
            TypeError,
            r"\[sum\] initial is 0.5, expected an in",
        ),
        (lambda t: np.max(t, where=M), ValueError, r"\[max\] .* expected an initial one as well"),
        (lambda t: np.mean(t, dtype=int), TypeError, r"\[mean\] dtype is int64, expected a float"),
        (lambda t: np.reshape(t, 6, "A"), ValueError, r"\[reshape\] order is 'A', expected 'C' or"),
        (lambda t: np.geomspace(t[0], 1.0), ValueError, r"\[geomspace\] the ends are 0, or have"),
        (lambda t: np.convolve(t, ROW), ValueError, r"\[convolve\] got \(2, 3\) and \(4,\), expec"),
        (lambda t: np.polyint(t[0], 3, [1, 2]), ValueError, r"\[polyint\] k has 2 constants"),
        (lambda t: np.polyfit(t, ROW, 1), ValueError, r"\[polyfit\] x is \(2, 3\), y is \(4,\)"),
        (lambda t: np.compress(M, t), ValueError, r"\[compress\] condition is \(2, 3\), expected"),
        (lambda t: np.choose(I, (t, t)), IndexError, r"\[choose\] "),
        (lambda t: np.nanargmax(t * np.nan), ValueError, r"\[nanargmax\] there are NaN alone"),
        (lambda t: np.lexsort(t[0]), ValueError, r"\[lexsort\] keys are \(3,\), expected rows"),
        (lambda t: np.apply_along_axis(np.sum, 0, t[:, :0]), ValueError, r".*there are no rows"),
        (lambda t: np.linalg.tensorsolve(t, t[0]), ValueError, r"\[tensorsolve\] a is \(2, 3\)"),
    ],
)
def test_what_does_not_fit_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call(Tensor(X, requires_grad=True))
