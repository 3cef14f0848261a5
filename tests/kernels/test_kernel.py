"""The decorator of kernels: what it registers, what it checks, and what it leaves to the reference.

The kernels of these tests return "ours" and what they were called with.
"""

import inspect

import numpy as np
import pytest
from tinygrad_like.kernels import cpu, cuda, kernel, reference
from tinygrad_like.kernels.cpu.machine.memory import plain

F, D, H = np.float32, np.float64, np.float16


@pytest.fixture
def target():
    return kernel.Target("carray", plain)


@pytest.fixture
def layer_norm(target):
    @target.kernel("x weight? bias?")
    def layer_norm(x, weight, bias, eps):
        return "ours", x, weight, bias

    return layer_norm


def array(*shape, dtype=F):
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


def is_ours(result):
    return isinstance(result, tuple) and isinstance(result[0], str)


def test_a_kernel_is_registered_under_its_name(target, layer_norm):
    assert target.kernels["layer_norm"] is layer_norm
    assert target.kernels["rms_norm"] is reference.rms_norm
    assert reference.KERNELS["layer_norm"] is reference.layer_norm
    assert layer_norm.__name__ == "layer_norm"
    assert str(inspect.signature(layer_norm)) == "(x, weight, bias, eps)"


def test_a_name_that_the_reference_lacks_is_refused(target):
    with pytest.raises(TypeError, match=r"\[kernel\] layernorm is no kernel of the reference"):

        @target.kernel("x")
        def layernorm(x):
            return x


@pytest.mark.parametrize("decorate", ["kernel", "complete_kernel"])
def test_other_parameters_than_the_references_are_refused(target, decorate):
    def relu(x, slope):
        return x

    register = target.kernel("x") if decorate == "kernel" else target.complete_kernel
    with pytest.raises(TypeError, match=r"relu has parameters \(x, slope\), expected .* \(x\)"):
        register(relu)
    assert target.kernels["relu"] is reference.relu


def test_parameters_by_keyword_may_be_added(target):
    @target.kernel("a b")
    def matmul(a, b, *, tf32=False):
        return "ours", tf32

    a, b = array(2, 2), array(2, 2)
    assert matmul(a, b) == ("ours", False)
    assert matmul(a, b, tf32=True) == matmul(a.T, b, tf32=True) == ("ours", True)


@pytest.mark.parametrize("dtype", [F, D])
def test_arrays_of_one_dtype_and_none_are_taken_as_they_are(layer_norm, dtype):
    x, weight, bias = array(2, 3, dtype=dtype), array(3, dtype=dtype), array(3, dtype=dtype)
    for parameters in ((weight, bias), (None, bias), (weight, None), (None, None)):
        result = layer_norm(x, *parameters, 1e-5)
        assert is_ours(result)
        assert all(a is b for a, b in zip(result[1:], (x, *parameters), strict=True))


