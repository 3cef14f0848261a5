"""Fused functions compute what the functions compute: values, gradients, every kind of input."""

import importlib

import numpy as np
import pytest
from fused_functions import ROWS, gelu_of_sum, layer_norm, softmax_row, swish_gate
from hypothesis import given, settings
from hypothesis import strategies as st
from needed import needs_emulator, needs_numba

import tinygrad_like as tg
from tinygrad_like.gradcheck import gradcheck

pytestmark = pytest.mark.long  # each function is compiled, for both dtypes

DEVICES = "cpu", "cuda-emulator"
TOLERANCE = {np.float32: 4e-6, np.float64: 1e-13}


def arguments(shapes, dtype=np.float64, device="cpu", seed=0):
    """Tensors of random numbers, leaves that need a gradient."""
    rng = np.random.default_rng(seed)
    arrays = [rng.normal(size=shape).astype(dtype) for shape in shapes]
    return [tg.Tensor(a, requires_grad=True, device=device) for a in arrays]


def is_fused(y):
    """Whether a recorded result is that of one op with a definition in others."""
    return y.node.plan.op.forward.__module__ in ("fused_functions", "bench.fuse")


def run(f, args):
    """(the value, the gradients) of f, by an ordinary backward pass."""
    y = f(*args)
    rng = np.random.default_rng(9)
    y.backward(tg.Tensor(rng.normal(size=y.shape).astype(y.dtype), device=y.device))
    grads = [a.grad.numpy().copy() for a in args]
    for a in args:
        a.grad = None
    return y, grads


def assert_alike(f, args, tolerance):
    (y, grads), (expected, wanted) = run(tg.fuse(f), args), run(f, args)
    np.testing.assert_allclose(y.numpy(), expected.numpy(), rtol=tolerance, atol=tolerance)
    for got, want in zip(grads, wanted, strict=True):
        scale = max(1.0, float(np.abs(want).max()))
        np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance * scale)
    return y


@pytest.mark.parametrize(
    ("device", "dtype"), [("cpu", np.float32), *(("cuda-emulator", real) for real in TOLERANCE)]
)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_values_and_gradients_are_those_of_the_function(row, device, dtype):
    y = assert_alike(row.f, arguments(row.shapes, dtype, device), TOLERANCE[dtype])
    assert is_fused(y)
    assert y.dtype == dtype
    assert y.device == device


@pytest.mark.parametrize("row", [r for r in ROWS if r.smooth], ids=lambda row: row.name)
def test_gradients_of_two_orders_agree_with_finite_differences(row):
    args = [a.detach() for a in arguments(row.shapes)]
    gradcheck(tg.fuse(row.f), *args, order=2)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_reference_runs_the_same_steps(row):
    with tg.use_kernels("reference"):
        assert_alike(row.f, arguments(row.shapes), 1e-13)


@pytest.mark.parametrize("needs", [(True, False, False), (False, True, False), (False, True, True)])
def test_only_the_gradients_that_are_wanted(needs):
    args = [
        a if needed else a.detach()
        for a, needed in zip(arguments(((20, 35), (35,), (1, 35))), needs, strict=True)
    ]
    wanted = [a for a, needed in zip(args, needs, strict=True) if needed]
    for f in (layer_norm, tg.fuse(layer_norm)):
        f(*args).backward(tg.ones((20, 35), dtype=np.float64))
    once = [a.grad.numpy() / 2 for a in wanted]
    layer_norm(*args).backward(tg.ones((20, 35), dtype=np.float64))
    for got, a in zip(once, wanted, strict=True):
        np.testing.assert_allclose(got, a.grad.numpy() - 2 * got, rtol=1e-12, atol=1e-12)


@needs_emulator
@pytest.mark.parametrize("schedule", [0, 1])
def test_cuda_kernels_read_what_is_theirs_in_any_order(schedule):
    """The emulator watches every access, and runs the threads of a block in another order."""
    emulator = importlib.import_module("tinygrad_like.kernels.cuda.emulator")
    with emulator.run(schedule, checked=True):
        args = arguments(((300, 70), (70,), (1, 70)), np.float32, "cuda-emulator")
        assert_alike(layer_norm, args, 2e-5)


# Layouts and sizes


