"""Windows over images: integers and booleans, NumPy's integers as options, sizes of "same"."""

import sys

import numpy as np
import pytest
from needed import needs_numba

import tinygrad_like as tg
from tinygrad_like import Tensor, nn
from tinygrad_like.ops.indexing import window

DEVICES = pytest.mark.parametrize("device", ["cpu", "cuda-emulator"])


def values(t):
    return t.cpu().numpy()


@DEVICES
@pytest.mark.parametrize(
    "dtype", [np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, bool, np.float16]
)
def test_padding_is_never_the_maximum(device, dtype):
    """Not even in windows that hold the type's least number alone."""
    least = -np.inf if dtype is np.float16 else False if dtype is bool else np.iinfo(dtype).min
    for value in (least, dtype(1) if np.dtype(dtype).kind in "bu" else dtype(-5)):
        x = Tensor(np.full((1, 2, 3, 3), value, dtype), device=device)
        for options in ({"padding": 1}, {"ceil_mode": True}, {"padding": ((1, 0), (0, 1))}):
            y = tg.max_pool2d(x, 2, **options)
            assert y.dtype == dtype
            np.testing.assert_array_equal(values(y), np.full(y.shape, value))


@DEVICES
@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64, np.uint64, bool])
def test_averages_of_integers_are_those_of_their_values(device, dtype):
    """No sum of a window overflows, and no digit of a mean is lost that float32 has."""
    most = True if dtype is bool else np.iinfo(dtype).max
    x = np.full((1, 1, 4, 4), most, dtype)
    x[0, 0, :2, :2] = 0
    y = tg.avg_pool2d(Tensor(x, device=device), 2)
    assert y.dtype == np.float32
    np.testing.assert_array_equal(values(y)[0, 0], np.float32([[0, most], [most, most]]))
    stamps = np.array([[[[1700000001, 1700000003], [-1700000001, -1700000003]]]])
    assert values(tg.avg_pool2d(Tensor(stamps + 1, device=device), 2)).item() == 1


@DEVICES
def test_pictures_of_bytes_go_through_a_convolution(device):
    """In float32, with the gradient of the weight."""
    rng = np.random.default_rng(0)
    x, w = rng.integers(0, 256, (1, 1, 5, 5), np.uint8), rng.normal(size=(2, 1, 3, 3))
    grads = []
    for picture in (x, x.astype(np.float32)):
        weight = Tensor(w.astype(np.float32), device=device, requires_grad=True)
        y = tg.conv2d(Tensor(picture, device=device), weight, padding="same")
        (y * y).sum().backward()
        grads.append((values(y), values(weight.grad)))
    assert grads[0][0].dtype == np.float32
    for a, b in zip(*grads, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6 * np.abs(b).max())


@DEVICES
def test_integers_are_convolved_exactly(device):
    """In their dtype, as in NumPy's products: 2^53 + 1 is no float64."""
    x = np.zeros((1, 1, 3, 3), np.int64)
    x[0, 0, 1, 1] = 2**53 + 1
    y = tg.conv2d(Tensor(x, device=device), Tensor(np.ones((1, 1, 2, 2), int), device=device))
    assert y.dtype == np.int64
    np.testing.assert_array_equal(values(y), np.full((1, 1, 2, 2), 2**53 + 1))


