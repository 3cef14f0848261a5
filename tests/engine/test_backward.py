"""What backward promises: what it adds where, what it refuses, and what no gradient ever shares."""

import threading

import numpy as np
import pytest
from grouped import grouped
from op_calls import CALLS_OF_OPS, each_call, family_of, leaf, leaves, op_of, outputs, scalar

import tinygrad_like as tg
from tinygrad_like import GraphError, Tensor
from tinygrad_like.engine import gradients
from tinygrad_like.gradcheck import gradcheck


def assert_grad(t, expected):
    np.testing.assert_allclose(t.grad.numpy(), expected, rtol=1e-12)


# Leaves, accumulation, the gradient argument


def test_backward_adds_to_grad_of_leaves_only():
    x = leaf([1.0, 2.0])
    h = x * 3
    (h * h).sum().backward()
    assert_grad(x, [18, 36])
    assert h.grad is None
    (x * 2).sum().backward()
    assert_grad(x, [20, 38])
    x.zero_grad()
    assert x.grad is None


def test_accumulation_makes_a_new_gradient_so_that_a_kept_one_does_not_change():
    x = leaf([1.0])
    (x * 2).sum().backward()
    kept = x.grad
    (x * 3).sum().backward()
    assert (kept.item(), x.grad.item()) == (2, 5)


def test_leaves_are_what_the_user_made():
    x, constant = leaf([1.0]), Tensor([1.0])
    assert x.is_leaf
    assert constant.is_leaf
    assert not (x * 2).is_leaf
    assert (constant * 2).is_leaf
    assert not (constant * 2).requires_grad


def test_a_leaf_can_be_the_root():
    x = leaf(2.0)
    x.backward()
    assert_grad(x, 1)


@pytest.mark.parametrize("shape", [(), (1,), (1, 1, 1)])
def test_one_element_needs_no_gradient_argument(shape):
    x = leaf(np.full(shape, 3.0))
    (x * x).backward()
    assert x.grad.shape == shape
    assert_grad(x, np.full(shape, 6.0))


@pytest.mark.parametrize("shape", [(2,), (0,), (2, 0)])
def test_several_elements_or_none_need_a_gradient_argument(shape):
    with pytest.raises(ValueError, match="needs a gradient"):
        (leaf(np.ones(shape)) * 2).backward()


@pytest.mark.parametrize("kind", [list, np.array, Tensor, lambda g: np.array(g, np.float64)])
def test_the_gradient_argument_may_be_a_list_an_array_or_a_tensor(kind):
    x = leaf([1.0, 2.0], np.float32)
    (x * x).backward(kind([1.0, 10.0]))
    assert_grad(x, [2, 40])
    assert x.grad.dtype == np.float32


def test_a_gradient_argument_of_another_shape_is_refused():
    y = leaf([1.0, 2.0]) * 2
    for wrong in (1.0, [1.0], [[1.0, 2.0]]):
        with pytest.raises(ValueError, match=r"gradient has shape .*, expected \(2,\)"):
            y.backward(wrong)


def test_nothing_to_differentiate_is_refused_with_the_reason():
    x = leaf([1.0])
    with pytest.raises(GraphError, match="requires_grad=True"):
        (Tensor([1.0]) * 2).backward()
    with pytest.raises(GraphError, match="detach"):
        x.detach().backward()
    with tg.no_grad():
        y = x * 2
        with pytest.raises(GraphError, match="no_grad"):
            y.backward()


def test_turning_requires_grad_off_and_on_does_not_lose_the_gradient_of_an_older_graph():
    x = leaf([3.0])
    y = (x * x).sum()
    x.requires_grad = False
    x.requires_grad = True
    y.backward()
    assert_grad(x, [6.0])


# The second backward, and higher orders


def test_a_second_backward_is_refused_with_reason_and_cure():
    x = leaf([1.0, 2.0])
    y = (x * x).sum()
    y.backward()
    before = x.grad.numpy().copy()
    with pytest.raises(
        GraphError, match=r"ran through .* before[\s\S]*detach\(\)[\s\S]*retain_graph"
    ):
        y.backward()
    np.testing.assert_array_equal(x.grad.numpy(), before)


