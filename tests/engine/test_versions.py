"""Changes in place: no gradient is computed from an array that is no longer what it was."""

import numpy as np
import pytest
from op_calls import (
    CALLS,
    assert_changes_are_noticed,
    attempt,
    each_call,
    leaf,
    leaves,
    outputs,
    scalar,
)

import tinygrad_like as tg
from tinygrad_like import GraphError, Tensor
from tinygrad_like.engine import gradients
from tinygrad_like.ops.neural.softmax import softmax_cross_entropy


def bump(t):
    """Change every element through the library."""
    with tg.no_grad():
        t *= 2


# Every change of a tensor in place


def _setitem(t):
    t[0] = 9.0


def _setitem_mask(t):
    t[t > 0] = 9.0


def _iadd(t):
    t += 1


def _isub(t):
    t -= 1


def _imul(t):
    t *= 2


def _itruediv(t):
    t /= 2


def _ipow(t):
    t **= 2


def _data(t):
    t.data = t.data + 1


def _data_augmented(t):
    t.data -= 0.1


def _optimizer(t):
    t.data[...] = 5.0
    t.version[0] += 1


CHANGES = [_setitem, _setitem_mask, _iadd, _isub, _imul, _itruediv, _ipow]
CHANGES += [_data, _data_augmented, _optimizer]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("create_graph", [False, True])
def test_a_saved_tensor_changed_before_backward_is_refused(change, create_graph):
    x, w = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    y = (x * w).sum()
    at = w.version[0]
    with tg.no_grad():
        change(w)
    with pytest.raises(
        GraphError, match=rf"\[multiply\] b was changed in place .*version {at}, now {at + 1}"
    ):
        y.backward(create_graph=create_graph)
    assert x.grad is None


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_what_no_rule_needs_is_allowed(change):
    x, constant = leaf([1.0, 2.0]), Tensor(np.array([3.0, 4.0]))
    h = x + constant
    y = (h.sum() * 2).reshape(1)
    z = tg.exp(x - constant)
    with tg.no_grad():
        for t in (constant, h, y):
            if t.is_leaf or "data" not in change.__name__:
                change(t)
    y.backward()
    z.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 + np.exp([-2, -2]))


def test_a_saved_output_changed_before_backward_is_refused():
    for f in (tg.exp, tg.sqrt, tg.relu, tg.softmax, tg.inv):
        x = leaf(np.eye(2) + 0.5)
        y = f(x)
        bump(y)
        with pytest.raises(GraphError, match=rf"\[{f.__name__}\] the output was changed"):
            y.sum().backward()


@pytest.mark.parametrize("k", [0, 1, 2])
def test_each_of_several_outputs_is_watched(k):
    """The mean and variance of batch_norm, above all: a running average written in place."""
    x = leaf([[1.0, 2.0], [3.0, 5.0], [4.0, 4.0]])
    outs = tg.batch_norm(x)
    total = (outs[0] * outs[1] * outs[2]).sum()
    bump(outs[k])
    with pytest.raises(GraphError, match="changed in place"):
        total.backward()
    outs = tg.batch_norm(x)
    total = outs[0].sum()
    bump(outs[k])
    if k > 0:  # the backward reads the mean and the variance, and not y
        with pytest.raises(GraphError, match=r"\[batch_norm\].*changed in place"):
            total.backward()


def test_a_tensor_in_a_list_is_named_by_its_place():
    a, b = leaf(np.eye(2)), leaf(np.eye(2))
    y = tg.einsum("ij,jk->ik", a, b).sum()
    bump(b)
    with pytest.raises(GraphError, match=r"\[einsum\] xs\[1\] was changed in place"):
        y.backward()


def test_a_change_after_the_first_of_two_backwards_is_refused_in_the_second():
    x = leaf([1.0, 2.0])
    y = (x * x).sum()
    y.backward(retain_graph=True)
    bump(x)
    with pytest.raises(GraphError, match="changed in place"):
        y.backward()


def test_a_change_after_backward_is_fine():
    x = leaf([1.0, 2.0])
    for _ in range(3):
        (x * x).sum().backward()
        np.testing.assert_array_equal(x.grad.numpy(), 2 * x.numpy())
        bump(x)
        x.zero_grad()


@each_call
def test_second_derivatives_notice_a_change_of_any_input(name):
    """A change between the recorded backward and the next: refused, or it made no difference."""
    results = []
    for changed in (False, True):
        xs = leaves(name)
        active = [x for x in xs if x.requires_grad]
        hs = [x * 1 for x in active]
        rest = iter(hs)
        ys = outputs(name, [next(rest) if x.requires_grad else x for x in xs])
        first = gradients([scalar(ys)], hs, create_graph=True)
        depends = [g for g in first if g.requires_grad]
        if not depends:
            return
        total = scalar(depends)
        if changed:
            for h in hs:
                bump(h)
        found = attempt(lambda: gradients([total], active), "changed in place")  # noqa: B023
        if found is None:
            return
        results.append([g.numpy() for g in found])
    for kept, now in zip(*results, strict=True):
        np.testing.assert_array_equal(now, kept)