TWO, ONE = np.int64(2), np.int32(1)
X, W, SEQUENCE, KERNEL = tg.ones((2, 4, 6, 6)), tg.ones((4, 2, 2, 2)), (2, 4, 6), (4, 2, 2)
WITH_NUMPYS = {
    "conv2d": lambda two, one: tg.conv2d(
        X, W, stride=two, padding=(one, (one, two)), dilation=(two, one), groups=two
    ),
    "conv1d": lambda two, one: tg.conv1d(
        tg.ones(SEQUENCE), tg.ones(KERNEL), stride=two, padding=((one, two),), groups=two
    ),
    "conv_transpose2d": lambda two, one: tg.conv_transpose2d(
        X, W, stride=two, padding=one, output_padding=(one, one), groups=two
    ),
    "max_pool2d": lambda two, one: tg.max_pool2d(X, two, stride=(one, two), padding=one),
    "avg_pool2d": lambda two, one: tg.avg_pool2d(X, (two, two), padding=((one, one), one)),
    "pad": lambda two, one: tg.pad(X, ((one, two),) * 4, "edge"),
    "rotary": lambda two, one: tg.rotary(X, offset=two, base=two),
    "attention": lambda two, one: tg.scaled_dot_product_attention(X, X, X, scale=two),
    "Conv2D": lambda two, one: nn.Conv2D(two * two, two, two, two, one, one, two)(X),
    "Conv1D": lambda two, one: nn.Conv1D(two * two, two, two, two, ((one, two),))(X[:, :, 0]),
    "ConvTranspose2D": lambda two, one: nn.ConvTranspose2D(two * two, two, (two, two), two)(X),
    "MaxPool2D": lambda two, one: nn.MaxPool2D(two, one, ((one, one), one))(X),
    "AvgPool2D": lambda two, one: nn.AvgPool2D(two, one, (one, one))(X),
    "MultiHeadAttention": lambda two, one: nn.MultiHeadAttention(
        two * 3, two, num_kv_heads=one, rotary=np.bool_(False)
    )(X[:, 0], causal=np.bool_(True)),
    "TransformerEncoder": lambda two, one: nn.TransformerEncoder(
        two * 3, two, two * two, two, norm_first=np.bool_(True)
    )(X[:, 0]),
}


@pytest.mark.parametrize("call", WITH_NUMPYS.values(), ids=WITH_NUMPYS)
def test_numpys_integers_are_integers(call):
    results = []
    for two, one in ((2, 1), (TWO, ONE)):
        tg.seed(0)
        results.append(call(two, one))
    ours, theirs = results
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype == np.float32
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def test_an_option_of_sequences_may_stand_in_a_tuple_as_pytorchs():
    x, weight = tg.randn((2, 3, 9)), tg.randn((3, 3, 2))
    for f, given, plain in (
        (tg.conv1d, {"stride": (2,), "dilation": [3]}, {"stride": 2, "dilation": 3}),
        (tg.conv_transpose1d, {"stride": (2,), "output_padding": (1,)},
         {"stride": 2, "output_padding": 1}),
    ):  # fmt: skip
        np.testing.assert_array_equal(f(x, weight, **given), f(x, weight, **plain))
    for pool in (tg.max_pool1d, tg.avg_pool1d):
        np.testing.assert_array_equal(
            pool(x, (3,), stride=(2,), padding=(1,)), pool(x, 3, stride=2, padding=1)
        )
    with pytest.raises(TypeError, match=r"\[max_pool1d\] size is \(3, 3\)"):
        tg.max_pool1d(x, (3, 3))


