"""A Tensor meets NumPy's functions, Python's protocols, other libraries: right, or an error."""

import copy
import operator
import pickle

import numpy as np
import pytest
from oracle import needs_torch, torch

import tinygrad_like as tg
from tinygrad_like import Tensor

X = np.array([[0.5, -1.0, 2.0], [3.0, 0.25, -0.75]])
SQUARE = np.array([[4.0, 1.0], [1.0, 3.0]])


def leaf(values, dtype=np.float64):
    return Tensor(np.array(values, dtype), requires_grad=True)


def values(x):
    return x.numpy() if isinstance(x, Tensor) else np.asarray(x)


# NumPy's functions on Tensors: the same call gives the same values, or raises naming itself

CALLS = {
    **{
        name: getattr(np, name)
        for name in (
            "exp expm1 sin cos arctan tanh sinh cosh negative abs absolute sign floor ceil square "
            "sum mean var std max min amax amin prod argmax argmin any all cumsum transpose "
            "squeeze flip sort argsort isnan isinf isfinite logical_not zeros_like ones_like round "
            "ravel shape ndim size median diff unique nonzero log2 log1p sqrt log cbrt"
        ).split()
    },
    "sum axis": lambda x: np.sum(x, axis=0),
    "sum positional dtype": lambda x: np.sum(x, 0, np.float64),
    "sum positional keepdims": lambda x: np.sum(x, 0, None, None, True),
    "sum where": lambda x: np.sum(x, where=np.array([True, False, True])),
    "sum initial": lambda x: np.sum(x, initial=5.0),
    "mean positional dtype": lambda x: np.mean(x, 1, np.float64),
    "var positional ddof": lambda x: np.var(x, 1, None, None, 1),
    "std ddof": lambda x: np.std(x, ddof=1),
    "max positional": lambda x: np.max(x, 0, None, True),
    "sort positional kind": lambda x: np.sort(x, -1, "stable"),
    "sort by kind": lambda x: np.sort(x, kind="stable"),
    "argsort positional kind": lambda x: np.argsort(x, -1, "stable"),
    "sort without axis": lambda x: np.sort(x, axis=None),
    "argsort without axis": lambda x: np.argsort(x, axis=None),
    "argmax without axis": lambda x: np.argmax(x, None),
    "argmax two axes": lambda x: np.argmax(x, axis=(0, 1)),
    "concatenate": lambda x: np.concatenate([x, x], axis=1),
    "concatenate tuple": lambda x: np.concatenate((x, np.ones((1, 3)))),
    "concatenate flat": lambda x: np.concatenate([x, x], axis=None),
    "stack": lambda x: np.stack([x, x], -1),
    "split": lambda x: np.concatenate(np.split(x, 3, axis=1)[::-1]),
    "clip": lambda x: np.clip(x, 0, 1),
    "clip keywords": lambda x: np.clip(x, a_min=0, a_max=None),
    "where": lambda x: np.where(X > 0, x, 0),
    "where one argument": np.where,
    "reshape": lambda x: np.reshape(x, (3, 2)),
    "reshape order": lambda x: np.reshape(x, (3, 2), order="F"),
    "reshape positional order": lambda x: np.reshape(x, (3, 2), "F"),
    "transpose axes": lambda x: np.transpose(x, (1, 0)),
    "swapaxes": lambda x: np.swapaxes(x, 0, 1),
    "moveaxis": lambda x: np.moveaxis(x, 0, -1),
    "expand_dims": lambda x: np.expand_dims(x, 1),
    "pad": lambda x: np.pad(x, 1),
    "pad constant": lambda x: np.pad(x, 1, "constant"),
    "pad constant values": lambda x: np.pad(x, ((1, 0), (0, 2)), constant_values=3),
    "pad reflect": lambda x: np.pad(x, 1, "reflect"),
    "pad mode reflect": lambda x: np.pad(x, 1, mode="reflect"),
    "roll": lambda x: np.roll(x, 1, 1),
    "roll flat": lambda x: np.roll(x, 2),
    "tile": lambda x: np.tile(x, (2, 1)),
    "repeat": lambda x: np.repeat(x, 2, axis=1),
    "repeat flat": lambda x: np.repeat(x, 2),
    "broadcast_to": lambda x: np.broadcast_to(x, (2, 2, 3)),
    "take": lambda x: np.take(x, [0, 2], 1),
    "take flat": lambda x: np.take(x, [0, 5]),
    "take clipped": lambda x: np.take(x, [0, 9], mode="clip"),
    "take_along_axis": lambda x: np.take_along_axis(x, np.argsort(X, axis=1), 1),
    "take_along_axis flat": lambda x: np.take_along_axis(x, np.array([0, 4]), None),
    "tril": lambda x: np.tril(x, -1),
    "einsum": lambda x: np.einsum("ij,kj->ik", x, x),
    "einsum optimize": lambda x: np.einsum("ij,kj->ik", x, x, optimize=True),
    "outer": lambda x: np.outer(x, x),
    "dot": lambda x: np.dot(x, x.T),
    "matmul": lambda x: np.matmul(x, x.T),
    "cumsum axis": lambda x: np.cumsum(x, 1),
    "cumsum dtype": lambda x: np.cumsum(x, 1, np.float32),
    "full_like": lambda x: np.full_like(x, 3),
    "full_like dtype": lambda x: np.full_like(x, 3, np.float32),
    "zeros_like dtype": lambda x: np.zeros_like(x, np.int64),
    "round decimals": lambda x: np.round(x, 1),
    "norm": np.linalg.norm,
    "norm ord 1": lambda x: np.linalg.norm(x, 1),
    "norm ord 2": lambda x: np.linalg.norm(x, 2),
    "norm ord inf": lambda x: np.linalg.norm(x, np.inf),
    "norm fro": lambda x: np.linalg.norm(x, "fro"),
    "norm axis": lambda x: np.linalg.norm(x, axis=1),
    "norm ord 1 axis": lambda x: np.linalg.norm(x, 1, 1),
    "norm two axes": lambda x: np.linalg.norm(x, axis=(0, 1)),
    "norm ord 0 axis": lambda x: np.linalg.norm(x, 0, 1),
    "norm keepdims": lambda x: np.linalg.norm(x, None, 0, True),
    "norm ord -1": lambda x: np.linalg.norm(x, -1),
    "norm nuc": lambda x: np.linalg.norm(x, "nuc"),
    "norm ord of a vector": lambda x: np.linalg.norm(x[0], -2.5),
    "norm of three axes": lambda x: np.linalg.norm(x.reshape(1, 2, 3)),
    "norm ord of three axes": lambda x: np.linalg.norm(x.reshape(1, 2, 3), 1),
    "norm positional": lambda x: np.linalg.norm(x, "nuc", (1, 0), True),
    "vector_norm": lambda x: np.linalg.vector_norm(x, ord=3, axis=0),
    "matrix_norm": lambda x: np.linalg.matrix_norm(x, ord=1, keepdims=True),
    "svd": lambda x: np.linalg.svd(x)[0] ** 2,
    "svd positional": lambda x: np.linalg.svd(x, False, False),
    "svd hermitian": lambda x: np.linalg.svd(x @ x.T, compute_uv=False, hermitian=True),
    "svdvals": np.linalg.svdvals,
    "eigh": lambda x: np.linalg.eigh(x @ x.T, "U")[0],
    "eigvalsh": lambda x: np.linalg.eigvalsh(x @ x.T, UPLO="U"),
    "qr": lambda x: np.linalg.qr(x, "complete")[1],
    "qr raw": lambda x: np.linalg.qr(x, mode="raw")[1],
    "pinv": np.linalg.pinv,
    "pinv rcond": lambda x: np.linalg.pinv(x, 0.9),
    "pinv rtol": lambda x: np.linalg.pinv(x, rtol=0.9),
    "lstsq": lambda x: np.linalg.lstsq(x, np.ones(2))[0],
    "matrix_power": lambda x: np.linalg.matrix_power(x @ x.T, -2),
    "matrix_rank": np.linalg.matrix_rank,
    "matrix_rank rtol": lambda x: np.linalg.matrix_rank(x, rtol=0.9),
    "matrix_rank tol": lambda x: np.linalg.matrix_rank(x, 2.5),
    "cond": np.linalg.cond,
    "cond p": lambda x: np.linalg.cond(x @ x.T, "fro"),
    "multi_dot": lambda x: np.linalg.multi_dot([x, x.T, x]),
    "inv": lambda x: np.linalg.inv(x @ x.T),
    "solve": lambda x: np.linalg.solve(x @ x.T, x),
    "solve vector": lambda x: np.linalg.solve(x @ x.T, x[:, 0]),
    "cholesky": lambda x: np.linalg.cholesky(x @ x.T),
    "cholesky upper": lambda x: np.linalg.cholesky(x @ x.T, upper=True),
    "slogdet": lambda x: np.linalg.slogdet(x @ x.T)[1],
    "det": lambda x: np.linalg.det(x @ x.T),
    "floor_divide": lambda x: np.floor_divide(x, 0.4),
    "remainder": lambda x: np.remainder(x, 0.4),
    "power": lambda x: np.power(x, 2),
    "maximum": lambda x: np.maximum(0, x),
    "add where": lambda x: np.add(x, 1, where=X > 0, out=np.zeros_like(X)),
    "add dtype": lambda x: np.add(x, 1, dtype=np.float32),
    "add reduce": lambda x: np.add.reduce(x),
    "add accumulate": lambda x: np.add.accumulate(x),
    "multiply outer": lambda x: np.multiply.outer(x, x),
    "equal": lambda x: np.equal(x, X),
}

