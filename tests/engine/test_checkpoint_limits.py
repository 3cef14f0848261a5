"""checkpoint: when it runs, what memory it needs, and what cannot be repeated is refused."""

import gc
import sys
import tracemalloc
import weakref

import numpy as np
import pytest
from checkpointed import BOTH

import tinygrad_like as tg
from tinygrad_like import GraphError, Tensor, checkpoint, nn
from tinygrad_like.engine import mode

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
