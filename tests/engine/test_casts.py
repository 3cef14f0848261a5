"""What a dtype cannot hold is refused, not wrapped around or made up."""

import math

import numpy as np
import pytest
from grouped import grouped
from needed import needs_emulator

import tinygrad_like as tg
from tinygrad_like import Tensor

NAN, INF = math.nan, math.inf
DEVICES = ["cpu", "cuda-emulator"]

# (values, a dtype that cannot hold them)
REFUSED = [
    ([300], np.uint8),
    ([-1], np.uint8),
    ([5, 128], np.int8),
    ([-129], np.int8),
    ([2**31], np.int32),
    ([2**63], np.int64),
    ([-1], np.uint64),
    ([1.0, NAN], np.int64),
    ([INF], np.int32),
    ([-INF, 0.0], np.int8),
    ([255.0, 256.0], np.uint8),
    ([-1.0], np.uint8),
    ([2.0**63], np.int64),
    ([-(2.0**63) - 2048], np.int64),
    ([1e300], np.uint64),
]
KEPT = [
    ([0, 255], np.uint8),
    ([-128, 127], np.int8),
    ([2**63 - 1, -(2**63)], np.int64),
    ([2**64 - 1], np.uint64),
    ([-0.9, 255.9], np.uint8),  # fractions are cut off
    ([-128.9, 127.9], np.int8),
    ([2.0**63 - 1024, -(2.0**63)], np.int64),
    ([True, False], np.int8),
    ([1.5, -2.5], np.int64),
    ([], np.uint8),
    ([2.0, NAN, 0.0], np.bool_),
]
ROUTES = {
    "Tensor of a list": lambda v, dtype, device: Tensor(v, dtype=dtype, device=device),
    "Tensor of an array": lambda v, dtype, device: Tensor(np.array(v), dtype=dtype, device=device),
    "Tensor of a Tensor": lambda v, dtype, device: Tensor(
        Tensor(np.array(v), device=device), dtype=dtype
    ),
    "astype": lambda v, dtype, device: Tensor(np.array(v), device=device).astype(dtype),
    "to": lambda v, dtype, device: Tensor(np.array(v), device=device).to(dtype),
    "tg.astype": lambda v, dtype, device: tg.astype(
        Tensor(np.array(v), device=device), dtype=dtype
    ),
    "full": lambda v, dtype, device: tg.full(len(v), v, dtype=dtype, device=device),
    "full_like": lambda v, dtype, device: tg.full_like(
        tg.zeros(len(v), dtype=np.float64, device=device), v, dtype=dtype
    ),
}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("route", ROUTES.values(), ids=ROUTES)
@grouped("values dtype", REFUSED)
def test_what_an_integer_dtype_cannot_hold_is_refused(values, dtype, route, device):
    limits = np.iinfo(dtype)
    message = rf"^\[\w+\] .* does not fit into {np.dtype(dtype)}, which holds {limits.min} to"
    with pytest.raises(ValueError, match=message):
        route(values, dtype, device)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("route", ROUTES.values(), ids=ROUTES)
@grouped("values dtype", KEPT)
def test_what_fits_is_cast_as_numpy_casts(values, dtype, route, device):
    got = route(values, dtype, device)
    assert got.dtype == dtype
    np.testing.assert_array_equal(got.cpu().numpy(), np.array(values).astype(dtype))


@pytest.mark.parametrize("number", [1e300, -1e39])
def test_numbers_beyond_float32_are_refused(number):
    for data in (number, [1.0, number], [[NAN, number], [INF, -INF]]):
        with pytest.raises(ValueError, match=r"^\[Tensor\] .* does not fit into float32"):
            Tensor(data, dtype=np.float32)
    with pytest.raises(ValueError, match=r"^\[full\] "):
        tg.full((2,), float(number))
    with pytest.raises(ValueError, match="does not fit into float16"):
        Tensor([70000], dtype=np.float16)
    assert Tensor([number], dtype=np.float64).item() == number