def test_a_freed_part_of_a_graph_is_refused_and_no_grad_changes():
    x, w = leaf([2.0]), leaf([3.0])
    h = x * x
    h.sum().backward()
    with pytest.raises(GraphError, match="freed"):
        (h * w).sum().backward()
    assert w.grad is None
    assert_grad(x, [4])


def test_retain_graph_allows_another_backward_that_gives_the_same():
    x = leaf([1.0, 2.0])
    y = tg.gelu(x * x).sum()
    y.backward(retain_graph=True)
    first = x.grad.numpy().copy()
    x.zero_grad()
    y.backward()
    np.testing.assert_array_equal(x.grad.numpy(), first)
    with pytest.raises(GraphError):
        y.backward()


@pytest.mark.parametrize("order", [1, 2, 3])
def test_create_graph_reaches_every_order(order):
    x = leaf([0.3, 0.7])
    y = tg.sin(x * 2).sum()
    for _ in range(order):
        x.zero_grad()
        y.backward(create_graph=True)
        y = x.grad.sum()
    sign = {1: 1, 2: -1, 3: -1}[order]
    wave = np.sin if order == 2 else np.cos
    assert_grad(x, sign * 2**order * wave(2 * np.array([0.3, 0.7])))


def test_without_create_graph_a_gradient_has_no_graph():
    x = leaf([2.0])
    (x * x * x).sum().backward()
    assert not x.grad.requires_grad


@each_call
def test_the_walk_on_arrays_and_the_walk_on_tensors_agree_at_order_2(name):
    results = []
    for create_graph in (False, True):
        xs = leaves(name)
        active = [x for x in xs if x.requires_grad]
        first = gradients([scalar(outputs(name, xs))], active, create_graph=True)
        depends = [g for g in first if g.requires_grad]
        if not depends:
            return
        found = gradients([scalar(depends)], active, create_graph=create_graph)
        results.append([g.numpy() for g in found])
    for array, recorded in zip(*results, strict=True):
        np.testing.assert_allclose(array, recorded, rtol=1e-9, atol=1e-12)


def test_gradients_by_a_tensor_and_by_what_it_was_computed_from_are_both_whole():
    b = leaf([2.0])
    a = b * 2
    got = [g.item() for g in gradients([(a * 3).sum()], [a, b])]
    assert got == [3, 6], f"with respect to a and b: {got}, expected [3, 6]"


def test_a_freed_tensor_in_the_middle_is_refused_where_its_own_inputs_are_asked_for():
    b = leaf([2.0])
    h = b * 2
    h.sum().backward()
    with pytest.raises(GraphError, match="freed"):
        gradients([(h * 3).sum()], [h, b])
    assert gradients([(h * 3).sum()], [h])[0].item() == 3


@pytest.mark.parametrize("create_graph", [False, True])
def test_partial_gradients_stop_at_the_inputs(create_graph):
    b = tg.Tensor(2.0, requires_grad=True)
    a = b * b
    found = gradients([a * 3 + b], [a, b], create_graph=create_graph, partial=True)
    assert [g.item() for g in found] == [3, 1]
    whole = gradients([a * 3 + b], [a, b], create_graph=create_graph)
    assert [g.item() for g in whole] == [3, 13]


def test_gradients_leave_grad_alone_and_are_zero_where_nothing_depends():
    x, unused = leaf([2.0]), leaf([[1.0, 2.0]])
    gx, gu = gradients([(x * x).sum()], [x, unused])
    assert gx.item() == 4
    np.testing.assert_array_equal(gu.numpy(), [[0, 0]])
    assert x.grad is None


# detach and the recording mode


def test_detach_cuts_history_and_shares_memory():
    x = leaf([1.0, 2.0])
    d = x.detach()
    assert np.shares_memory(d.data, x.data)
    assert not d.requires_grad
    (x * d).sum().backward()
    assert_grad(x, [1, 2])


def test_no_grad_and_enable_grad_nest():
    x = leaf([1.0])
    with tg.no_grad():
        assert not (x * 2).requires_grad
        with tg.enable_grad():
            assert (x * 2).requires_grad
            with tg.no_grad():
                assert not (x * 2).requires_grad
        assert not (x * 2).requires_grad
    assert (x * 2).requires_grad


