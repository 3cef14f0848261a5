"""Values and gradients at poles, infinities, signed zeros and NaN: PyTorch's, where not listed."""

import math
import warnings

import numpy as np
import pytest
from oracle import F, needs_torch, torch

import tinygrad_like as tg

INF, NAN = math.inf, math.nan
POINTS = np.array([-INF, -2.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 2.0, INF, NAN])
UNARY = """
    negative abs sign floor ceil round exp expm1 log log1p log2 sqrt rsqrt square sin cos tan arcsin
    arccos arctan sinh cosh tanh erf sigmoid relu leaky_relu elu gelu silu softplus positive trunc
    reciprocal deg2rad rad2deg sinc exp2 log10 arcsinh arccosh arctanh nan_to_num lgamma digamma
    erfc erfinv logsigmoid mish tanhshrink softsign celu selu hardtanh relu6 hardsigmoid hardswish
    hardshrink softshrink
""".split()
BINARY = """
    add subtract multiply divide power maximum minimum arctan2 hypot logaddexp xlogy remainder
    float_power
""".split()
NUMBERS = [0, 1, 2, 3, -1, 0.5, -0.5, INF, -INF]

# Where we differ: (value, gradients) at points, and why.
DIFFERENT = {
    ("abs", NAN): "the gradient of NaN is NaN, not 0",
    ("sign", NAN): "NaN passes on, it is not 0",
    ("relu", NAN): "as at all that is not above 0",
    ("elu", NAN): "the gradient of NaN is NaN",
    ("gelu", -INF): "the limits at infinity, 0 and 1, not NaN",
    ("gelu", INF): "the limits at infinity",
    ("power", INF, -INF): "0 where the power is 0, the limit",
    ("power", INF, -2.0): "0 where the power is 0, the limit",
    ("power", INF, -1.0): "0 where the power is 0, the limit",
    ("power", INF, -0.5): "0 where the power is 0, the limit",
    ("x ** 0.5", -INF): "NumPy's power is 0 or inf there, PyTorch takes a root",
    ("x ** -0.5", -INF): "NumPy's power is 0 or inf there, PyTorch takes a root",
    ("x ** 0.5", -0.0): "NumPy's power knows no sign of 0",
    ("x ** -0.5", -0.0): "NumPy's power knows no sign of 0",
    **{("softsign", x): "the slope's limit at infinity" for x in (-INF, INF)},
    **{(f, NAN): "the gradient of NaN is NaN" for f in ("celu", "selu", "hardswish")},
    **{(f, NAN): "as clip's" for f in ("hardtanh", "relu6")},
    **{("arccosh", x): "not defined below 1" for x in (-INF, -2.0, -1.0)},
    ("lgamma", -INF): "SciPy's value",
    **{("digamma", x): "infinite at a pole; SciPy's" for x in (-INF, -2.0, -1.0)},
    **{
        (f, x, y): "a convention, see ops/__init__.py"
        for f in ("hypot", "xlogy")
        for x in ("0.0", "-0.0")  # as numbers they are equal
        for y in ("0.0", "-0.0")
    },
    **{
        (f, x, x): "half to each, not NaN" for f in ("logaddexp", "logaddexp2") for x in (-INF, INF)
    },
    **{("float_power", INF, x): "as power" for x in (-INF, -2.0, -1.0, -0.5)},
    **{("inf ** x", x): "0 where the power is 0, the limit" for x in (-INF, -2.0, -1.0, -0.5)},
}


def results(f, points, tensor, backward):
    xs = [tensor(p) for p in points]
    y = f(*xs)
    backward(y)
    return [y.item(), *(x.grad.item() if x.grad is not None else 0.0 for x in xs)]


def ours(f, points):
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return results(
            f,
            points,
            lambda p: tg.Tensor(np.array([p]), requires_grad=True),
            lambda y: y.backward(),
        )


def theirs(f, points):
    def leaf(p):
        return torch.tensor(p, dtype=torch.float64, requires_grad=True)

    return results(f, points, leaf, lambda y: y.backward())


def same(a, b):
    return np.allclose(a, b, rtol=1e-7, atol=1e-300, equal_nan=True)