@pytest.mark.parametrize("data", [None, [1, None], 10**39, [object()], np.array([1, None])])
@pytest.mark.parametrize("dtype", [None, np.float32, np.int64])
def test_objects_are_no_numbers(data, dtype):
    """NumPy would make NaN of None."""
    with pytest.raises(TypeError, match=r"^\[Tensor\] "):
        Tensor(data, dtype=dtype)


def test_infinities_and_arrays_are_cast_as_numpy_casts():
    assert Tensor([INF, -INF, NAN]).dtype == np.float32
    big = np.array([1e300])
    with pytest.warns(RuntimeWarning, match="overflow"):
        assert Tensor(big, dtype=np.float32).item() == INF
    with pytest.warns(RuntimeWarning, match="overflow"):
        assert Tensor(big).astype(np.float32).item() == INF


def test_casts_between_floats_keep_their_gradient():
    x = Tensor(np.array([1.5, 2.5]), requires_grad=True)
    (x.astype(np.float16) * 2).sum().backward()
    assert x.grad.numpy().tolist() == [2, 2]
    assert x.grad.dtype == np.float64


def test_ranges_that_a_dtype_cannot_hold():
    for f in (
        lambda: tg.arange(0, 300, dtype=np.uint8),
        lambda: tg.arange(-1, 5, dtype=np.uint16),
        lambda: tg.linspace(0, 1000, 3, dtype=np.uint8),
        lambda: tg.randint(0, 257, 3, dtype=np.uint8),
        lambda: tg.randint(-1, 5, 3, dtype=np.uint8),
    ):
        with pytest.raises(ValueError, match=r"^\[(arange|linspace|randint)\] .* fit into uint"):
            f()
    assert tg.arange(250, 256, dtype=np.uint8).numpy().max() == 255
    assert tg.arange(5, -1, -1, dtype=np.uint8).numpy().tolist() == [5, 4, 3, 2, 1, 0]
    drawn = tg.randint(0, 256, 5000, dtype=np.uint8).numpy()
    assert (drawn.min(), drawn.max()) == (0, 255)


# Arguments of functions that make tensors