@pytest.mark.parametrize(
    "dtypes", [(F, D, F), (D, F, F), (F, F, D), (H, H, H), (np.complex128,) * 3, (H, F, F)]
)
def test_dtypes_mixed_and_others_go_to_the_reference(layer_norm, dtypes):
    x, weight, bias = (
        array(*s, dtype=d) for s, d in zip([(2, 3), (3,), (3,)], dtypes, strict=True)
    )
    result = layer_norm(x, weight, bias, 1e-5)
    for ours, theirs in zip(result, reference.layer_norm(x, weight, bias, 1e-5), strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype


def test_a_dtype_that_is_equal_but_another_object_is_taken(layer_norm):
    x = array(2, 3).astype(np.dtype("f4", copy=True))
    assert x.dtype is not np.dtype(F)
    assert is_ours(layer_norm(x, array(3), None, 1e-5))


def read_only(x):
    x.flags.writeable = False
    return x


def unaligned(x):
    room = np.zeros(x.nbytes + 1, np.uint8)
    view = room[1:].view(x.dtype).reshape(x.shape)
    view[...] = x
    return view


VIEWS = {
    "transposed": lambda x: x.T.copy().T,
    "strided": lambda x: np.repeat(x, 2, -1)[..., ::2],
    "read-only": read_only,
    "broadcast": lambda x: np.broadcast_to(x[:1], x.shape),
    "unaligned": unaligned,
}


@pytest.mark.parametrize("name", VIEWS)
def test_arrays_of_any_layout_are_made_ready(layer_norm, target, name):
    x, weight = VIEWS[name](array(2, 3)), VIEWS[name](array(3))
    _, ready, ready_weight, _ = layer_norm(x, weight, None, 1e-5)
    for made, given in ((ready, x), (ready_weight, weight)):
        assert made.flags.carray
        np.testing.assert_array_equal(made, given)

    @target.kernel("table", others="index")
    def gather_rows(table, index):
        return "ours", index

    assert gather_rows(array(4, 3), VIEWS[name](np.arange(3)))[1].flags.carray


def test_a_kernel_of_any_layout_gets_its_arrays_as_they_are(target):
    @target.kernel("x", any_layout=True)
    def sum_axes(x, axes):
        return "ours", x

    @target.kernel("out updates")
    def scatter_add_(out, index, updates):
        out += 1

    x, index = array(2, 3).T, np.arange(3)
    assert sum_axes(x, None)[1] is x
    expected = x + 1
    assert scatter_add_(x, index, x) is None
    np.testing.assert_array_equal(x, expected)


def test_shapes_that_differ_go_to_the_reference(target):
    @target.kernel("g y", alike=True)
    def softmax_backward(g, y):
        return "ours", g, y

    g, y = array(1, 3), array(2, 3)
    assert is_ours(softmax_backward(y, y))
    np.testing.assert_array_equal(softmax_backward(g, y), reference.softmax_backward(g, y))


def test_what_a_kernel_does_not_compute_goes_to_the_reference(target):
    calls = []

    @target.kernel("x", half=True)
    def sum_middle(x):
        calls.append(x.dtype)
        return NotImplemented

    x = array(2, 3, 4)
    np.testing.assert_array_equal(sum_middle(x), reference.sum_middle(x))
    np.testing.assert_array_equal(sum_middle(x.T), reference.sum_middle(x.T))
    half = x.astype(H)
    assert sum_middle(half).dtype == H
    assert calls == [F, F, F]


def test_float16_is_computed_in_float32_and_rounded_but_what_is_kept(target):
    seen = []

    @target.kernel("q k v", mask="mask", half=True, kept=(1,))
    def attention(q, k, v, mask, causal, scale, p, seed, offset):
        seen.append((q.dtype, None if mask is None else mask.dtype))
        return q + 1, q.sum(-1)

    rest = False, 1.0, 0, 0, 0
    half, single = array(1, 2, 3, 4, dtype=H), array(1, 2, 3, 4)
    for mask in (None, np.ones((1, 1, 3, 3), bool), np.zeros((1, 1, 3, 3), H)):
        out, sums = attention(half, half, half, mask, *rest)
        assert (out.dtype, sums.dtype) == (H, F)
        np.testing.assert_array_equal(out, (half.astype(F) + 1).astype(H))
    assert seen == [(F, None), (F, np.bool_), (F, F)]
    seen.clear()
    ours = [None, np.ones((1, 1, 3, 3), bool), np.zeros((1, 1, 3, 3), F)]
    for mask in ours:
        attention(single, single, single, mask, *rest)
    assert len(seen) == 3
    seen.clear()
    attention(single, single, single, np.zeros((1, 1, 3, 3), D), *rest)
    attention(half, half, half, np.zeros((1, 1, 3, 3), F), *rest)
    attention(half, half, single, None, *rest)
    assert not seen, "masks and arrays of other dtypes are the reference's"


def test_a_refusal_is_told():
    told = []
    target = kernel.Target("c_contiguous", plain, refused=lambda *what: told.append(what))

    @target.kernel("x")
    def relu(x):
        return NotImplemented

    relu(array(2))
    relu(array(4)[::2])
    assert not told
    whole = np.arange(3)
    relu(whole)
    assert [(name, *map(id, arrays)) for name, arrays in told] == [("relu", id(whole))]


@pytest.mark.parametrize("module", [cpu, cuda], ids=["cpu", "cuda"])
def test_every_target_has_the_kernels_of_the_reference(module):
    assert module.KERNELS.keys() == reference.KERNELS.keys()
    for name, function in module.KERNELS.items():
        assert getattr(module, name) is function
        ours, contract = (
            [p for p in inspect.signature(f).parameters.values() if p.kind is not p.KEYWORD_ONLY]
            for f in (function, reference.KERNELS[name])
        )
        assert ours == contract, name
