"""When a function is traced anew, what is refused, and that a refusal changes nothing."""

import logging
import math

import numpy as np
import pytest
from fused_functions import softmax_row

import tinygrad_like as tg
from tinygrad_like.fusion.program import Program
from tinygrad_like.fusion.traced import Traced

pytestmark = pytest.mark.long  # each function is compiled

X = np.random.default_rng(0).normal(size=(4, 6))
SCALE = 2.0
WEIGHT = tg.Tensor(np.arange(6.0))


@pytest.fixture(autouse=True)
def reference():
    """Which kernels compute does not matter here: those that need no compiling."""
    with tg.use_kernels("reference"):
        yield


def times_scale(x):
    return x * SCALE


def is_fused(f, *args):
    """Whether a call of a fused function is one recorded op with a definition in others."""
    args = [tg.Tensor(a, requires_grad=True) if isinstance(a, np.ndarray) else a for a in args]
    node = f(*args).node
    given = [a.node for a in args if isinstance(a, tg.Tensor)]
    return node.plan.op.backward is not None and list(node.parents) == given


def refusals(caplog):
    return [r.getMessage() for r in caplog.records if r.name.startswith("tinygrad_like.fusion")]


# Never stale


def test_numbers_among_the_arguments_are_constants_of_their_own_trace():
    fused = tg.fuse(lambda x, power, name="a": x**power if name == "a" else x * power)
    for power in (2, 2.0, 3, 0.5, True, 2):
        np.testing.assert_allclose(fused(np.abs(X), power), np.abs(X) ** power, rtol=1e-12)
    np.testing.assert_array_equal(fused(X, power=3, name="b"), X * 3)
    np.testing.assert_array_equal(fused(X, name="b", power=-0.0), X * -0.0)
    np.testing.assert_array_equal(np.signbit(fused(X, -0.0, "b")), np.signbit(X * -0.0))
    np.testing.assert_array_equal(np.signbit(fused(X, 0.0, "b")), np.signbit(X * 0.0))


def test_a_global_name_is_read_again(monkeypatch):
    fused = tg.fuse(times_scale)
    for _ in range(2):
        np.testing.assert_array_equal(fused(X), X * 2)
    monkeypatch.setitem(globals(), "SCALE", 3.0)
    for _ in range(2):
        np.testing.assert_array_equal(fused(X), X * 3)


def test_a_global_name_of_a_function_that_it_calls_is_read_again(monkeypatch):
    fused = tg.fuse(lambda x: times_scale(x) + 1)
    np.testing.assert_array_equal(fused(X), X * 2 + 1)
    monkeypatch.setitem(globals(), "SCALE", 3.0)
    np.testing.assert_array_equal(fused(X), X * 3 + 1)


def test_a_closure_is_read_again():
    scale = 2.0

    @tg.fuse
    def fused(x):
        return x * scale

    np.testing.assert_array_equal(fused(X), X * 2)
    assert is_fused(fused, X)
    scale = 3.0
    np.testing.assert_array_equal(fused(X), X * 3)


def test_a_default_is_read_again():
    def f(x, scale=2.0):
        return x * scale

    fused = tg.fuse(f)
    np.testing.assert_array_equal(fused(X), X * 2)
    f.__defaults__ = (3.0,)
    np.testing.assert_array_equal(fused(X), X * 3)


def test_control_flow_may_depend_on_shapes_and_constants():
    @tg.fuse
    def fused(x, twice):
        y = x * x.shape[-1] ** -0.5
        return y + y if twice else y

    for columns in (2, 5):
        x = X[:, :columns]
        np.testing.assert_allclose(fused(x, True), 2 * x / math.sqrt(columns), rtol=1e-12)
        np.testing.assert_allclose(fused(x, False), x / math.sqrt(columns), rtol=1e-12)
        assert is_fused(fused, x, True)


def test_fused_functions_nest():
    inner = tg.fuse(softmax_row)
    fused = tg.fuse(lambda x: inner(2 * x) + 1)
    assert is_fused(fused, X)
    np.testing.assert_allclose(fused(X), softmax_row(2 * X) + 1, rtol=1e-12)


