"""checkpoint: the same bits in every gradient, less memory, and what cannot be repeated is refused.

Every test compares with the same function, run without a checkpoint.
"""

import gc
import itertools
import sys
import tracemalloc
import weakref

import numpy as np
import pytest
from op_calls import CALLS, attempt, leaves, outputs, scalar

import tinygrad_like as tg
from tinygrad_like import GraphError, Tensor, checkpoint, nn
from tinygrad_like.engine import gradients, mode


def plainly(f, *inputs):
    """In the place of `checkpoint`: no checkpoint."""
    return f(*inputs)


BOTH = plainly, checkpoint


def bits(tensors):
    return [None if t is None else (t.dtype.name, t.shape, t.numpy().tobytes()) for t in tensors]


def assert_same(run, seed=3):
    """`run(checkpoint)` returns tensors: their bits, and the random stream after it, are those of
    `run(plainly)`."""
    found = []
    for way in BOTH:
        tg.seed(seed)
        found.append((bits(run(way)), tg.get_rng_state()))
    (expected, random_expected), (got, random_got) = found
    assert len(expected) > 0
    for i, (a, b) in enumerate(zip(expected, got, strict=True)):
        assert a == b, f"result {i}: {b} with a checkpoint, {a} without"
    assert random_got == random_expected


class Block(nn.Module):
    """A block with dropout, a residual and a weight that is used twice."""

    def __init__(self, n):
        self.norm = nn.LayerNorm(n)
        self.dense = nn.Dense(n, 2 * n)
        self.out = nn.Dense(2 * n, n)
        self.dropout = nn.Dropout(0.3)

    def forward(self, x):
        y = self.dropout(tg.gelu(self.dense(self.norm(x))))
        return x + self.dropout(self.out(y) @ self.dense.weight @ self.out.weight)


def data(n=6, rows=5, dtype=np.float32):
    return Tensor(np.random.default_rng(0).standard_normal((rows, n)), dtype=dtype)


# The same bits


@pytest.mark.parametrize("name", CALLS)
def test_every_op_has_the_same_gradients_of_orders_1_and_2(name):
    def run(way):
        xs = leaves(name)
        loss = scalar(way(lambda *xs: tuple(outputs(name, xs)), *xs))
        active = [x for x in xs if x.requires_grad]
        first = gradients([loss], active, create_graph=True)
        second = attempt(lambda: gradients([scalar(first)], active), "second derivative")
        again = scalar(way(lambda *xs: tuple(outputs(name, xs)), *xs))
        again.backward()
        return [*first, *(second or []), *(x.grad for x in active)]

    assert_same(run)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_blocks_with_dropout_have_the_same_gradients(dtype):
    def run(way):
        blocks = [Block(6).to(dtype) for _ in range(4)]
        x = data(dtype=dtype)
        x.requires_grad = True
        y = x
        for block in blocks:
            y = way(block, y) * x  # x is used inside and outside
        (y * y).sum().backward()
        return [y, x.grad, *(p.grad for b in blocks for p in b.parameters())]

    assert_same(run)


def test_parameters_alone_need_a_gradient():
    def run(way):
        block = Block(6)
        y = way(block, data())
        y.sum().backward()
        y2 = way(lambda: block(data()))  # no inputs at all
        y2.sum().backward()
        return [y, y2, *(p.grad for p in block.parameters())]

    assert_same(run)


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_checkpoints_in_checkpoints(depth):
    def nested(way, blocks, runs, level=depth):
        if level == 0:
            return lambda x: blocks[next(runs) % len(blocks)](x)

        def f(x):
            inner = nested(way, blocks, runs, level - 1)
            for _ in range(2):
                x = tg.dropout(tg.tanh(way(inner, x)), 0.2)
            return x

        return f

    def run(way):
        block = Block(6)
        x = data()
        x.requires_grad = True
        y = way(nested(way, [block], itertools.count()), x)
        (y * y).sum().backward()
        return [y, x.grad, *(p.grad for p in block.parameters())]

    assert_same(run)