@pytest.mark.parametrize("change", ["transposed", "sliced", "flipped", "broadcast", "read_only"])
def test_arrays_of_any_layout(change):
    x = np.random.default_rng(0).normal(size=(37, 74))
    view = {
        "transposed": x[:, :5].T,
        "sliced": x[:5, ::2],
        "flipped": x[4::-1, 36::-1],
        "broadcast": np.broadcast_to(x[0, :37], (5, 37)),
        "read_only": x[:5, :37].copy(),
    }[change]
    view.flags.writeable = change != "read_only" and view.flags.writeable
    bias = np.random.default_rng(1).normal(size=37)
    expected = gelu_of_sum(view.copy(), bias)
    np.testing.assert_array_equal(tg.fuse(gelu_of_sum)(view, bias), expected)


@needs_numba
@pytest.mark.parametrize("rows", [1, 40, 1000])
@pytest.mark.parametrize("columns", [1, 15, 16, 513, 1100])
def test_rows_of_any_length(rows, columns):
    args = arguments(((rows, columns),), np.float32)
    assert_alike(softmax_row, args, 4e-6)


@needs_numba
def test_sums_over_many_rows_are_exact():
    """The gradient of a bias is a sum over all rows; in float32 alone 10^5 of them lose digits."""
    x, bias = arguments(((100_000, 3), (3,)), np.float32)
    tg.fuse(gelu_of_sum)(x, bias).backward(tg.ones((100_000, 3)))
    exact = [tg.Tensor(a.numpy().astype(np.float64), requires_grad=True) for a in (x, bias)]
    gelu_of_sum(*exact).backward(tg.ones((100_000, 3), dtype=np.float64))
    np.testing.assert_allclose(bias.grad.numpy(), exact[1].grad.numpy(), rtol=1e-6)


@needs_numba
@pytest.mark.parametrize("threads", [1, 3])
def test_any_number_of_threads(threads):
    args = arguments(((300, 257),) * 2, np.float32)
    with importlib.import_module("cpu_threads").on_threads(threads):
        once, again = run(tg.fuse(swish_gate), args), run(tg.fuse(swish_gate), args)
        assert_alike(swish_gate, args, 4e-6)
    np.testing.assert_array_equal(once[0].numpy(), again[0].numpy())


@pytest.mark.parametrize("shape", [(0, 4), (3, 0), (0,)])
def test_empty_arrays(shape):
    x = tg.zeros(shape, requires_grad=True)
    y = tg.fuse(swish_gate)(x, x)
    assert y.shape == shape
    y.sum().backward()
    assert x.grad.shape == shape


# Special values

SPECIAL = [0.0, -0.0, 1.0, -1.0, 1e-30, 1e30, -1e30, 88.0, -88.0, np.inf, -np.inf, np.nan, 1e-42]


@needs_numba
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("device", DEVICES)
def test_nan_and_infinities_are_those_of_the_ops(device, dtype):
    """Of every step at once: each is in a column of its own."""

    def steps(x, y):
        return tg.where(y > 0, tg.log(x) + tg.log1p(x), tg.expm1(x) + tg.sqrt(x)) + tg.maximum(x, y)

    grid = np.array(np.meshgrid(SPECIAL, SPECIAL), dtype).reshape(2, -1)
    x, y = (tg.Tensor(a, device=device) for a in grid)
    with np.errstate(all="ignore"):
        got, expected = tg.fuse(steps)(x, y).numpy(), steps(x, y).numpy()
    np.testing.assert_allclose(got, expected, rtol=1e-5 if dtype is np.float32 else 1e-13)


@needs_numba
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_division_by_a_value_of_the_row(dtype):
    """It is a multiplication by the inverse, which may not over- or underflow by itself."""
    info = np.finfo(dtype)
    divisors = np.array([*SPECIAL, info.max, info.tiny, info.tiny / 8, -3.0], dtype)[:, None]
    x = np.array([*SPECIAL, info.max, info.tiny, 3.0], dtype)
    x = np.broadcast_to(x, (len(divisors), len(x)))
    with np.errstate(all="ignore"):
        got, expected = tg.fuse(lambda a, b: a / b + 0)(x, divisors), x / divisors
    np.testing.assert_allclose(got, expected, rtol=4 * info.eps, atol=4 * info.smallest_subnormal)