# Names of ops/protocols/numpy_names.py and others that NumPy has for what is here
HOLE = np.array([0, np.nan, 0])
FURTHER = {
    **{
        name: getattr(np, name)
        for name in "rint real_if_close ravel ediff1d matrix_transpose vstack column_stack".split()
    },
    **{name: getattr(np.linalg, name) for name in "trace diagonal matrix_transpose".split()},
    "around": lambda x: np.around(x, 1),
    "fmax": lambda x: np.fmax(x, np.array([np.nan, 0, 1.5])),
    "fmin": lambda x: np.fmin(0.3, x),
    "divmod": lambda x: np.divmod(x, 0.7)[1],
    "divmod reversed": lambda x: divmod(7.5, x)[0],
    "modf": lambda x: np.modf(0.9 * x)[0],
    "modf whole": lambda x: np.modf(0.9 * x)[1],
    "real_if_close of parts": lambda x: np.real_if_close(x * (1 + 1e-15j)),
    "real_if_close tol": lambda x: np.real_if_close(x * (1 + 1e-15j), 0.5e-15),
    "vecdot": lambda x: np.vecdot(x, x * 1j),
    "concatenate flat": lambda x: np.concatenate([x, x], axis=None),
    "nancumsum": lambda x: np.nancumsum(x + HOLE, axis=1),
    "nancumprod": lambda x: np.nancumprod(x + HOLE),
    "nanpercentile": lambda x: np.nanpercentile(x + HOLE, [30, 60], axis=1),
    "polyval": lambda x: np.polyval(x[0], x),
    "vander": lambda x: np.vander(x[0]),
    "vander increasing": lambda x: np.vander(x[0], 4, True),
    "linalg outer": lambda x: np.linalg.outer(x[0], x[1]),
    "linalg cross": lambda x: np.linalg.cross(x, x[::-1]),
    "linalg tensordot": lambda x: np.linalg.tensordot(x, x.T, axes=1),
    "linalg vecdot": lambda x: np.linalg.vecdot(x, x),
    "einsum optimize": CALLS["einsum optimize"],
}  # fmt: skip
FURTHER |= {  # of a NumPy later than 2.0
    name: call
    for name, call in {
        "matvec": lambda x: np.matvec(x, x[0]),
        "vecmat": lambda x: np.vecmat(x[:, 0] * 1j, x),
        "astype": lambda x: np.astype(x, np.float32),
        "unstack": lambda x: np.unstack(x, axis=1)[2],
        "cumulative_sum": lambda x: np.cumulative_sum(x, axis=1),
        "cumulative_prod": lambda x: np.cumulative_prod(x[0]),
    }.items()
    if hasattr(np, name)
}