CALLS = [
    (lambda: Tensor(1, dtype="nonsense"), TypeError, "[Tensor] dtype is 'nonsense', expected one"),
    (lambda: tg.ones(2).astype(None), TypeError, "[astype] dtype is None"),
    (lambda: tg.zeros(2, dtype=None), TypeError, "[zeros] dtype is None"),
    (lambda: tg.zeros(True), ValueError, "[zeros] shape is True, expected non-negative integers"),
    (lambda: tg.ones((2, True)), ValueError, "[ones] shape is (2, True)"),
    (lambda: tg.zeros((10**12, 10**9)), ValueError, "[zeros] shape is (1000000000000, 1000000000)"),
    (lambda: tg.zeros(2, requires_grad="no"), ValueError, "[requires_grad] requires_grad is 'no'"),
    (lambda: Tensor([1.0], requires_grad=1), ValueError, "[requires_grad] requires_grad is 1"),
    (lambda: tg.full((2,), [1, 2, 3]), ValueError, "[full] fill_value is (3,), which does not bro"),
    (lambda: tg.arange("a"), TypeError, "[arange] stop is 'a', expected a finite number"),
    (lambda: tg.arange(None), TypeError, "[arange] stop is None"),
    (lambda: tg.arange(NAN), ValueError, "[arange] stop is nan, expected a finite number"),
    (lambda: tg.arange(0, INF), ValueError, "[arange] stop is inf"),
    (lambda: tg.arange(0, 5, True), TypeError, "[arange] step is True"),
    (lambda: tg.arange(0, 10**20), ValueError, "[arange] shape is"),
    (lambda: tg.linspace("a", 1), TypeError, "[linspace] start is 'a'"),
    (lambda: tg.linspace(0, NAN), ValueError, "[linspace] stop is nan"),
    (lambda: tg.randint("a", 3, 3), TypeError, "[randint] low is 'a', expected an integer"),
    (lambda: tg.randint(0.5, 1.5, 3), TypeError, "[randint] low is 0.5, expected an integer"),
    (lambda: tg.randint(0, NAN, 3), TypeError, "[randint] high is nan, expected an integer"),
    (lambda: tg.permutation(2.5), TypeError, "[permutation] n is 2.5, expected an integer"),
    (lambda: tg.seed(True), ValueError, "[seed] n is True"),
    (lambda: tg.set_device(None), ValueError, "[device] device is None"),
    (lambda: tg.from_dlpack(3), TypeError, "[from_dlpack] x is a int, expected an array that"),
    (lambda: tg.from_dlpack([1.0]), TypeError, "[from_dlpack] x is a list"),
    *(
        (lambda s=s: tg.set_rng_state(s), ValueError, "[set_rng_state] state is ")
        for s in ({}, None, {"seed": "a", "counter": 0}, {"seed": 1}, {"seed": 1, "counter": -1},
                  {"seed": 1, "counter": 0, "more": 1}, {"seed": 1.5, "counter": 0})
    ),
    (lambda: tg.dropout(Tensor([1, 2]), 0.5), TypeError, "[dropout] x has dtype int64, expected a"),
    (lambda: tg.dropout(tg.ones(2), "a"), TypeError, "[dropout] p is 'a', expected a probability"),
    (lambda: tg.dropout(tg.ones(2), training="no"), ValueError, "[dropout] training is 'no'"),
    (lambda: tg.one_hot(Tensor([1]), 2.5), TypeError, "[one_hot] num_classes is 2.5"),
    (lambda: tg.tril(tg.ones((2, 2)), 0.5), TypeError, "[tril] k is 0.5, expected an integer"),
    (lambda: tg.triu(tg.ones((2, 2)), "a"), TypeError, "[triu] k is 'a'"),
    (lambda: tg.gelu(tg.ones(2), "no"), ValueError, "[gelu] approximate is 'no', expected 'none'"),
    (lambda: tg.gelu(tg.ones(2), 1), ValueError, "[gelu] approximate is 1, expected True or False"),
    (lambda: tg.gelu(tg.ones(2), None), ValueError, "[gelu] approximate is None"),
    (lambda: tg.leaky_relu(tg.ones(2), slope="a"), TypeError, "[leaky_relu] slope is 'a'"),
    (lambda: tg.elu(tg.ones(2), alpha=None), TypeError, "[elu] alpha is None"),
    (lambda: tg.clip(tg.ones(2), NAN, 1), ValueError, "[clip] min is nan"),
    (lambda: tg.clip(tg.ones(2), 0, "a"), TypeError, "[clip] max is 'a'"),
    (lambda: tg.round(tg.ones(2), decimals=0.5), TypeError, "[round] decimals is 0.5"),
    (lambda: tg.checkpoint(3, tg.ones(2)), TypeError, "[checkpoint] f is a int, expected a functi"),
    (lambda: tg.gradcheck(3, np.ones(2)), TypeError, "[gradcheck] f is a int, expected a function"),
    (lambda: tg.gradcheck(tg.exp, np.ones(2), order=True), TypeError, "[gradcheck] order is True"),
    (lambda: tg.gradcheck(tg.exp, np.ones(2), directions=0.5), TypeError, "[gradcheck] directions"),
    (lambda: tg.gradcheck(tg.exp, np.ones(2), rtol="a"), TypeError, "[gradcheck] rtol is 'a'"),
    (lambda: tg.gradcheck(tg.exp, np.ones(2), method=1), ValueError, "[gradcheck] method is 1"),
    (lambda: tg.losses.huber(tg.ones(2), tg.ones(2), delta="a"), TypeError, "[huber] delta is 'a'"),
    (lambda: tg.losses.cross_entropy(tg.ones((1, 2)), [0], label_smoothing="a"), TypeError,
     "[cross_entropy] label_smoothing is 'a', expected 0 to 1"),
    (lambda: tg.losses.cross_entropy(tg.ones((1, 2)), [0], ignore_index="a"), TypeError,
     "[cross_entropy] ignore_index is 'a', expected an integer"),
    (lambda: tg.losses.mse(tg.ones(2), tg.ones(2), reduction=True), ValueError,
     "[mse] reduction is True, expected 'mean', 'sum' or 'none'"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "text"), CALLS, ids=[text for _, _, text in CALLS])