def test_each_level_of_nesting_runs_once_more():
    runs = [0, 0, 0]

    def third(x):
        runs[2] += 1
        return tg.exp(x)

    def second(x):
        runs[1] += 1
        return tg.tanh(checkpoint(third, x))

    def first(x):
        runs[0] += 1
        return tg.sin(checkpoint(second, x))

    x = Tensor([1.0, 2.0], requires_grad=True)
    y = checkpoint(first, x)
    assert runs == [1, 1, 1]
    y.sum().backward()
    assert runs == [2, 3, 4]


def test_several_outputs_of_any_nesting():
    def f(x, pair, scale):
        a, b = pair
        h = tg.dropout(tg.exp(x * a), 0.4)
        return h * scale, {"state": (tg.sin(h), [b * x, "text"])}, x

    def run(way):
        x, a, b = (Tensor(np.arange(1.0, 4.0) / k, requires_grad=True) for k in (3, 2, 5))
        out, rest, same = way(f, x, (a, b), 2.5)
        assert same is x
        (state, (unused, text)) = rest["state"]
        assert text == "text"
        (out * state).sum().backward()
        assert b.grad is None
        return [out, state, unused, x.grad, a.grad]

    assert_same(run)


def test_one_output_after_the_other():
    """Two walks, each through a part of the function's graph: one second run serves both."""
    runs = []

    def run(way):
        def f(x):
            runs.append(1)
            return tg.exp(x), tg.dropout(tg.sin(x), 0.5)

        x = data()
        x.requires_grad = True
        a, b = way(f, x)
        a.sum().backward()
        b.sum().backward()
        return [x.grad]

    assert_same(run)
    assert len(runs) == 3


def test_second_derivatives_are_the_same():
    def run(way):
        block = Block(4).to(np.float64)
        x = data(4, dtype=np.float64)
        x.requires_grad = True
        loss = (way(block, x) ** 3).sum()
        params = [x, *block.parameters()]
        first = gradients([loss], params, create_graph=True)
        second = gradients([scalar(first)], params)
        return [*first, *second]

    assert_same(run)


def test_functional_derivatives_go_through():
    def run(way):
        weight = Tensor(np.random.default_rng(1).standard_normal((3, 3)), requires_grad=True)

        def f(x):
            return (way(lambda x: tg.tanh(x @ weight), x) ** 2).sum()

        x, v = Tensor(np.array([0.3, -0.2, 0.7])), Tensor(np.array([1.0, 2.0, 3.0]))
        inside = way(lambda x: tg.grad(f)(x), x)
        return [tg.grad(f)(x), tg.hessian(f)(x), tg.hvp(f, x, v), *tg.vjp(f, x)[1](1.0), inside]

    assert_same(run)


def test_targets_inside_and_outside():
    def run(way):
        held = []

        def f(x):
            h = tg.exp(x)
            held.append(h)
            return tg.sin(h) * h

        x = data()
        x.requires_grad = True
        y = way(f, x * 2).sum()
        by_h = gradients([y], held[:1], retain_graph=True)
        return [*by_h, *gradients([y], [x])]

    assert_same(run)


def test_what_a_function_leaves_behind_is_differentiable():
    """An extra loss that f keeps in an attribute, as a mixture of experts does."""

    def run(way):
        losses = []

        def f(x):
            h = tg.exp(x)
            losses.append((h * h).mean())
            return tg.dropout(h, 0.3)

        x = data()
        x.requires_grad = True
        y = way(f, x).sum() + losses[0]
        y.backward()
        return [x.grad]

    assert_same(run)


def test_hooks_inside_run_once():
    def run(way):
        seen = []

        def f(x):
            h = tg.exp(x)
            h.register_hook(seen.append)
            h.register_hook(lambda g: g * 2)
            return tg.sin(h)

        x = data()
        x.requires_grad = True
        way(f, x).sum().backward()
        assert len(seen) == 1
        return [*seen, x.grad]

    assert_same(run)


