"""Mixed precision: which dtype each op computes in, whose gradients come back, and the scaler."""

import numpy as np
import pytest
from needed import imported

import tinygrad_like as tg
from tinygrad_like import nn
from tinygrad_like.engine.autocast import rounded_to_bfloat16


def normal(*shape):
    return tg.randn(shape, requires_grad=True)


PRODUCTS = {
    "matmul": lambda: normal(3, 4) @ normal(4, 2),
    "linear": lambda: nn.Dense(4, 3)(normal(2, 4)),
    "conv2d": lambda: tg.conv2d(normal(1, 2, 5, 5), normal(3, 2, 3, 3), normal(3)),
    "lstm": lambda: nn.LSTM(3, 4)(normal(2, 5, 3))[0],
    "attention": lambda: tg.scaled_dot_product_attention(*(normal(1, 2, 3, 4) for _ in "qkv")),
}
SUMS = {
    "softmax": lambda x: tg.softmax(x),
    "layer_norm": lambda x: tg.layer_norm(x),
    "cross_entropy": lambda x: tg.losses.cross_entropy(x, np.array([0, 1, 2])),
    "sum": lambda x: x.sum(),
    "exp": lambda x: tg.exp(x),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_are_computed_in_half_precision(name):
    assert PRODUCTS[name]().dtype == np.float32
    with tg.autocast("float16"):
        assert PRODUCTS[name]().dtype == np.float16
        with tg.autocast(enabled=False):
            assert PRODUCTS[name]().dtype == np.float32
        assert PRODUCTS[name]().dtype == np.float16
    assert PRODUCTS[name]().dtype == np.float32


@pytest.mark.parametrize("name", SUMS)
def test_sums_of_half_precision_are_computed_in_float32(name):
    x = tg.randn((3, 4)).to(np.float16)
    assert SUMS[name](x).dtype == np.float16
    with tg.autocast("float16"):
        assert SUMS[name](x).dtype == np.float32


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_gradients_of_parameters_are_float32_and_near(dtype):
    tg.seed(1)
    model = nn.Sequential(nn.Dense(6, 5), nn.Tanh(), nn.Dense(5, 3))
    x, labels = tg.randn((8, 6)), np.arange(8) % 3
    found = []
    for enabled in (True, False):
        model.zero_grad()
        with tg.autocast(dtype, enabled=enabled):
            loss = tg.losses.cross_entropy(model(x), labels)
        loss.backward()
        found.append([p.grad.numpy() for p in model.parameters()])
    bound = {"float16": 2e-3, "bfloat16": 2e-2}[dtype]
    for half, single in zip(*found, strict=True):
        assert half.dtype == np.float32
        assert 0 < np.abs(half - single).max() < bound


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_checkpointed_function_runs_again_in_the_precision_of_its_first_run(dtype):
    """Whether backward is called outside the block or inside one of another precision."""
    tg.seed(1)
    model, x = nn.Sequential(nn.Dense(6, 5), nn.Tanh(), nn.Dense(5, 3)), tg.randn((8, 6))

    def gradients(f, enabled):
        model.zero_grad()
        with tg.autocast(dtype):
            loss = f(x).sum()
        with tg.autocast("float16", enabled=enabled):
            loss.backward()
        return [p.grad.numpy() for p in model.parameters()]

    for enabled in (False, True):
        expected = gradients(model, enabled)
        found = gradients(lambda x: tg.checkpoint(model, x), enabled)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)


def test_the_product_is_that_of_the_rounded_numbers():
    ml_dtypes = imported("ml_dtypes")
    a, b = tg.randn((5, 7)), tg.randn((7, 3))
    with tg.autocast("bfloat16"):
        y = (a @ b).numpy()
    wide = [x.numpy().astype(ml_dtypes.bfloat16).astype(np.float64) for x in (a, b)]
    exact = (wide[0] @ wide[1]).astype(ml_dtypes.bfloat16).astype(np.float64)
    np.testing.assert_allclose(y, exact, rtol=2**-7)
    assert np.array_equal(y, y.astype(ml_dtypes.bfloat16).astype(np.float32))


def test_rounding_to_bfloat16_is_ml_dtypes():
    ml_dtypes = imported("ml_dtypes")
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2**32, 100_000, dtype=np.uint32).view(np.float32)
    ties = (np.arange(1 << 16, dtype=np.uint32) << 16 | 0x8000).view(np.float32)
    for numbers in (x, ties, np.float32([0.0, -0.0, np.inf, -np.inf, np.nan])):
        ours = rounded_to_bfloat16(numbers)
        with np.errstate(all="ignore"):
            theirs = numbers.astype(ml_dtypes.bfloat16).astype(np.float32)
        np.testing.assert_array_equal(ours, theirs)