def test_a_wrong_argument_is_named(call, kind, text):
    state = tg.get_rng_state()
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value).startswith(text)
    assert tg.get_rng_state() == state


@needs_emulator
def test_arrays_and_numbers_go_to_the_default_device_and_tensors_stay():
    try:
        tg.set_device("cuda-emulator")
        for data in (np.ones(2), [1.0, 2.0], 3, np.float32(3)):
            assert tg.Tensor(data).device == "cuda-emulator"
            assert tg.Tensor(data, device="cpu").device == "cpu"
        assert tg.Tensor(tg.Tensor(1.0, device="cpu")).device == "cpu"
    finally:
        tg.set_device("cpu")


def test_set_device_changes_nothing_if_refused():
    with pytest.raises(ValueError, match="device"):
        tg.set_device(None)
    assert tg.zeros(1).device == "cpu"


# Complex numbers, and values that are written, filled in or drawn


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.uint8])
def test_complex_numbers_do_not_become_real_ones(dtype, device):
    z = Tensor(np.array([1 + 2j]), device=device)
    for cast in (lambda: z.astype(dtype), lambda: z.to(dtype), lambda: Tensor(z, dtype=dtype)):
        with pytest.raises(TypeError, match=r"complex128, but .* holds real numbers; take the"):
            cast()
    assert z.astype(bool).tolist() == [True]


def test_a_complex_gradient_of_a_real_tensor_is_refused():
    w = tg.ones(1, requires_grad=True)
    with pytest.raises(TypeError, match="real numbers"):
        (w * 2).backward(np.array([1 + 5j]))
    assert w.grad is None


@pytest.mark.parametrize("device", DEVICES)
def test_values_written_into_narrow_integers_do_not_wrap(device):
    t = Tensor([1], dtype="int8", device=device)
    with pytest.raises(ValueError, match=r"\[data\] 300 does not fit into int8"):
        t.data = Tensor([300], device=device)
    with pytest.raises(ValueError, match=r"\[scatter_add\] 300 does not fit into int8"):
        tg.scatter_add(t, np.array([0]), Tensor([300], device=device))
    assert t.tolist() == [1]


@pytest.mark.parametrize("device", DEVICES)
def test_a_range_of_fractions_keeps_its_step(device):
    numbers = tg.arange(1000.0, 1001.0, 0.001, device=device)
    assert (numbers.dtype, numbers.shape) == (np.float32, (1000,))
    np.testing.assert_array_equal(numbers.numpy(), np.float32(1000 + 0.001 * np.arange(1000)))


@pytest.mark.parametrize(
    ("args", "options", "words"),
    [
        ((0, 5, 0.5), {"dtype": "int64"}, "step 0.5, expected integers for int64"),
        ((0.5, 5), {"dtype": "int8"}, "start is 0.5"),
        ((2**70, 2**70 + 2), {}, "beyond the integers of 64 bits"),
        ((0, 1e5, 1e4), {"dtype": "float16"}, "90000.0 does not fit into float16"),
        ((0, 300, 100), {"dtype": "int8"}, "200 does not fit into int8"),
    ],
)
def test_a_range_that_its_dtype_cannot_hold_is_refused(args, options, words):
    with pytest.raises(ValueError, match=words):
        tg.arange(*args, **options)


def test_one_hot_takes_dtypes_of_numbers_only():
    with pytest.raises(TypeError, match="one_hot"):
        tg.one_hot(Tensor([1]), 3, dtype=object)