@each_call
def test_first_derivatives_notice_a_change_of_any_input_constants_included(name):
    def change(x):
        with tg.no_grad():
            x[...] = tg.flip(x) if x.dtype.kind != "f" else x + 0.5

    assert_changes_are_noticed(name, change, match="changed in place")


INDEXED = {
    "getitem": (lambda x, i: x[i], [0, 1]),
    "getitem with a slice": (lambda x, i: x[:, i], [0, 1]),
    "take": (lambda x, i: tg.take(x, i, axis=0), [0, 1]),
    "embedding": (tg.embedding, [0, 1]),
    "take_along_axis": (lambda x, i: tg.take_along_axis(x, i, 0), [[0, 1]]),
    "scatter_add": (lambda x, i: tg.scatter_add(x * 2, i, x[:1], 0), [[0, 1]]),
    "cross_entropy": (softmax_cross_entropy, [0, 1]),
    "getitem by a mask": (lambda x, i: x[i], [True, False]),
    "where": (lambda x, i: tg.where(i, x, 0), [True, False]),
}


@pytest.mark.parametrize("name", INDEXED)
def test_an_index_changed_before_backward_does_not_move_the_gradient(name):
    f, values = INDEXED[name]
    results = []
    for changed in (False, True):
        x, index = leaf([[1.0, 2.0], [3.0, 4.0]]), Tensor(np.array(values))
        y = f(x, index)
        if changed:
            index[...] = tg.flip(index)
        attempt((y * y).sum().backward, "changed in place")
        if x.grad is None:
            return
        results.append(x.grad.numpy())
    np.testing.assert_array_equal(results[1], results[0])


# Views share a counter


@each_call
def test_what_shares_memory_shares_a_version_counter(name):
    for recorded in (False, True):
        xs = leaves(name) if recorded else [Tensor(a) for a in CALLS[name].arrays()]
        ys = CALLS[name](*xs)
        for i, x in enumerate(xs):
            for k, y in enumerate(ys):
                if np.shares_memory(x.data, y.data):
                    assert y.version is x.version, f"output {k} is a view of input {i}"


VIEWS = {
    "getitem": lambda x: x[1:],
    "getitem newaxis": lambda x: x[None, ..., 0],
    "reshape": lambda x: x.reshape(-1),
    "transpose": lambda x: x.T,
    "swapaxes": lambda x: tg.swapaxes(x, 0, 1),
    "moveaxis": lambda x: tg.moveaxis(x, 0, 1),
    "expand_dims": lambda x: tg.expand_dims(x, 0),
    "squeeze": lambda x: tg.squeeze(x[:, None]),
    "flatten": tg.flatten,
    "flip": tg.flip,
    "split": lambda x: tg.split(x, 2)[1],
    "broadcast_to": lambda x: tg.broadcast_to(x, (3, 2, 2)),
    "einsum": lambda x: tg.einsum("ij->ji", x),
    "detach": lambda x: x.detach(),
    "a view of a view": lambda x: x.T[0].reshape(2, 1).detach(),
    "positive": lambda x: +x,
    "to its own dtype": lambda x: x.to(np.float64),
    "from_dlpack": tg.from_dlpack,
    "iteration": lambda x: next(iter(x)),
    "np.transpose": np.transpose,
    "np.reshape": lambda x: np.reshape(x, (4,)),
}


@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize("name", VIEWS)
def test_every_view_is_one_and_shares_the_counter(name, recorded):
    x = leaf([[1.0, 2.0], [3.0, 4.0]]) if recorded else Tensor(np.eye(2))
    view = VIEWS[name](x)
    assert np.shares_memory(view.data, x.data)
    assert view.version is x.version


@pytest.mark.parametrize("name", VIEWS)
def test_a_change_through_a_view_is_noticed(name):
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    y = (x * x).sum()
    with tg.no_grad():
        view = VIEWS[name](x)
        if view.data.flags.writeable:
            view[...] = 7.0
        else:
            x[...] = 7.0
    with pytest.raises(GraphError, match="changed in place"):
        y.backward()


@pytest.mark.parametrize("name", VIEWS)
def test_a_change_of_the_base_is_noticed_by_what_saved_a_view(name):
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    view = VIEWS[name](x)
    if not view.requires_grad:
        view.requires_grad = True
    y = (view * view).sum()
    bump(x)
    with pytest.raises(GraphError, match="changed in place"):
        y.backward()


