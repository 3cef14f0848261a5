"""Debug mode notices what is changed behind the library's back, and names the line of the call."""

import numpy as np
import pytest
from op_calls import assert_changes_are_noticed, each_call, leaf, leaves, outputs

import tinygrad_like as tg
from tinygrad_like import GraphError, Tensor
from tinygrad_like.engine import gradients


@each_call
def test_debug_mode_notices_every_saved_array_that_is_changed_by_numpy(name):
    def change(x):
        x.data[...] = x.data + 0.5 if x.dtype.kind == "f" else np.flip(x.data).copy()

    with tg.debug():
        assert_changes_are_noticed(name, change, match="behind the library's back")


def test_debug_mode_notices_a_change_of_an_output_and_of_a_raw_array():
    raw = np.array([1.0, 2.0])
    with tg.debug():
        x = leaf([1.0, 2.0])
        y, z = tg.exp(x), x * raw
        y.numpy().base[0] = 5.0
        raw[0] = 5.0
        for t, name in ((y, "exp"), (z, "multiply")):
            with pytest.raises(GraphError, match=rf"\[{name}\].*behind the library's back"):
                t.sum().backward()


def test_debug_mode_names_the_line_of_the_call_in_every_refusal():
    with tg.debug():
        x = leaf([1.0, 2.0])
        y = x * x
        with tg.no_grad():
            x *= 2
        with pytest.raises(GraphError, match=r"test_debug\.py"):
            y.sum().backward()
        z = tg.exp(x).sum()
        z.backward()
        with pytest.raises(GraphError, match=r"freed[\s\S]*test_debug.py"):
            z.backward()


def test_debug_mode_changes_no_gradient():
    x = leaf([[1.0, 2.0]])
    results = []
    for mode in (tg.no_grad, tg.debug):
        with mode(), tg.enable_grad():
            y = tg.layer_norm(tg.gelu(x) @ x.T + x).sum()
            results.append(gradients([y], [x], create_graph=True)[0].numpy())
    np.testing.assert_array_equal(*results)


def test_debug_mode_refuses_a_forward_that_changes_what_it_was_given():
    @tg.op(x=lambda g: g)
    def shifted(be, x):
        x += 1
        return x.copy()

    @tg.op(a=lambda g: g, b=lambda g: g)
    def summed(be, a, b, *, weights=None):
        weights *= 2
        return a + b

    x, weights = leaf([1.0, 2.0]), np.ones(2)
    with tg.debug():
        with pytest.raises(GraphError, match=r"^\[shifted\] the forward changed an array that it"):
            shifted(x)
        with tg.no_grad(), pytest.raises(GraphError, match=r"\[shifted\]"):
            shifted(x)
        with pytest.raises(GraphError, match=r"^\[summed\] the forward changed"):
            summed(x, 2.0, weights=weights)


@each_call
def test_no_op_of_ours_changes_what_it_was_given(name):
    with tg.debug():
        outputs(name, leaves(name))


def test_debug_mode_notices_a_write_through_dlpack():
    """Another library's write raises no version: an ordinary backward uses what it finds."""
    x = leaf([1.0, 2.0])
    y = (x * x).sum()
    with tg.debug():
        watched = (x * x).sum()
    np.from_dlpack(x.detach())[...] *= 10
    y.backward()
    assert x.grad.numpy().tolist() == [20, 40]
    with pytest.raises(GraphError, match=r"\[multiply\].*behind the library's back"):
        watched.backward()


def test_a_numpy_operand_is_kept_by_reference_and_debug_mode_notices():
    """Copying every batch would cost a pass over it; attributes, which are few, are copied."""
    batch, w = np.array([1.0, 2.0]), leaf([1.0, 1.0])
    y = (w * batch).sum()
    with tg.debug():
        watched = (w * batch).sum()
    batch[:] = 100
    y.backward()
    assert w.grad.numpy().tolist() == [100, 100]
    with pytest.raises(GraphError, match="behind the library's back"):
        watched.backward()


@pytest.mark.parametrize("create_graph", [False, True])
def test_limits_given_as_arrays_are_copied(create_graph):
    low, high = np.zeros(3), Tensor(np.full(3, 2.0))
    x = leaf([-1.0, 0.5, 3.0])
    y = x.clip(low, high)
    low[:] = 1
    high.data[...] = 0
    y.sum().backward(create_graph=create_graph)
    assert x.grad.numpy().tolist() == [0, 1, 0]