def test_a_running_sum_over_the_input_inside():
    """`x += 1` on a recorded input makes a new tensor, in both runs."""

    def f(x):
        x += 1
        return tg.exp(x)

    def run(way):
        x = data()
        x.requires_grad = True
        way(f, x * 2).sum().backward()
        return [x.grad]

    assert_same(run)


def test_running_statistics_move_once():
    def run(way):
        model = nn.Sequential(nn.Dense(6, 4), nn.BatchNorm(4), nn.Dropout(0.2))
        way(lambda x: way(model, x), data()).sum().backward()
        return [*model.state_dict().values(), *(p.grad for p in model.parameters())]

    assert_same(run)


def test_it_works_while_debugging():
    def run(way):
        with tg.debug():
            return backward_of_a_block(way)

    assert_same(run)


def backward_of_a_block(way):
    block = Block(6)
    way(block, data()).sum().backward()
    return [p.grad for p in block.parameters()]


# When it runs


def test_without_recording_the_function_runs_once_and_nothing_is_kept():
    runs = []

    def f(x):
        runs.append(1)
        return tg.exp(x)

    x = Tensor([1.0], requires_grad=True)
    with tg.no_grad():
        assert not checkpoint(f, x).requires_grad
    assert not checkpoint(f, Tensor([1.0])).requires_grad
    assert len(runs) == 2


def test_backward_inside_no_grad_records_the_second_run():
    x = Tensor([1.0], requires_grad=True)
    y = checkpoint(tg.exp, x)
    with tg.no_grad():
        y.backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.exp(np.float32([1.0])))


def test_a_second_backward_needs_retain_graph_and_no_third_run():
    runs = []

    def f(x):
        runs.append(1)
        return tg.exp(x)

    x = Tensor([1.0], requires_grad=True)
    y = checkpoint(f, x)
    y.backward(retain_graph=True)
    y.backward()
    assert len(runs) == 2
    assert x.grad.item() == pytest.approx(2 * np.e)
    with pytest.raises(GraphError, match="freed it"):
        y.backward()


# Memory


def peak(f):
    gc.collect()
    tracemalloc.start()
    try:
        f()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_the_peak_of_memory_is_lower():
    """16 blocks of 8 intermediates: without checkpoints 128 of them live, with them about 24."""
    size = 50_000

    def block(x):
        for _ in range(8):
            x = tg.dropout(tg.tanh(x), 0.1)
        return x

    def step(way):
        x = Tensor(np.ones(size), requires_grad=True)
        y = x
        for _ in range(16):
            y = way(block, y)
        y.sum().backward()

    plain, checkpointed = (peak(lambda way=way: step(way)) / (8 * size) for way in BOTH)
    assert plain > 120, f"{plain:.0f} arrays without"
    assert checkpointed < 36, f"{checkpointed:.0f} arrays with a checkpoint, {plain:.0f} without"


def test_nested_checkpoints_lower_it_further():
    size = 50_000

    def tree(way, depth):
        if depth == 0:
            return tg.tanh
        inner = tree(way, depth - 1)

        def f(x):
            for _ in range(4):
                x = way(inner, x)
            return x

        return f

    def step(way):
        x = Tensor(np.ones(size), requires_grad=True)
        tree(way, 4)(x).sum().backward()

    plain, checkpointed = (peak(lambda way=way: step(way)) / (8 * size) for way in BOTH)
    assert plain > 256
    assert checkpointed < 32, f"{checkpointed:.0f} arrays with checkpoints, {plain:.0f} without"


def test_what_the_second_run_makes_is_freed_without_the_collector():
    made = []

    def f(x):
        h = tg.exp(x)
        made.append(weakref.ref(h.data))
        return tg.sin(h)

    gc.disable()
    try:
        x = Tensor(np.ones(10), requires_grad=True)
        y = checkpoint(f, x)
        assert [r() for r in made] == [None]
        y.sum().backward()
        assert [r() for r in made] == [None, None]
        lost = checkpoint(lambda x: checkpoint(f, x), x)
        lost.sum().backward(retain_graph=True)
        assert made[-1]() is not None
        del lost
        assert all(r() is None for r in made)
    finally:
        gc.enable()