@pytest.mark.parametrize("name", FURTHER)
def test_numpys_further_names_give_its_values_and_keep_the_gradient(name):
    f, x = FURTHER[name], leaf(X)
    found = f(x)
    assert isinstance(found, Tensor)
    expected = f(X)
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-12, atol=1e-15)
    if name not in ("modf whole", "divmod reversed", "astype", "rint", "around"):
        tg.gradcheck(f, x)


def test_modf_of_infinities_leaves_no_fraction():
    x = np.array([np.inf, -np.inf, np.nan])
    for found, expected in zip(np.modf(Tensor(x)), np.modf(x), strict=True):
        np.testing.assert_array_equal(np.asarray(found), expected)


def test_rows_alone_leave_out_the_axis_of_a_running_sum():
    with pytest.raises(ValueError, match=r"^\[cumulative_sum\] x is \(2, 3\), expected an axis"):
        np.cumulative_sum(leaf(X))


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.filterwarnings("ignore:.* encountered in:RuntimeWarning")
def test_a_numpy_function_on_a_tensor_gives_what_it_gives_on_the_array_or_raises(name):
    f = CALLS[name]
    try:
        expected = f(X)
    except (ValueError, TypeError, IndexError):
        with pytest.raises((ValueError, TypeError, IndexError)):
            f(Tensor(X))
        return
    try:
        found = f(Tensor(X))
    except (ValueError, TypeError) as error:
        if not str(error).startswith("[") and "unexpected keyword" not in str(error):
            raise
        return
    np.testing.assert_array_equal(np.shape(expected), np.shape(np.asarray(found)))
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=1e-12)
    if isinstance(found, (Tensor, np.ndarray)):
        assert found.dtype == np.asarray(expected).dtype