def test_the_mode_returns_after_an_exception():
    with pytest.raises(KeyError), tg.no_grad():
        raise KeyError
    assert (leaf([1.0]) * 2).requires_grad


def test_no_grad_decorates_functions_even_recursive_ones():
    x = leaf([1.0])

    @tg.no_grad()
    def countdown(n):
        return [] if n == 0 else [(x * 2).requires_grad, *countdown(n - 1)]

    assert countdown(3) == [False] * 3
    assert (x * 2).requires_grad


@pytest.mark.parametrize(
    ("switch", "recorded"), [(tg.no_grad, False), (tg.enable_grad, True), (tg.debug, True)]
)
def test_a_switch_decorates_without_its_parentheses(switch, recorded):
    @switch
    def double(x):
        """Twice x."""
        return x * 2

    assert double(tg.ones(2, requires_grad=True)).requires_grad is recorded
    assert (double.__name__, double.__doc__) == ("double", "Twice x.")
    with pytest.raises(TypeError, match=rf"\[{switch.__name__}\] takes no arguments"):
        switch(False)


def test_no_grad_refuses_to_decorate_an_async_function():
    async def later():
        return tg.ones(2)

    with pytest.raises(TypeError, match=r"\[no_grad\] cannot decorate .* an async function"):
        tg.no_grad()(later)


def test_no_grad_refuses_to_decorate_a_generator():
    """Its body runs after the decorator has left: silently recorded, if it were allowed."""
    with pytest.raises(TypeError, match="generator"):

        @tg.no_grad()
        def stream():
            yield 1


def test_the_mode_belongs_to_a_thread():
    x, seen = leaf([1.0]), []
    with tg.no_grad():
        thread = threading.Thread(target=lambda: seen.append((x * 2).requires_grad))
        thread.start()
        thread.join()
    assert seen == [True]