# What cannot be repeated


def test_an_input_that_was_changed_in_place_is_reported():
    x = Tensor([1.0, 2.0], requires_grad=True)
    y = x * 2
    out = checkpoint(lambda y, k: tg.exp(y + 1) * k, y, 3.0)
    with tg.no_grad():
        y += 1
    with pytest.raises(GraphError) as caught:
        out.sum().backward()
    assert str(caught.value) == (
        "[checkpoint] input tensor 0 of shape (2,) was changed in place (it was at version 0, now "
        "1); it is needed for the backward pass: change a copy"
    )


def test_a_function_that_changes_its_input_is_refused_at_once():
    def f(table, x):
        with tg.no_grad():
            table[0] = 1.0
        return x * table

    with pytest.raises(GraphError) as caught:
        checkpoint(f, tg.zeros(2), Tensor([1.0, 2.0], requires_grad=True))
    assert "input tensor 0 of shape (2,) was changed in place" in str(caught.value)
    assert str(caught.value).endswith("f cannot run again; let it return a new tensor")


def test_a_saved_weight_that_was_changed_is_reported_as_ever():
    weight = Tensor(np.ones((2, 2)), requires_grad=True)
    out = checkpoint(lambda x: x @ weight, Tensor(np.ones((1, 2)), requires_grad=True))
    with tg.no_grad():
        weight += 1
    with pytest.raises(GraphError, match=r"^\[matmul\] b was changed in place"):
        out.sum().backward()


def other_bias(dense):
    with tg.no_grad():
        dense.bias += 1e-6


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (other_bias, "returned other values"),
        (lambda dense: dense.noise.clear(), "returned other values"),
        (lambda dense: dense.eval(), "made other calls"),
        (lambda dense: setattr(dense.weight, "requires_grad", False), "made other calls"),
    ],
)
def test_a_function_that_does_something_else_the_second_time_is_refused(change, what):
    dense = nn.Dense(3, 3).to(np.float64)
    dense.noise = [1.0]

    def f(x):
        y = tg.exp(dense(x) + sum(dense.noise))
        return tg.dropout(y, 0.5, training=dense.training)

    x = Tensor(np.ones((2, 3)), requires_grad=True)
    out = checkpoint(f, x)
    change(dense)
    before = tg.get_rng_state()
    with pytest.raises(GraphError) as caught:
        out.sum().backward()
    assert str(caught.value).startswith(f"[checkpoint] f {what} when it ran again")
    assert tg.get_rng_state() == before
    assert not mode.recomputing


def test_random_numbers_of_another_library_are_noticed():
    rng = np.random.default_rng(0)
    x = Tensor([1.0, 2.0], requires_grad=True)
    out = checkpoint(lambda x: tg.exp(x * rng.random()), x)
    with pytest.raises(GraphError, match="random numbers of another library"):
        out.sum().backward()


def test_an_error_of_the_second_run_says_where_it_came_from():
    allowed = [True]

    def f(x):
        if not allowed.pop():
            raise OSError("the file is gone")
        return tg.exp(x)

    x = Tensor([1.0], requires_grad=True)
    out = checkpoint(f, x)
    allowed.append(False)
    with pytest.raises(OSError, match="the file is gone") as caught:
        out.backward()
    if sys.version_info >= (3, 11):
        assert caught.value.__notes__ == ["(in the second run of a checkpointed function)"]
    allowed.append(True)
    out.backward()
    assert x.grad.item() == pytest.approx(np.e)


@pytest.mark.parametrize(
    ("value", "named"), [(None, "a NoneType"), (2.0, "a float"), ([], "a list")]
)
def test_a_function_that_returns_no_tensor_is_refused(value, named):
    with pytest.raises(TypeError) as caught:
        checkpoint(lambda x: value, tg.ones(2))
    assert str(caught.value).startswith(f"[checkpoint] f returned {named}, expected a Tensor, or")