MUST_WORK = (
    "exp sum mean var std max argmax concatenate stack split clip where reshape transpose "
    "broadcast_to take einsum matmul dot norm inv solve pad svdvals eigvalsh pinv lstsq cond "
    "multi_dot"
).split()


@pytest.mark.parametrize("name", MUST_WORK)
def test_the_common_numpy_functions_are_differentiable(name):
    x = leaf(X)
    y = CALLS[name](x)
    assert isinstance(y, Tensor)
    if name != "argmax":
        y.sum().backward()
        assert x.grad.shape == x.shape


def test_unsupported_functions_raise_naming_themselves():
    for call, name in (
        (lambda t: np.roots(t[0]), "roots"),
        (lambda t: np.spacing(t), "spacing"),
        (lambda t: np.subtract.reduce(t), "subtract"),
        (lambda t: np.ediff1d(t, to_end=1.0), "ediff1d"),
    ):
        with pytest.raises(TypeError, match=rf"\[.*{name}.*\]"):
            call(leaf(X))


# Operators with arrays and scalars

OPERATORS = [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow]
OPERATORS += [operator.floordiv, operator.mod]


@pytest.mark.parametrize("op", OPERATORS)
def test_arrays_and_tensors_mix_in_both_orders_and_are_differentiable(op):
    a, b = np.abs(X) + 0.5, np.abs(X[0]) + 0.5
    for left, right in ((leaf(a), b), (a, leaf(b)), (leaf(a), Tensor(b)), (2.0, leaf(b))):
        y = op(left, right)
        assert isinstance(y, Tensor)
        assert y.requires_grad
        np.testing.assert_allclose(y.numpy(), op(values(left), values(right)))
        y.sum().backward()


def test_matmul_and_comparisons_mix_with_arrays_in_both_orders():
    t = leaf(X)
    assert isinstance(X.T @ t, Tensor)
    assert isinstance(t @ X.T, Tensor)
    for op in (operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne):
        for y in (op(X, t), op(t, X), op(t, 0.5)):
            assert isinstance(y, Tensor)
            assert y.dtype == bool
            assert not y.requires_grad


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("op", [*OPERATORS, np.maximum, np.minimum])
def test_scalars_are_weak_even_those_of_numpy(op, dtype):
    t = Tensor(np.array([1.5, 2.5], dtype), requires_grad=True)
    for scalar in (2, 2.0, True, np.float64(2), np.float32(2), np.int64(2), np.bool_(True)):
        assert op(t, scalar).dtype == dtype, f"{dtype} with {type(scalar)}"
        assert op(scalar, t).dtype == dtype, f"{type(scalar)} with {dtype}"


@pytest.mark.parametrize("integer", [np.int8, np.uint8, np.int32, np.int64, np.bool_])
def test_integers_do_not_decide_a_floating_dtype(integer):
    i = Tensor(np.array([1, 0, 1]).astype(integer))
    for dtype in (np.float16, np.float32, np.float64):
        t = Tensor(np.array([1.5, 2.5, 3.5], dtype))
        for op in (operator.add, operator.mul, operator.pow, np.maximum):
            assert op(t, i).dtype == dtype
            assert op(i, t).dtype == dtype
    assert (i / 2).dtype == np.float32
    assert (i / (i + i + 1)).dtype == np.float32


def test_two_floating_dtypes_promote_as_in_numpy():
    for a in (np.float16, np.float32, np.float64):
        for b in (np.float16, np.float32, np.float64):
            y = Tensor(np.ones(2, a)) * Tensor(np.ones(2, b))
            assert y.dtype == np.result_type(a, b)