def test_an_op_that_returns_its_own_input_shares_the_counter_unasked():
    """An op that forgot `view=True`: the output is the input's memory all the same."""

    @tg.op(x=lambda g: g)
    def unchanged(be, x):
        return x

    x = leaf([1.0, 2.0])
    y, z = (x * x).sum(), unchanged(x)
    assert z.version is x.version or not np.shares_memory(z.data, x.data)
    bump(z)
    attempt(y.backward, "changed in place")
    assert x.grad is None or x.grad.numpy().tolist() == [2, 4]


def test_tensors_made_from_one_another_by_data_do_not_share_unwatched_memory():
    x, source = leaf([1.0, 2.0]), Tensor(np.array([3.0, 4.0]))
    x.data = source.data
    y = (x * x).sum()
    bump(source)
    assert np.shares_memory(x.data, source.data) is False or x.version is source.version
    y.backward()
    np.testing.assert_array_equal(x.grad.numpy(), [6, 8])


def test_copies_have_a_counter_of_their_own():
    x = leaf([1.0, 2.0])
    for copy in (Tensor(x), x.astype(np.float64), x[[0, 1]], x * 1, x.to(np.float32)):
        assert not np.shares_memory(copy.data, x.data)
        assert copy.version is not x.version


def test_a_constants_counter_is_not_shared_by_all():
    """Raw arrays have no counter: a change elsewhere must not make every graph look stale."""
    a = np.ones((2, 2))
    x = leaf(np.eye(2))
    (tg.matmul(a, x) * x).sum().backward(create_graph=True)
    bump(x.grad)
    y = leaf(np.eye(2))
    (y * a).sum().backward()
    np.testing.assert_array_equal(y.grad.numpy(), a)


# What may be written at all


def test_setitem_is_refused_where_it_would_be_recorded():
    x = leaf([1.0, 2.0])
    h, constant = x * 2, Tensor(np.zeros(2))
    for target, value in ((x, 1.0), (h, 1.0), (constant, x[0])):
        before = target.numpy().copy()
        with pytest.raises(GraphError, match=r"\[setitem\].*where\(\)"):
            target[0] = value
        np.testing.assert_array_equal(target.numpy(), before)
    with pytest.raises((GraphError, TypeError), match=r"\["):
        constant[:] = [x[0], x[1]]  # in a list their history would be lost unseen
    constant[0] = 5.0
    assert constant.numpy().tolist() == [5, 0]
    with tg.no_grad():
        x[0] = h[1]
    np.testing.assert_array_equal(x.numpy(), [4, 2])


def test_augmented_assignment_changes_memory_only_where_nothing_is_recorded():
    t = same = Tensor(np.array([1.0, 2.0]))
    t += 1
    assert t is same
    np.testing.assert_array_equal(same.numpy(), [2, 3])

    x = leaf([1.0, 2.0])
    h = before = x * 2
    h += 1
    assert h is not before
    np.testing.assert_array_equal(before.numpy(), [2, 4])
    h *= h
    h.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), 4 * (2 * np.array([1.0, 2.0]) + 1))

    with pytest.raises(GraphError, match=r"\[iadd\].*no_grad"):
        x += 1
    constant = kept = Tensor(np.zeros(2))
    constant += leaf([1.0, 2.0])
    assert constant is not kept
    assert constant.requires_grad
    np.testing.assert_array_equal(kept.numpy(), [0, 0])


def test_augmented_assignment_keeps_shape_and_dtype_or_raises():
    small = Tensor(np.zeros((1, 2), np.float32))
    with pytest.raises(ValueError, match=r"\[iadd\].*shape"):
        small += np.ones((3, 2))
    for change in (_itruediv, lambda t: t.__iadd__(0.5), lambda t: t.__imul__(1.5)):
        ints = Tensor([1, 2])
        with pytest.raises((TypeError, ValueError), match="int64"):
            change(ints)
        np.testing.assert_array_equal(ints.numpy(), [1, 2])
    single = Tensor([1.0, 2.0])
    single += np.ones(2)
    assert single.dtype == np.float32


def test_the_data_of_a_computed_tensor_cannot_be_replaced():
    h = leaf([1.0]) * 2
    with pytest.raises(GraphError, match="detach"):
        h.data = np.zeros(1)


def test_the_data_of_a_leaf_is_replaced_by_arrays_that_fit_only():
    x = leaf([1.0, 2.0])
    for wrong in (np.zeros(3), np.zeros((1, 2)), [1.0, 2.0], 1.0, Tensor([1.0]), np.arange(2)):
        with pytest.raises((ValueError, TypeError), match=r"\[data\]"):
            x.data = wrong
    np.testing.assert_array_equal(x.numpy(), [1, 2])