def test_threads_that_walk_one_graph_each_get_their_own_gradients():
    x = leaf(np.ones(50))
    results = []

    def step(k):
        results.extend((k, gradients([(x * k).sum()], [x])[0].numpy()[0]) for _ in range(50))

    threads = [threading.Thread(target=step, args=(k,)) for k in (2.0, 3.0)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(results) == 100
    assert all(k == g for k, g in results)


# Gradients fit their tensors: broadcasting undone, dtypes kept


SHAPES = [(), (1,), (3,), (1, 3), (2, 1), (2, 3), (4, 1, 3), (0, 3), (2, 0), (1, 1, 1)]


@pytest.mark.parametrize("op", [tg.add, tg.multiply, tg.divide, tg.maximum, tg.where])
def test_broadcasting_is_undone(op):
    for a_shape in SHAPES:
        for b_shape in SHAPES:
            try:
                shape = np.broadcast_shapes(a_shape, b_shape)
            except ValueError:
                continue
            a, b = leaf(np.full(a_shape, 2.0)), leaf(np.full(b_shape, 3.0))
            args = (np.ones(shape, bool), a, b) if op is tg.where else (a, b)
            op(*args).backward(np.ones(shape))
            assert (a.grad.shape, b.grad.shape) == (a_shape, b_shape)
            if op is tg.add:
                assert_grad(a, np.full(a_shape, np.prod(shape) / max(1, np.prod(a_shape))))


DTYPES = [np.float16, np.float32, np.float64]


@pytest.mark.parametrize("op", [tg.add, tg.multiply, tg.divide, tg.power, tg.matmul, tg.maximum])
@pytest.mark.parametrize("a_dtype", DTYPES)
@pytest.mark.parametrize("b_dtype", DTYPES)
@pytest.mark.parametrize("create_graph", [False, True])
def test_a_gradient_has_the_dtype_of_its_tensor(op, a_dtype, b_dtype, create_graph):
    a, b = leaf([[1.0, 2.0]], a_dtype), leaf([[1.0], [3.0]], b_dtype)
    y = op(a, b)
    assert y.dtype == np.result_type(a_dtype, b_dtype)
    y.backward(np.ones(y.shape), create_graph=create_graph)
    assert (a.grad.dtype, b.grad.dtype) == (a_dtype, b_dtype)


def test_linear_promotes_by_its_bias_as_the_sum_does():
    x, w, b = (leaf(np.ones(s), d) for s, d in (((1, 2), "f2"), ((2, 2), "f2"), ((2,), "f4")))
    assert tg.linear(x, w, b).dtype == (x @ w + b).dtype


@grouped(
    "name",
    [name for name in CALLS_OF_OPS if name != "astype"],
    by=op_of,
    brief=4,
    together=family_of,
)
def test_float32_stays_float32_in_every_gradient(name):
    single = {"f": np.float32, "c": np.complex64}
    xs = leaves(name, lambda a: Tensor(a, dtype=single.get(a.dtype.kind)))
    active = [x for x in xs if x.requires_grad]
    ys = [y for y in outputs(name, xs) if y.requires_grad]
    for create_graph in (False, True):
        found = gradients(
            ys, active, [tg.ones_like(y) for y in ys], create_graph=create_graph, retain_graph=True
        )
        assert [g.dtype for g in found] == [single[x.dtype.kind] for x in active]
        assert [g.shape for g in found] == [x.shape for x in active]


# A tensor that is used in several places


def _w(x):
    return x[0]


PATTERNS = {
    "x + x": lambda x: x + x,
    "x * x": lambda x: x * x,
    "x - x": lambda x: x - x,
    "x * x + x": lambda x: x * x + x,
    "x + x + x + x + x": lambda x: x + x + x + x + x,
    "x * x * x * x * x": lambda x: x * x * x * x * x,
    "(h := x * 2) + h + h": lambda x: (h := x * 2) + h + h,
    "two views of x": lambda x: x.T @ x + x.reshape(3, 3),
    "x @ x": lambda x: x @ x,
    "x ** x": lambda x: x**x,
    "x / x + x": lambda x: x / x + x,
    "maximum(x, x)": lambda x: tg.maximum(x, x),
    "where(c, x, x)": lambda x: tg.where(np.eye(3, dtype=bool), x, x),
    "layer_norm(x, w, w)": lambda x: tg.layer_norm(x, _w(x), _w(x)),
    "layer_norm(w, w, w)": lambda x: tg.layer_norm((w := _w(x)), w, w),
    "rms_norm(w, w) + w": lambda x: tg.rms_norm((w := _w(x)), w) + w,
    "layer_norm(x, f(x))": lambda x: tg.layer_norm(x, tg.exp(x[1]), x.sum(axis=0)),
    "gelu(gelu(x)) + gelu(x)": lambda x: tg.gelu(h := tg.gelu(x)) + h,
    "linear(x, x, w)": lambda x: tg.linear(x, x, _w(x)),
    "concatenate([x, x, x])": lambda x: tg.concatenate([x, x, x]),
    "concatenate of pieces": lambda x: tg.concatenate(tg.split(x, [1, 2])[::-1]),
    "einsum(x, x, x)": lambda x: tg.einsum("ij,jk,kl->il", x, x, x),
    "solve(x + 3, x)": lambda x: tg.solve(x + 3 * np.eye(3), x),
    "batch_norm(x, w, w)": lambda x: tg.batch_norm(x, _w(x), _w(x)),
    "scatter_add(x, x)": lambda x: tg.scatter_add(x, np.zeros((3, 3), int), x),
    "conv2d(x, x)": lambda x: tg.conv2d((y := x.reshape(1, 1, 3, 3)), y, padding=1),
    "softmax(x) * x": lambda x: tg.softmax(x) * x,
    "a diamond": lambda x: tg.sin(h := x * x) * tg.cos(h) + h,
    "a product": lambda x: tg.prod(x, axis=0) * x,
}


@pytest.mark.parametrize("name", PATTERNS)
def test_a_tensor_used_several_times_gets_the_whole_gradient(name):
    x = np.random.default_rng(1).uniform(0.5, 1.5, (3, 3))
    gradcheck(PATTERNS[name], x, order=1 if "maximum" in name else 2)