def check(name, f, g, points):
    got, expected = ours(f, points), theirs(g, points)
    named = (name, *(float(p) for p in points))
    known = any(
        len(k) == len(named) and all(str(p) == str(q) for p, q in zip(k, named, strict=True))
        for k in DIFFERENT
    )  # by text, as NaN equals nothing and -0 equals 0
    if known:
        assert not same(got, expected), f"{named} no longer differs: {got}"
    else:
        assert same(got, expected), f"{named}: {got}, PyTorch: {expected}"


@needs_torch
@pytest.mark.parametrize("name", UNARY)
def test_functions_of_one(name):
    names = {f"arc{name}": f"a{name}" for name in "sin cos tan sinh cosh tanh".split()}
    g = getattr(torch, names.get(name, name), None) or getattr(F, name)
    for p in POINTS:
        check(name, getattr(tg, name), g, [p])


@needs_torch
@pytest.mark.parametrize("name", BINARY)
def test_functions_of_two(name):
    g = torch.pow if name == "power" else getattr(torch, name)
    for a in POINTS:
        for b in POINTS:
            check(name, getattr(tg, name), g, [a, b])


def power_of(base):
    return lambda x: float(base) ** x


@needs_torch
@pytest.mark.parametrize("number", NUMBERS)
def test_powers_with_numbers(number):
    for p in POINTS:
        check(f"x ** {number}", lambda x: x**number, lambda x: x**number, [p])
        if number >= 0:
            check(f"{number} ** x", power_of(number), power_of(number), [p])


@needs_torch
def test_limits():
    for p in POINTS:
        check("clip", lambda x: tg.clip(x, -1, 1), lambda x: x.clip(-1, 1), [p])
        check("clip inf", lambda x: tg.clip(x, -INF, INF), lambda x: x.clip(-INF, INF), [p])
        check("clip up", lambda x: tg.clip(x, 0, INF), lambda x: x.clip(0, INF), [p])
        check("clip low", lambda x: tg.clip(x, INF), lambda x: x.clip(INF), [p])
        check("clip swapped", lambda x: tg.clip(x, 2, 1), lambda x: x.clip(2, 1), [p])


def test_limits_of_integers():
    x = tg.Tensor([1, 5, -3])
    for limits, expected in (
        ((0, INF), [1, 5, 0]),
        ((-INF, 2), [1, 2, -3]),
        ((-INF, INF), [1, 5, -3]),
        ((np.float64(-INF), np.array(4)), [1, 4, -3]),
    ):
        y = x.clip(*limits)
        assert y.dtype == np.int64
        assert y.numpy().tolist() == expected
    y = x.clip(-INF, INF)
    y[0] = 9
    assert x.numpy()[0] == 1


STABLE = {
    **{
        name: getattr(tg, name)
        for name in (
            "sigmoid tanh relu leaky_relu elu gelu silu softplus erf arctan softmax log_softmax"
        ).split()
    },
    "gelu's tanh form": lambda x: tg.gelu(x, approximate="tanh"),
    "clip": lambda x: tg.clip(x, -1, 1),
    "binary_cross_entropy_with_logits": lambda x: tg.losses.binary_cross_entropy_with_logits(
        x, tg.zeros_like(x), reduction="none"
    ),
    "cross_entropy": lambda x: tg.losses.cross_entropy(x.reshape(1, -1), [0]),
    "label smoothing": lambda x: tg.losses.cross_entropy(
        x.reshape(1, -1), [0], label_smoothing=0.1
    ),
}


@pytest.mark.parametrize("repeats", [1, 1000])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("f", STABLE.values(), ids=STABLE)
def test_stable_functions_survive_numpy_raising_on_every_flag(f, dtype, repeats):
    """Users let NumPy raise to find where NaN comes from: what rounds to 0 must not stop them."""
    values = np.array([-200, -90, -20, -1, 0, 1, 20, 90, 200], dtype)
    with np.errstate(all="raise"):
        x = tg.Tensor(np.tile(values, repeats), requires_grad=True)
        y = f(x)
        y.backward(tg.ones_like(y))
    assert np.isfinite(x.grad.numpy()).all()


@pytest.mark.parametrize("name", "sigmoid elu gelu silu softplus softmax log_softmax".split())
def test_exponentials_of_float16_survive_numpy_raising(name):
    with np.errstate(all="raise"):
        x = tg.Tensor(np.array([-200, -90, -1, 0, 1, 90, 200], np.float16), requires_grad=True)
        y = getattr(tg, name)(x)
        y.backward(tg.ones_like(y))
    assert np.isfinite(x.grad.numpy()).all()