@needs_numba
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_maximum_of_nan_is_nan(dtype):
    x = np.random.default_rng(0).normal(size=(40, 40)).astype(dtype)
    np.fill_diagonal(x, np.nan)
    x[3] = -np.inf
    got = tg.fuse(lambda x: tg.max(x * 2, axis=-1))(x)
    np.testing.assert_array_equal(got, (x * 2).max(axis=-1))


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda-emulator", marks=needs_emulator)])
def test_a_single_row_and_constants(device):
    """The gradient of a value without axes has none itself; a loop may read no argument."""
    x = tg.Tensor(np.array([3.0, 1.0, 2.0]), requires_grad=True, device=device)
    tg.fuse(lambda x: tg.max(x * 2, axis=-1))(x).backward()
    assert x.grad.tolist() == [2, 0, 0]
    y = tg.fuse(lambda x, y: x**0 * y)(x, tg.Tensor(x.numpy() * 2, device=device))
    assert y.tolist() == [6, 2, 4]
    x.grad = None
    y.sum().backward()
    assert x.grad.tolist() == [0, 0, 0]


# Random expressions


UNARY = "exp log1p_of_square tanh sigmoid gelu silu relu softplus erf negative square sin".split()
BINARY = "add subtract multiply maximum minimum divided".split()


def apply(name, *args):
    if name == "log1p_of_square":
        return tg.log1p(tg.square(args[0]))
    if name == "divided":
        return args[0] / (tg.square(args[1]) + 1)
    if name in ("sum", "mean", "max"):
        return getattr(tg, name)(args[0], axis=-1, keepdims=True)
    return getattr(tg, name)(*args)


@st.composite
def programs(draw):
    """A list of (op, places of its operands among all values before)."""
    steps = []
    for count in range(3, 3 + draw(st.integers(1, 7))):
        name = draw(st.sampled_from([*UNARY, *BINARY, "sum", "mean", "max"]))
        places = st.integers(0, count - 1)
        steps.append((name, [draw(places) for _ in range(2 if name in BINARY else 1)]))
    return steps


def function_of(steps):
    def f(x, row, column):
        values = [x, row, column]
        for name, places in steps:
            values.append(apply(name, *[values[k] for k in places]))
        return tg.tanh(values[-1]) + 0.1 * x * row * column

    return lambda x, row, column: f(x, row, column)


@settings(max_examples=60, deadline=None)
@given(programs(), st.booleans())
def test_random_expressions_by_the_reference(steps, shared):
    f = function_of(tuple((name, tuple(places)) for name, places in steps))
    shapes = ((4, 6), (4, 1), (6,) if shared else (4, 6))
    with tg.use_kernels("reference"):
        assert_alike(f, arguments(shapes), 1e-9)


@needs_numba
@pytest.mark.parametrize("seed", range(2))
def test_random_expressions_compiled(seed):
    rng = np.random.default_rng(seed)
    names = [*UNARY, *BINARY, "sum", "mean", "max"]
    steps = []
    for count in range(3, 12):
        name = names[rng.integers(len(names))]
        places = rng.integers(count, size=2 if name in BINARY else 1).tolist()
        steps.append((name, tuple(places)))
    f = function_of(tuple(steps))
    assert_alike(f, arguments(((4, 6), (4, 1), (6,)), np.float32), 2e-4)


# Beside the rest of the library


def test_modes_and_checkpoints():
    x, bias = arguments(((5, 37), (37,)), np.float32)
    fused = tg.fuse(gelu_of_sum)
    plain = run(fused, (x, bias))
    for again in (
        run(lambda *args: tg.checkpoint(fused, *args), (x, bias)),
        run(tg.debug()(fused), (x, bias)),
        run(tg.autocast()(fused), (x, bias)),
    ):
        np.testing.assert_array_equal(plain[0].numpy(), again[0].numpy())
        for a, b in zip(plain[1], again[1], strict=True):
            np.testing.assert_array_equal(a, b)
    with tg.no_grad():
        assert not fused(x, bias).requires_grad


def test_an_argument_that_was_changed_is_noticed():
    x, bias = arguments(((5, 37), (37,)))
    y = tg.fuse(gelu_of_sum)(x, bias)
    with tg.no_grad():
        x += 1
    with pytest.raises(tg.GraphError, match="gelu_of_sum"):
        y.sum().backward()


def test_shapes_that_do_not_fit_are_refused_as_by_the_function():
    with pytest.raises(ValueError, match=r"\[add\].*\(2, 3\)"):
        tg.fuse(gelu_of_sum)(tg.ones((2, 3)), tg.ones(4))


@needs_emulator
@needs_numba
def test_one_function_serves_all_devices():
    fused = tg.fuse(swish_gate)
    on_cpu = [fused(*arguments(((3, 5),) * 2, np.float32, device)).numpy() for device in DEVICES]
    np.testing.assert_allclose(*on_cpu, rtol=1e-6)