@pytest.mark.parametrize("device", DEVICES)
def test_random_integers_lie_between_their_bounds_beyond_2_to_the_53(device):
    low, high = 2**53 + 1, 2**53 + 3
    assert {*tg.randint(low, high, 50, device=device).tolist()} == {low, low + 1}
    wide = tg.randint(-(2**63), 2**63, 200, device=device).numpy()
    assert wide.min() < -(2**61)
    assert wide.max() > 2**61
    assert len({*wide % 1024}) > 100
    numbers = tg.randint(2**64 - 3, 2**64, 50, dtype="uint64", device=device)
    assert {*numbers.tolist()} == {2**64 - 3, 2**64 - 2, 2**64 - 1}
    with pytest.raises(ValueError, match="does not fit into float16"):
        tg.randint(0, 10**6, 3, dtype="float16", device=device)


def test_differences_of_integers_do_not_wrap_in_isclose():
    a, b = Tensor([0, 254], dtype="uint8"), Tensor([255, 255], dtype="uint8")
    assert tg.isclose(a, b, atol=2).tolist() == [False, True]
    assert tg.isclose(Tensor([True]), Tensor([True])).tolist() == [True]


def test_a_whole_number_beyond_2_to_the_53_pads():
    assert tg.pad(Tensor([1]), 1, value=2**63 - 1).tolist() == [2**63 - 1, 1, 2**63 - 1]
    for value in (2**63, 10**400):
        with pytest.raises(ValueError, match="cannot hold"):
            tg.pad(Tensor([1]), 1, value=value)
    with pytest.raises(ValueError, match="cannot hold"):
        tg.pad(Tensor([1.0]), 1, value=10**400)


@pytest.mark.parametrize("device", DEVICES)
def test_a_number_that_is_filled_in_does_not_wrap(device):
    mask = np.array([True, False])
    for dtype, number in (
        *((np.uint8, 300), (np.uint8, -1), (np.int32, 2**40), (np.int64, 2**63)),
        *((np.float16, 1e6), (np.float16, 70_000), (np.float32, 1e300)),
    ):
        x = Tensor(np.array([1, 2], dtype), device=device)
        for fill in (lambda x, n: tg.masked_fill(x, mask, n), lambda x, n: tg.where(mask, x, n)):
            with pytest.raises(ValueError, match="does not fit into"):
                fill(x, number)
    x = Tensor(np.array([1, 2], np.float16), device=device)
    assert tg.masked_fill(x, mask, -INF).tolist() == [-INF, 2]
    assert tg.where(mask, Tensor([1, 2], dtype="uint8", device=device), 255).tolist() == [1, 255]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("order", [1, 2, 3, INF, -INF])
def test_norms_of_integers_do_not_wrap(order, device):
    x = np.array([-128, 100], np.int8)
    found = tg.norm(Tensor(x, device=device), order)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.item(), np.linalg.norm(x.astype(float), order), rtol=1e-6)
    assert tg.norm(Tensor([-(2**63)], device=device), order).item() == 2.0**63


MASKED = np.ma.array([1, 2], mask=[0, 1])
TAKES_MASKED = {
    "repeat": lambda: tg.repeat(tg.ones(2), MASKED),
    "clip": lambda: tg.clip(tg.ones(2), MASKED, None),
    "one_hot": lambda: tg.one_hot(MASKED, 3),
    "lengths": lambda: tg.nn.RNN(1, 1)(tg.ones(2, 3, 1), lengths=MASKED),
    "a list": lambda: Tensor([MASKED]),
    "data": lambda: setattr(tg.ones(2), "data", MASKED),
    "Dataset": lambda: tg.data.Dataset(MASKED),
    "save": lambda: tg.io.save("never written", {"a": MASKED}),
}


@pytest.mark.parametrize("call", TAKES_MASKED.values(), ids=TAKES_MASKED)
def test_no_option_drops_a_mask(call):
    with pytest.raises(TypeError, match="is a masked array, whose mask would be lost"):
        call()
