"""Making Tensors: what the constructor and the creation functions take, copy, and refuse."""

import pickle

import numpy as np
import pytest
from grouped import grouped

import tinygrad_like as tg
from tinygrad_like import Tensor


def test_python_numbers_become_float32_int64_or_bool():
    for data, dtype in (
        (1.0, np.float32),
        ([1.0, 2.0], np.float32),
        ([1, 2.5], np.float32),
        ([], np.float32),
        (3, np.int64),
        ([1, 2], np.int64),
        ([[True, False]], np.bool_),
        (range(3), np.int64),
        ((1.0, (2.0)), np.float32),
    ):
        assert Tensor(data).dtype == dtype, data


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i1", "u1", "i4", "i8", "?", "c8", "c16"])
def test_arrays_keep_their_dtype(dtype):
    array = np.ones((2, 3), dtype)
    assert Tensor(array).dtype == array.dtype
    assert Tensor(array[0, 0]).dtype == array.dtype
    assert Tensor(array.astype(array.dtype.newbyteorder())).dtype == array.dtype


@pytest.mark.parametrize("make", [np.array, Tensor, lambda a: np.asfortranarray(a), list])
def test_the_constructor_copies(make):
    data = make([[1.0, 2.0], [3.0, 4.0]])
    t = Tensor(data)
    data[0][0] = 99.0
    np.testing.assert_array_equal(t.numpy(), [[1, 2], [3, 4]])
    assert t.data.flags.c_contiguous
    assert t.data.flags.owndata


def test_a_tensor_of_a_tensor_has_neither_history_nor_gradient():
    x = Tensor([1.0], requires_grad=True)
    assert not Tensor(x * 2).requires_grad


@pytest.mark.parametrize(
    ("data", "match"),
    [
        ([Tensor([1.0]), Tensor([2.0])], "stack"),
        ([[Tensor(1.0)], [Tensor(2.0)]], "stack"),
        ((1.0, Tensor(2.0)), "stack"),
        ([[1.0], [1.0, 2.0]], "inhomogeneous"),
        ("text", "numbers"),
        (["a", "b"], "numbers"),
        (None, "numbers"),
        ([None, 1.0], "numbers"),
        ({"a": 1}, "numbers"),
        (np.array([1, None], object), "numbers"),
        (np.array(["2020-01-01"], "M8[D]"), "numbers"),
        (object(), "numbers"),
        ((x for x in [1.0]), "numbers"),
        (2**70, "numbers"),
        (np.ma.array([1.0, 2.0], mask=[0, 1]), "mask"),
    ],
)
def test_what_is_no_array_of_numbers_is_refused(data, match):
    with pytest.raises(TypeError, match=rf"\[Tensor\].*{match}"):
        Tensor(data)


@pytest.mark.parametrize("dtype", [object, str, "M8[s]", "V4"])
def test_a_dtype_of_no_numbers_is_refused(dtype):
    with pytest.raises(TypeError, match="dtype"):
        Tensor([1.0], dtype=dtype)
    with pytest.raises((TypeError, ValueError), match="dtype"):
        Tensor([1.0]).astype(dtype)


def test_only_floating_tensors_require_gradients():
    for data in ([1, 2], [True], np.zeros(2, np.uint8)):
        with pytest.raises(TypeError, match=r"\[requires_grad\].*floating"):
            Tensor(data, requires_grad=True)
    assert Tensor([1, 2], dtype=np.float32, requires_grad=True).requires_grad


def test_requires_grad_can_be_set_on_leaves_only():
    x = Tensor([1.0], requires_grad=True)
    with pytest.raises(tg.GraphError, match="leaves"):
        (x * 2).requires_grad = False
    x.requires_grad = False
    assert not (x * 2).requires_grad


def test_an_unknown_device_is_refused_by_name():
    for device in ("gpu", "cuda:x", 3):
        with pytest.raises(tg.DeviceError, match="device"):
            Tensor([1.0], device=device)
    with pytest.raises(tg.DeviceError, match="gpu"):
        Tensor([1.0]).to("gpu")


def test_to_converts_dtypes_and_is_differentiable():
    x = Tensor([1.5, 2.5], requires_grad=True)
    y = x.to(np.float64)
    assert (y.dtype, y.requires_grad) == (np.float64, True)
    (y * 2).sum().backward()
    assert x.grad.dtype == np.float32
    assert x.to("int32").dtype == np.int32
    assert not x.to(int).requires_grad
    assert x.to(np.float32) is x


MAKERS = {
    "zeros": (lambda **kw: tg.zeros((2, 3), **kw), np.zeros((2, 3), np.float32)),
    "ones": (lambda **kw: tg.ones((2, 3), **kw), np.ones((2, 3), np.float32)),
    "zeros of an int": (lambda **kw: tg.zeros(3, **kw), np.zeros(3, np.float32)),
    "zeros of nothing": (lambda **kw: tg.zeros((), **kw), np.zeros((), np.float32)),
    "full": (lambda **kw: tg.full((2,), 1.5, **kw), np.full(2, 1.5, np.float32)),
    "linspace": (lambda **kw: tg.linspace(0, 1, 5, **kw), np.linspace(0, 1, 5, dtype=np.float32)),
    "eye": (lambda **kw: tg.eye(3, **kw), np.eye(3, dtype=np.float32)),
    "eye of two": (lambda **kw: tg.eye(2, 3, **kw), np.eye(2, 3, dtype=np.float32)),
    "arange of floats": (lambda **kw: tg.arange(1.0, 3.0, 0.5, **kw), np.arange(1, 3, 0.5, "f4")),
}