def test_the_gradient_of_rounding_is_rounded():
    rng = np.random.default_rng(0)
    x, g = (tg.Tensor(rng.standard_normal(1000), dtype="float32") for _ in range(2))
    x.requires_grad = True
    rounded_to_bfloat16(x).backward(g)
    np.testing.assert_array_equal(x.grad.numpy(), rounded_to_bfloat16(g.numpy()))


def test_autocast_decorates_and_is_undone_by_an_error():
    @tg.autocast("float16")
    def product(a, b):
        return a @ b

    a = tg.randn((2, 2))
    assert product(a, a).dtype == np.float16
    with pytest.raises(ValueError, match="matmul"):
        product(a, tg.randn((3, 2)))
    assert (a @ a).dtype == np.float32


def test_other_dtypes_are_refused():
    for dtype in ("float64", np.int32, "half"):
        with pytest.raises(ValueError, match=r"\[autocast\] dtype is .*, expected 'float16'"):
            tg.autocast(dtype)


# The scaler


def scaled_step(scaler, optimizer, w, grad):
    optimizer.zero_grad()
    scaler.scale((w * tg.Tensor(np.float32(grad))).sum()).backward()
    return scaler.step(optimizer)


def test_a_step_is_that_of_the_unscaled_gradient():
    w, v = (tg.Tensor(np.float32([1, 2]), requires_grad=True) for _ in "wv")
    scaler = tg.optim.GradScaler(1024.0)
    one, other = tg.optim.SGD([w], 0.1), tg.optim.SGD([v], 0.1)
    assert scaled_step(scaler, one, w, [0.5, -0.25])
    (v * tg.Tensor(np.float32([0.5, -0.25]))).sum().backward()
    other.step()
    np.testing.assert_array_equal(w.numpy(), v.numpy())


def test_steps_that_overflow_are_skipped_and_counted():
    w = tg.Tensor(np.float32([1, 2]), requires_grad=True)
    scaler = tg.optim.GradScaler(8.0, interval=2)
    optimizer = tg.optim.Adam([w], 0.1)
    before = w.numpy().copy()
    for bad in (np.inf, np.nan, -np.inf):
        assert not scaled_step(scaler, optimizer, w, [0.5, bad])
    np.testing.assert_array_equal(w.numpy(), before)
    assert scaler.skipped == 3
    assert scaler.current_scale == 1.0
    assert [scaled_step(scaler, optimizer, w, [0.5, 0.5]) for _ in range(4)] == [True] * 4
    assert scaler.current_scale == 4.0
    assert np.isfinite(w.numpy()).all()


def test_a_gradient_that_the_division_makes_infinite_is_not_stepped():
    w = tg.Tensor(np.float32([1, 2]), requires_grad=True)
    scaler, optimizer = tg.optim.GradScaler(2.0**-10), tg.optim.SGD([w], 0.1)
    w.grad = tg.Tensor(np.float32([3e38, 1]))
    assert not scaler.step(optimizer)
    assert scaler.skipped == 1
    np.testing.assert_array_equal(w.numpy(), [1, 2])


@pytest.mark.parametrize("bad", [(np.inf, 1), (1, np.inf), (1, 1)])
def test_optimizers_that_share_a_loss_step_by_one_scale(bad):
    """What one of them finds adapts the scale of the next loss, once, not that of the other."""
    ws = [tg.Tensor(np.float32([1, 2]), requires_grad=True) for _ in bad]
    optimizers = [tg.optim.SGD([w], 1.0) for w in ws]
    scaler = tg.optim.GradScaler(8.0, interval=1)
    scaler.scale(sum((w * b).sum() * 3 for w, b in zip(ws, bad, strict=True))).backward()
    done = [scaler.step(optimizer) for optimizer in optimizers]
    assert done == [np.isfinite(b) for b in bad]
    for w, stepped in zip(ws, done, strict=True):
        np.testing.assert_array_equal(w.numpy(), [-2, -1] if stepped else [1, 2])
    assert scaler.current_scale == (16.0 if all(done) else 4.0)
    assert scaler.skipped == 2 - sum(done)
    assert scaler.scale(tg.ones(())).item() == scaler.current_scale


def test_gradients_that_wait_for_their_step_are_not_unscaled_again():
    """Another optimizer steps in between, and another loss is scaled."""
    ws = [tg.Tensor(np.float32([1, 2]), requires_grad=True) for _ in range(2)]
    one, other = (tg.optim.SGD([w], 1.0) for w in ws)
    scaler = tg.optim.GradScaler(8.0, interval=1)
    scaler.scale(((ws[0] + ws[1]) * 3).sum()).backward()
    scaler.unscale(other)
    assert scaler.step(one)
    scaler.scale((ws[0] * 3).sum())
    assert scaler.step(other)
    np.testing.assert_array_equal(ws[1].numpy(), [-2, -1])