# Out to NumPy and torch, and back


def test_asarray_is_a_read_only_view_and_array_a_copy():
    t = Tensor(X)
    view, made, cast = np.asarray(t), np.array(t), np.asarray(t, np.float32)
    assert np.shares_memory(view, t.data)
    assert type(view) is np.ndarray
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1
    assert not np.shares_memory(made, t.data)
    made[0] = 7
    np.testing.assert_array_equal(t.numpy(), X)
    assert cast.dtype == np.float32
    with pytest.raises(ValueError, match="read-only"):
        t.numpy()[0] = 1


@needs_torch
def test_dlpack_shares_memory_with_numpy_and_torch_both_ways():
    t = Tensor(X.copy())
    by_torch, by_numpy = torch.from_dlpack(t), np.from_dlpack(t)
    t[0, 0] = 42.0
    assert (by_torch[0, 0].item(), by_numpy[0, 0]) == (42, 42)
    for source in (torch.ones(3), np.ones(3)):
        back = tg.from_dlpack(source)
        source[0] = 5
        assert isinstance(back, Tensor)
        assert back.numpy()[0] == 5
        assert back.dtype == np.asarray(source).dtype


@needs_torch
def test_torch_tensors_can_be_copied_into_tensors():
    source = torch.ones(3)
    t = Tensor(source)
    source[0] = 5
    assert (t.dtype, t.numpy().tolist()) == (np.float32, [1, 1, 1])


# Python's protocols


def test_iteration_length_and_membership():
    t = leaf(X)
    rows = list(t)
    assert len(t) == len(rows) == 2
    rows[1].sum().backward()
    np.testing.assert_array_equal(t.grad.numpy(), [[0, 0, 0], [1, 1, 1]])
    a, b = Tensor([1.0, 2.0])
    assert (a.item(), b.item()) == (1, 2)
    assert list(Tensor(np.zeros((0, 3)))) == []
    for nonsense in (list, len, tuple, iter):
        with pytest.raises(TypeError, match="0-d"):
            nonsense(Tensor(3.0))


def test_one_element_is_a_number():
    t = leaf([[2.5]])
    assert (float(t), int(t), bool(t), f"{t:.2f}", t.item()) == (2.5, 2, True, "2.50", 2.5)
    assert [10, 20, 30][Tensor(1)] == 20
    assert not Tensor(0.0)
    for wrong in (float, int, bool, operator.index, lambda t: f"{t:.2f}"):
        with pytest.raises((TypeError, ValueError), match=r"\["):
            wrong(Tensor([1.0, 2.0]))
    with pytest.raises(TypeError, match="no index"):
        operator.index(Tensor(1.5))
    assert f"{Tensor([1.0])}" == repr(Tensor([1.0]))


def test_tensors_are_keys_by_identity_and_compare_by_value():
    a, b = Tensor([1.0, 2.0]), Tensor([1.0, 3.0])
    assert {a: "a", b: "b"}[b] == "b"
    assert len({a, Tensor([1.0, 2.0])}) == 2  # equal in value
    assert (a == b).numpy().tolist() == [True, False]
    assert (a != b).numpy().tolist() == [False, True]
    assert len({a, b, a}) == 2


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))]
)
def test_copies_of_leaves_are_leaves_apart(duplicate):
    t = leaf(X, np.float32)
    twin = duplicate(t)
    assert (twin.requires_grad, twin.dtype, twin.device) == (True, np.float32, "cpu")
    np.testing.assert_array_equal(twin.numpy(), t.numpy())
    assert not np.shares_memory(twin.data, t.data)
    twin.sum().backward()
    assert t.grad is None
    with pytest.raises(tg.GraphError, match="detach"):
        duplicate(t * 2)


def test_a_tensor_shows_its_values_dtype_and_origin():
    assert repr(Tensor([1.0])) == "Tensor([1.], dtype=float32)"
    assert "requires_grad=True" in repr(leaf([1.0]))
    assert "op=multiply" in repr(leaf([1.0]) * 2)


def test_comparing_with_none_answers_as_torch_does():
    """`if x == None` is common; lists and strings are refused, where torch says False."""
    x = tg.ones(2)
    assert (x == None) is False  # noqa: E711
    assert (x != None) is True  # noqa: E711
    assert None not in [x]
    with pytest.raises(TypeError, match=r"^\[equal\]"):
        x == "ones"  # noqa: B015