@pytest.mark.parametrize("stride", [1, 2, 3, 5])
@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("dilation", [1, 2, 3])
def test_same_gives_as_many_outputs_as_strides_fit(kernel, stride, dilation):
    """And conv_transpose2d multiplies by the transpose of the same matrix."""
    for n in range(1, 9):
        x, w = tg.randn((1, 1, n, 1)), tg.randn((1, 1, kernel, 1))
        options = {"stride": (stride, 1), "dilation": (dilation, 1), "padding": "same"}
        y = tg.conv2d(x, w, **options)
        assert y.shape == (1, 1, -(-n // stride), 1)
        back = tg.conv_transpose2d(y, w, **options)
        assert back.shape == (1, 1, y.shape[2] * stride, 1)
        if back.shape == x.shape:
            np.testing.assert_allclose((back * x).sum().item(), (y * y).sum().item(), rtol=1e-4)


def test_a_window_may_stand_out_of_a_large_image_of_many_planes():
    """The fast loops over windows of 2 x 2 are for those that stay inside."""
    x = tg.randn((8, 16, 31, 33), requires_grad=True)
    for pool in (tg.max_pool2d, tg.avg_pool2d):
        y = pool(x, 2, ceil_mode=True)
        inside = pool(x, 2)
        # Four numbers are added in float32 by one loop, in float64 by the other.
        np.testing.assert_allclose(y.numpy()[:, :, :-1, :-1], inside.numpy(), rtol=0, atol=5e-7)
        corner = x.numpy()[:, :, -1:, -1:]
        np.testing.assert_array_equal(y.numpy()[:, :, -1:, -1:], corner)
        (grad,) = tg.vjp(lambda x, pool=pool: pool(x, 2, ceil_mode=True), x)[1](tg.ones_like(y))
        np.testing.assert_array_equal(grad.numpy()[:, :, -1, -1], 1)


def test_a_border_far_wider_than_its_axis_has_its_gradient_in_float16():
    """Each element is met 4001 times: one by one, sums of float16 would stop at 2048."""
    x = Tensor(np.zeros(3, np.float16), requires_grad=True)
    tg.pad(x, 6000, "wrap").sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.float16([4001] * 3))


ALMOST_ONE = [True, 1.0, np.True_, np.float64(1)]


@pytest.mark.parametrize("one", ALMOST_ONE, ids=lambda one: f"{type(one).__name__}")
@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda one: tg.conv2d(X, W, stride=(one, 1), groups=2), "stride"),
        (lambda one: tg.conv2d(X, W, dilation=(1, one), groups=2), "dilation"),
        (lambda one: tg.conv2d(X, W, padding=((1, one), (1, 1)), groups=2), "padding"),
        (lambda one: tg.conv2d(X, tg.ones((4, 4, 2, 2)), groups=one), "groups"),
        (lambda one: tg.conv_transpose2d(X, W, stride=(2, one)), "stride"),
        (lambda one: tg.max_pool2d(X, (2, one)), "size"),
        (lambda one: tg.avg_pool2d(X, 2, padding=(1, one)), "padding"),
    ],
)
def test_what_only_equals_an_option_is_refused_though_the_option_was_seen_before(call, what, one):
    """Geometries are kept by their options, and 1 == True == 1.0."""
    call(1)
    with pytest.raises((ValueError, TypeError), match=f"{what} is .*, expected"):
        call(one)


def test_a_geometry_is_made_once():
    """For the forward passes, and the backward passes of both orders, of all calls like it."""
    x, w = tg.randn((3, 2, 5, 7)), tg.randn((4, 2, 2, 3))

    def second_order(x, w):
        y = tg.avg_pool2d(tg.max_pool2d(tg.conv2d(x, w, padding=((1, 0), (1, 2))), 2), (1, 2))
        return (y * y).sum()

    def run():
        _, back = tg.vjp(lambda x, w: tg.vjp(second_order, x, w)[1](1.0)[0], x, w)
        return back(tg.ones(x.shape))

    first = [g.numpy() for g in run()]
    makers = window.convolution, window.pooling
    made = [maker.cache_info().misses for maker in makers]
    for a, b in zip(first, run(), strict=True):
        np.testing.assert_array_equal(a, b.numpy())
    assert [maker.cache_info().misses for maker in makers] == made
    assert all(maker.cache_info().maxsize for maker in makers)


def test_a_geometry_is_of_plain_integers_for_all_options():
    """So the cache keeps no array alive, and compiled kernels see one type."""
    geometry, _ = window.convolution(
        X.shape, W.shape, window.pair("", "", (TWO, ONE), 1), window.edges("", ((ONE, TWO), 0)),
        (1, 1), 2,
    )  # fmt: skip
    assert {type(n) for n in geometry} == {int}


def python_calls(function):
    calls = []
    sys.setprofile(lambda frame, event, arg: calls.append(frame) if event == "call" else None)
    try:
        function()
    finally:
        sys.setprofile(None)
    return len(calls) - 1  # that of the function itself


@needs_numba
def test_a_forward_of_small_layers_is_few_python_calls():
    """There were 77, and 49 of pooling, when each call derived its geometry anew."""
    x = tg.randn((16, 1, 28, 28))
    conv, pool = nn.Conv2D(1, 8, 3, padding=1), nn.MaxPool2D(2)
    for _ in range(2):
        y = conv(x)
        pool(y)
    assert python_calls(lambda: conv(x)) <= 40
    assert python_calls(lambda: pool(y)) <= 30