def test_a_loss_in_float16_is_scaled_in_float32():
    loss = tg.Tensor(np.float16(100), requires_grad=True)
    scaled = tg.optim.GradScaler(1024.0).scale(loss)
    assert scaled.dtype == np.float32
    assert scaled.item() == 102400  # beyond float16
    scaled.backward()
    assert loss.grad.dtype == np.float16


def test_gradients_can_be_clipped_between():
    w = tg.Tensor(np.float32([1, 2]), requires_grad=True)
    scaler, optimizer = tg.optim.GradScaler(64.0), tg.optim.SGD([w], 1.0)
    scaler.scale((w * 3).sum()).backward()
    scaler.unscale(optimizer)
    np.testing.assert_array_equal(w.grad.numpy(), [3, 3])
    with pytest.raises(ValueError, match="unscaled already"):
        scaler.unscale(optimizer)
    tg.optim.clip_grad_norm([w], 1.0)
    assert scaler.step(optimizer)
    np.testing.assert_allclose(w.numpy(), np.float32([1, 2]) - 0.5**0.5, rtol=1e-6)


def test_a_scaler_that_is_not_enabled_leaves_everything_alone():
    w = tg.Tensor(np.float32([1, 2]), requires_grad=True)
    scaler, optimizer = tg.optim.GradScaler(64.0, enabled=False), tg.optim.SGD([w], 1.0)
    loss = (w * 3).sum()
    assert scaler.scale(loss) is loss
    loss.backward()
    scaler.unscale(optimizer)
    np.testing.assert_array_equal(w.grad.numpy(), [3, 3])
    assert scaler.step(optimizer)
    np.testing.assert_array_equal(w.numpy(), [-2, -1])
    assert scaler.state_dict() == {"scale": 64.0, "good": 0, "skipped": 0}


def test_the_state_is_saved_and_resumed(tmp_path):
    w = tg.Tensor(np.float32([1, 2]), requires_grad=True)
    scaler, optimizer = tg.optim.GradScaler(8.0, interval=3), tg.optim.SGD([w], 0.1)
    scaled_step(scaler, optimizer, w, [np.inf, 0])
    scaled_step(scaler, optimizer, w, [1, 0])
    tg.io.save(tmp_path / "scaler.safetensors", {"scaler": scaler.state_dict()})
    resumed = tg.optim.GradScaler(interval=3)
    resumed.load_state_dict(tg.io.load(tmp_path / "scaler.safetensors")["scaler"])
    assert resumed.state_dict() == scaler.state_dict() == {"scale": 4.0, "good": 1, "skipped": 1}
    good = {"scale": 1.0, "good": 0, "skipped": 0}
    wrong = {
        "scale": (np.nan, 0, "8", None, True, np.inf, np.ones(2)),
        "good": (None, -1, 2.7, "1", True),
        "skipped": (-1, True, 1.0, [1]),
    }
    for name, value in ((name, value) for name, values in wrong.items() for value in values):
        with pytest.raises(ValueError, match=r"state is none of a GradScaler: .*nothing was"):
            resumed.load_state_dict(good | {name: value})
    with pytest.raises(ValueError, match="none of a GradScaler: KeyError"):
        resumed.load_state_dict({"scale": 1.0})
    assert resumed.state_dict() == scaler.state_dict()


@pytest.mark.parametrize(
    "settings", [{"scale": 0.0}, {"growth": 0.5}, {"backoff": 1.0}, {"interval": 0}]
)
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(ValueError, match=r"\[GradScaler\]"):
        tg.optim.GradScaler(**settings)


@pytest.mark.parametrize("device", ["cpu", "cuda-emulator"])
def test_gradients_in_float16_survive_a_scale_that_float16_cannot_hold(device):
    w = tg.Tensor(np.ones(2, np.float16), requires_grad=True, device=device)
    optimizer, scaler = tg.optim.SGD([w], 0.1), tg.optim.GradScaler()
    scaler.scale((w.astype("float32") * 2.0**-10).sum()).backward()
    scaler.unscale(optimizer)
    assert w.grad.dtype == np.float16
    assert w.grad.tolist() == [2.0**-10] * 2


def test_gradients_to_differentiate_are_as_exact_as_others_inside_autocast():
    x, w = (tg.randn((8, 8), requires_grad=True) for _ in "xw")
    y = (x @ w).sum()
    with tg.autocast("float16"):
        (plain,) = tg.engine.walk.gradients([y], [x], retain_graph=True)
        (recorded,) = tg.engine.walk.gradients([y], [x], create_graph=True)
    np.testing.assert_array_equal(recorded.numpy(), plain.numpy())