@pytest.mark.parametrize("name", MAKERS)
def test_creation_functions_are_numpys_in_float32(name):
    make, expected = MAKERS[name]
    t = make()
    assert t.dtype == np.float32
    np.testing.assert_array_equal(t.numpy(), expected)
    assert make(requires_grad=True).requires_grad
    assert make(dtype=np.float64).dtype == np.float64
    assert make(device="cpu").device == "cpu"


OF_INTEGERS = (
    "arctan elu erf exp gelu leaky_relu log log1p logsumexp log_softmax mean norm rsqrt sigmoid "
    "silu sin sinh softmax softplus sqrt std tanh var"
).split()


@pytest.mark.parametrize("name", OF_INTEGERS)
@grouped("dtype", ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "?"])
def test_functions_of_integers_are_those_of_floats(name, dtype):
    """Nothing wraps around on the way: -x of an unsigned type, x * x of a small one."""
    least = 1 if name in ("log", "rsqrt") else 0
    values = np.array([13, 3, least]).astype(dtype)
    f = getattr(tg, name)
    found, expected = f(Tensor(values)), f(Tensor(values, dtype=np.float32))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-5, atol=1e-35)


def test_arange_and_full_follow_their_values():
    assert tg.arange(4).dtype == np.int64
    assert tg.arange(4.0).dtype == np.float32
    assert tg.full((2,), 3).dtype == np.int64
    assert tg.full((2,), True).dtype == np.bool_
    np.testing.assert_array_equal(tg.arange(5, 1, -2).numpy(), [5, 3])


def test_a_value_to_fill_with_that_wants_a_gradient_is_refused():
    """The new tensor would be a constant without a word; broadcast_to carries the gradient."""
    value = Tensor(2.0, requires_grad=True)
    for make in (lambda: tg.full((3,), value), lambda: tg.full_like(tg.ones(3), value)):
        with pytest.raises((tg.GraphError, TypeError), match="full"):
            make()
    assert tg.full((3,), value.detach()).numpy().tolist() == [2, 2, 2]


def test_like_functions_follow_their_model():
    model = Tensor(np.ones((2, 3), np.float16), requires_grad=True)
    for t in (tg.zeros_like(model), tg.ones_like(model), tg.full_like(model, 2.0)):
        assert (t.shape, t.dtype, t.requires_grad) == ((2, 3), np.float16, False)
    for t in (tg.rand_like(model), tg.randn_like(model)):
        assert (t.shape, t.dtype) == ((2, 3), np.float16)


@pytest.mark.parametrize("shape", [-1, (2, -1), 1.5, "3", (2, None)])
@pytest.mark.parametrize("make", [tg.zeros, tg.ones, tg.rand, tg.randn, lambda s: tg.full(s, 1.0)])
def test_a_shape_is_made_of_non_negative_integers(make, shape):
    with pytest.raises((ValueError, TypeError), match="shape"):
        make(shape)


def test_random_numbers_follow_the_seed_and_their_ranges():
    tg.seed(5)
    first = [tg.rand((50,)), tg.randn((50,)), tg.randint(-2, 3, (50,)), tg.permutation(50)]
    tg.seed(5)
    again = [tg.rand((50,)), tg.randn((50,)), tg.randint(-2, 3, (50,)), tg.permutation(50)]
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    uniform, _, integers, order = (t.numpy() for t in first)
    assert 0 <= uniform.min() <= uniform.max() < 1
    assert set(integers.tolist()) == {-2, -1, 0, 1, 2}
    assert sorted(order.tolist()) == list(range(50))
    assert not np.array_equal(uniform, tg.rand((50,)).numpy())


def test_0d_and_empty_tensors_are_like_any_other():
    for shape in ((), (0,), (0, 3), (3, 0)):
        x = tg.ones(shape, requires_grad=True)
        (x * 2 + x).sum().backward()
        assert x.grad.shape == shape


@pytest.mark.parametrize("create", [tg.zeros, tg.ones, tg.rand, tg.randn])
def test_a_shape_is_given_whole_or_by_its_lengths(create):
    assert create((2, 3)).shape == create([2, 3]).shape == create(2, 3).shape == (2, 3)
    assert create(4).shape == (4,)
    assert create(()).shape == ()


def test_an_array_out_of_a_pickle_has_the_dtype_that_kernels_know():
    loaded = pickle.loads(pickle.dumps(np.ones(3)))
    assert tg.Tensor(loaded).dtype is np.dtype(np.float64)
    assert pickle.loads(pickle.dumps(tg.ones(3))).dtype is np.dtype(np.float32)