def test_what_does_not_depend_on_its_input_is_0_where_that_is_infinite():
    assert tg.dropout(tg.Tensor([np.inf, 1.0]), 1.0).tolist() == [0, 0]
    x = tg.Tensor([1.0, -1.0], requires_grad=True)
    y = tg.Tensor([2.0, 2.0], requires_grad=True)
    (tg.relu(x) * y).sum().backward(create_graph=True)
    g = x.grad
    x.zero_grad()
    (g * tg.Tensor([np.inf, 1.0])).sum().backward()
    assert x.grad.tolist() == [0, 0]


@pytest.mark.parametrize("device", ["cpu", "cuda-emulator"])
@pytest.mark.parametrize("which", ["ours", "reference"])
def test_nan_passes_through_a_recurrent_layer_with_relu(device, which):
    x, one = np.array([[[NAN], [2.0]]], np.float32), np.ones((1, 1), np.float32)
    with tg.use_kernels(which):
        inputs = (tg.Tensor(a, device=device) for a in (x, one, one, one[0]))
        out, _ = tg.rnn(*inputs, nonlinearity="relu")
    assert np.isnan(out.numpy()).all()


@pytest.mark.parametrize("device", ["cpu", "cuda-emulator"])
@pytest.mark.parametrize("which", ["ours", "reference"])
def test_gelu_at_infinity_has_its_limits(device, which):
    x = tg.Tensor([-INF, INF], device=device, requires_grad=True)
    with tg.use_kernels(which):
        y = tg.gelu(x)
        y.sum().backward()
    np.testing.assert_array_equal(y.numpy(), [0, INF])
    np.testing.assert_array_equal(x.grad.numpy(), [0, 1])


@pytest.mark.parametrize("device", ["cpu", "cuda-emulator"])
@pytest.mark.parametrize("which", ["ours", "reference"])
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # NumPy's inf - inf
def test_one_element_that_is_not_finite_has_no_variance(device, which):
    x = tg.Tensor([[INF, -INF, NAN, 1.0]], device=device)
    with tg.use_kernels(which):
        for y in (x.var(axis=0), x.std(axis=0), x.T.var(axis=1)):
            np.testing.assert_array_equal(y.numpy(), [NAN, NAN, NAN, 0])


@pytest.mark.parametrize("device", ["cpu", "cuda-emulator"])
def test_deviations_beyond_float16_do_not_overflow(device):
    values = np.array([60_000, -60_000, -60_000, -60_000])
    for name, scale in (("std", 1.0), ("var", 1e-4)):
        grads = {}
        for dtype in (np.float16, np.float64):
            x = tg.Tensor(values, dtype=dtype, device=device, requires_grad=True)
            with np.errstate(over="ignore"):  # the variance itself is infinite in float16
                y = getattr(tg, name)(x)
            y.backward(np.array(scale, dtype))
            grads[dtype] = x.grad.numpy()
        np.testing.assert_allclose(grads[np.float16], grads[np.float64], rtol=2e-3)


@pytest.mark.parametrize("base", [1.7, 1e-30, 1e30])
def test_at_an_exponent_of_0_the_slope_of_a_power_still_depends_on_the_exponent(base):
    a, b = (tg.Tensor(np.array(v), requires_grad=True) for v in (base, 0.0))

    def slope(a, b):
        return tg.grad(tg.power)(a, b)

    assert slope(a, b).item() == 0
    np.testing.assert_allclose(tg.grad(slope, 1)(a, b).item(), 1 / base)
    assert tg.grad(slope)(a, b).item() == 0


@pytest.mark.parametrize("base", [0.0, 5e-324, INF, NAN])
def test_where_1_over_the_base_is_not_finite_the_slope_at_an_exponent_of_0_is_0(base):
    a, b = (tg.Tensor(np.array(v), requires_grad=True) for v in (base, 0.0))
    assert tg.grad(tg.power)(a, b).item() == 0


def test_the_logarithm_of_a_determinant_of_0_has_no_gradient():
    x = tg.Tensor([[1.0, 2.0], [2.0, 4.0]], requires_grad=True)
    y = tg.slogdet(x)[1]
    assert y.item() == -INF
    with pytest.raises(ValueError, match="Singular matrix"):
        y.backward()
    tg.linalg.det(x).backward()
    np.testing.assert_allclose(x.grad.numpy(), [[4, -2], [-2, 1]])