def test_shapes_share_a_loop():
    """Numbers are no part of a loop, not even those that are lengths."""
    loops = set()
    for columns in (3, 5):
        x = tg.Tensor(X[:, :columns], requires_grad=True)
        y = tg.fuse(lambda x: tg.mean(tg.exp(x) * x.shape[-1], axis=-1))(x)
        cells = y.node.plan.op.forward.__closure__
        loops |= {c.cell_contents.loop for c in cells if isinstance(c.cell_contents, Program)}
    assert len(loops) == 1


# Refused, and said once


class Scaled:
    factor = 3.0

    def __call__(self, x):
        return x * self.factor


SCALED, LIST = Scaled(), [2.0]


REFUSED = {
    "depends on the values": lambda x: x * 2 if tg.sum(x) > 0 else x,
    "calls transpose": lambda x: x @ tg.transpose(x),
    "other axes than the last": lambda x: x - tg.max(x, axis=0, keepdims=True),
    "WEIGHT is a Tensor from outside": lambda x: x * WEIGHT,
    "SCALED is from outside, a Scaled": lambda x: SCALED(x),
    "LIST is from outside, a list": lambda x: x * LIST[0],
    "random": lambda x: x + np.random.default_rng(0).normal(),
    "indexes": lambda x: x[1:] * 2,
    "an array that is no argument": lambda x: x * tg.ones(6),
    "calls bitwise_xor": lambda x: tg.where((x > 0) ^ (x > 1), x, 0.0),
    "calls hypot": lambda x: tg.hypot(x, x),
    "calls __import__": lambda x: __import__("math") and x * 2,
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_cannot_be_fused_runs_as_it_is(reason, caplog):
    f = REFUSED[reason]
    fused = tg.fuse(f)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            np.testing.assert_array_equal(fused(tg.Tensor(X)).numpy(), f(tg.Tensor(X)).numpy())
    (said,) = refusals(caplog)
    assert "runs unfused" in said
    assert reason in said


def test_several_results_run_as_they_are(caplog):
    fused = tg.fuse(lambda x: (x + 1, x + 2))
    np.testing.assert_array_equal(fused(X)[1], X + 2)
    assert "expected one Tensor" in refusals(caplog)[0]


@pytest.mark.parametrize("dtype", [np.float16, np.int64, np.complex128])
def test_other_dtypes_run_as_they_are(dtype, caplog):
    x = (10 * X).astype(dtype)
    got = tg.fuse(lambda x: x * 3 + 1)(x)
    assert got.dtype == dtype
    np.testing.assert_array_equal(got, x * 3 + 1)
    assert np.dtype(dtype).name in refusals(caplog)[0]


def test_mixed_dtypes_run_as_they_are(caplog):
    got = tg.fuse(lambda x, y: x * y)(tg.Tensor(X), tg.Tensor(X.astype(np.float32)))
    assert got.dtype == np.float64
    assert "float32, float64" in refusals(caplog)[0]


def test_random_numbers_are_drawn_at_every_call(caplog):
    fused = tg.fuse(lambda x: x + tg.rand_like(x))
    tg.seed(3)
    first, second = fused(tg.Tensor(X)).numpy(), fused(tg.Tensor(X)).numpy()
    tg.seed(3)
    expected = X + tg.rand_like(tg.Tensor(X)).numpy()
    np.testing.assert_array_equal(first, expected)
    assert (first != second).any()
    assert refusals(caplog)


@pytest.mark.parametrize("kind", [tg.Tensor, np.array])
def test_a_change_in_place_is_made(kind, caplog):
    def f(x):
        x += 1
        return x * 2

    x = kind(X)
    np.testing.assert_array_equal(np.asarray(tg.fuse(f)(x)), (X + 1) * 2)
    np.testing.assert_array_equal(np.asarray(x), X + 1)
    assert refusals(caplog)


def test_a_float64_of_numpy_widens_an_array_but_not_a_tensor():
    x = X.astype(np.float32)
    fused = tg.fuse(lambda x: x * np.sqrt(2.0))
    for _ in range(2):
        assert fused(tg.Tensor(x)).dtype == np.float32
        assert fused(x).dtype == np.float64


def test_a_number_beyond_the_dtype_is_infinite_as_beside_an_array():
    with np.errstate(over="ignore"):
        got = tg.fuse(lambda x: tg.minimum(x, 1e300))(X.astype(np.float32))
    np.testing.assert_array_equal(got, X.astype(np.float32))


def test_a_method_runs_as_it_is(caplog):
    class Model:
        scale = 2.0

        @tg.fuse
        def f(self, x):
            return x * self.scale

    model = Model()
    np.testing.assert_array_equal(model.f(X), X * 2)
    model.scale = 3.0
    np.testing.assert_array_equal(model.f(X), X * 3)
    assert "Model" in refusals(caplog)[0]


class Gain:
    factor = 2.0

    def apply(self, x):
        return x * self.factor


def test_a_bound_method_or_an_object_runs_as_it_is(caplog):
    gain, slope, dropout = Gain(), tg.nn.LeakyReLU(0.1), tg.nn.Dropout(0.5).eval()
    scaled, leaky, dropped = map(tg.fuse, (gain.apply, slope, dropout))
    x = tg.Tensor(X)
    for fused in (scaled, leaky, dropped):
        fused(x)
    gain.factor, slope.slope = 3.0, 0.5
    dropout.train()
    np.testing.assert_array_equal(scaled(x).numpy(), X * 3)
    np.testing.assert_array_equal(leaky(x).numpy(), np.where(X > 0, X, 0.5 * X))
    assert (dropped(x).numpy() == 0).any()
    for kind, line in zip(("method", "LeakyReLU", "Dropout"), refusals(caplog), strict=True):
        assert f"it is a {kind}" in line


def test_what_is_fused_inside_a_fused_function_may_be_a_method():
    gain = Gain()
    inner = tg.fuse(gain.apply)
    fused = tg.fuse(lambda x: inner(x) + 1)
    fused(X)
    gain.factor = 3.0
    np.testing.assert_array_equal(fused(X), X * 3 + 1)


def test_a_draw_that_may_repeat_is_no_constant(caplog):
    """Two traces that draw the same number look like a function without randomness."""
    f = lambda x: x * (1 + tg.randint(0, 2, ()).item())  # noqa: E731
    for seed in range(8):
        fused = tg.fuse(f)
        tg.seed(seed)
        expected = [f(X) for _ in range(4)]
        tg.seed(seed)
        np.testing.assert_array_equal([fused(X) for _ in range(4)], expected)
    assert "it takes random numbers" in refusals(caplog)[0]


def test_an_argument_without_influence_has_no_gradient():
    f = lambda x, y, z=1.0: tg.exp(x) * tg.stop_gradient(y) + z**0  # noqa: E731
    for function in (f, tg.fuse(f)):
        x, y, z = (tg.Tensor(X, requires_grad=True) for _ in range(3))
        function(x, y, z).sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), np.exp(X) * X)
        assert y.grad is None
        np.testing.assert_array_equal(z.grad.numpy(), 0 * X)
        assert not function(x.detach(), y, z.detach()).requires_grad
        with pytest.raises(tg.GraphError, match="does not depend on its argument 1"):
            tg.vjp(function, x, y)
    assert isinstance(tg.fuse(f)(X, X, X), np.ndarray)
    y = tg.Tensor(X)
    product = tg.fuse(lambda x, y: x * tg.stop_gradient(y))(tg.Tensor(X, requires_grad=True), y)
    y += 1
    with pytest.raises(tg.GraphError, match="changed in place"):
        product.sum().backward()


def test_truth_values_combine():
    f = lambda x: tg.where((x > -1) & ~(x > 1) | (x == 2), x, 0.0)  # noqa: E731
    x = np.linspace(-2, 2, 9)
    np.testing.assert_array_equal(tg.fuse(f)(x), f(x))
    assert is_fused(tg.fuse(f), x)


def test_errors_of_the_function_are_its_own():
    def f(x):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        tg.fuse(f)(X)
    with pytest.raises(TypeError, match=r"\[fuse\] f is \(4, 6\), expected a function"):
        tg.fuse(tg.Tensor(X))
    with pytest.raises(TypeError, match="missing 1 required"):
        tg.fuse(softmax_row)()


def test_the_name_and_the_docstring_stay():
    assert tg.fuse(softmax_row).__name__ == "softmax_row"


def test_nothing_reads_a_traced_array():
    with pytest.raises(BaseException, match="reads the values"):
        np.asarray(Traced(None, None, (2,), np.dtype(np.float32)))
