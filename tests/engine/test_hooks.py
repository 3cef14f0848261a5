"""Hooks and retain_grad; whose memory a gradient is: never another tensor's, never the user's."""

import contextlib
import itertools

import numpy as np
import pytest
from op_calls import each_call, leaf, leaves, outputs

import tinygrad_like as tg
from tinygrad_like import GraphError, Tensor
from tinygrad_like.engine import gradients

MODES = pytest.mark.parametrize("create_graph", [False, True])


# Hooks


@MODES
def test_a_hook_sees_the_whole_gradient_once_and_may_replace_it(create_graph):
    x, seen = leaf([1.0, 2.0]), []
    h = x * 3
    h.register_hook(lambda g: seen.append(g.numpy().copy()))
    h.register_hook(lambda g: g * 10)
    (h * h + h).sum().backward(create_graph=create_graph)
    np.testing.assert_array_equal(seen, [[7, 13]])
    np.testing.assert_array_equal(x.grad.numpy(), [210, 390])


@MODES
def test_hooks_run_in_order_and_each_gets_what_the_one_before_returned(create_graph):
    x, seen = leaf([1.0]), []
    x.register_hook(lambda g: g + 1)
    x.register_hook(lambda g: seen.append(g.item()))
    x.register_hook(lambda g: g * 2)
    (x * 5).sum().backward(create_graph=create_graph)
    assert (seen, x.grad.item()) == ([6], 12)


def test_a_hook_that_is_registered_twice_is_removed_once_by_each_remover():
    x, calls = leaf([1.0]), []
    first, second = (x.register_hook(calls.append) for _ in range(2))
    for remover, count in ((None, 2), (first, 1), (first, 1), (second, 0)):
        if remover is not None:
            remover()
        calls.clear()
        (x * 2).backward()
        assert len(calls) == count


def test_a_removed_hook_does_not_run_and_its_neighbours_do():
    x, seen = leaf([1.0]), []
    removers = [x.register_hook(lambda g, k=k: seen.append(k)) for k in range(3)]
    removers[1]()
    removers[1]()
    (x * 2).sum().backward()
    assert seen == [0, 2]


def test_a_hook_on_a_leaf_runs_at_each_backward_but_not_on_what_was_there():
    x = leaf([1.0])
    x.register_hook(lambda g: g * 10)
    (x * 2).sum().backward()
    (x * 3).sum().backward()
    assert x.grad.item() == 50


@pytest.mark.parametrize("returned", [1.0, np.ones(2), "g"])
def test_a_hook_that_returns_no_tensor_of_the_shape_is_refused(returned):
    x = leaf([1.0, 2.0])
    x.register_hook(lambda g: returned)
    with pytest.raises(ValueError, match=r"register_hook.*expected a Tensor of shape \(2,\)"):
        (x * 2).sum().backward()


@MODES
def test_what_a_hook_returns_takes_the_dtype_of_its_tensor(create_graph):
    x = leaf([1.0], np.float32)
    h = x * 2
    h.register_hook(lambda g: g.to(np.float64) * 3)
    x.register_hook(lambda g: g.to(np.float64) * 3)
    h.sum().backward(create_graph=create_graph)
    assert (x.grad.dtype, x.grad.item()) == (np.float32, 18)


def test_hooks_need_a_gradient():
    for action in (lambda t: t.register_hook(print), lambda t: t.retain_grad()):
        with pytest.raises(GraphError, match="does not require"):
            action(Tensor([1.0]))


@MODES
def test_retain_grad_keeps_the_gradient_of_a_non_leaf_and_accumulates(create_graph):
    x = leaf([2.0])
    h = x * 3
    h.retain_grad()
    h.retain_grad()
    y = (h * h).sum()
    y.backward(retain_graph=True, create_graph=create_graph)
    assert h.grad.item() == 12
    y.backward()
    assert h.grad.item() == 24


@each_call
def test_hooks_and_retained_gradients_are_the_same_in_both_walks(name):
    """Above all for fused ops, whose definition is walked within the walk."""
    results = []
    for create_graph in (False, True):
        xs = leaves(name)
        hs = [x * 1.0 for x in xs if x.requires_grad]
        for h in hs:
            h.register_hook(lambda g: g * 3)
            h.retain_grad()
        active = iter(hs)
        ys = outputs(name, [next(active) if x.requires_grad else x for x in xs])
        sum((y * y).sum() for y in ys).backward(create_graph=create_graph)
        results.append([t.grad.numpy() for t in [*xs, *hs] if t.requires_grad])
    for array, recorded in zip(*results, strict=True):
        np.testing.assert_allclose(recorded, array, rtol=1e-9, atol=1e-12)


def test_a_hook_on_what_enters_a_fused_op_runs_once():
    for create_graph in (False, True):
        x, count = leaf([[1.0, 2.0]]), []
        x.register_hook(count.append)
        tg.layer_norm(x, x[0], x[0]).sum().backward(create_graph=create_graph)
        assert len(count) == 1, f"{len(count)} times with create_graph={create_graph}"


def test_a_hook_under_create_graph_gets_a_recorded_gradient():
    x, seen = leaf([2.0]), []
    x.register_hook(lambda g: seen.append(g.requires_grad))
    (x * x).sum().backward(create_graph=True)
    assert seen == [True]


# Whose memory


def mutated(t):
    """Write into a tensor's memory, as a user may with any gradient that is his."""
    t.data[...] = 77.0


def assert_apart(named):
    for (a, x), (b, y) in itertools.combinations(named.items(), 2):
        assert not np.shares_memory(x, y), f"{a} and {b} share memory"


@MODES
@pytest.mark.parametrize(
    "f",
    [
        lambda a, b: a + b,
        lambda a, b: a - b,
        lambda a, b: tg.concatenate([a, b]),
        lambda a, b: tg.stack([a, b]),
        lambda a, b: a.reshape(-1) + b.T.reshape(-1),
        lambda a, b: (a + b).T,
        lambda a, b: a + b + a + b,
        lambda a, b: tg.flip(a) + tg.split(b, 1)[0],
        lambda a, b: tg.einsum("ij->ji", a + b),
        lambda a, b: tg.broadcast_to(a, (2, 2)) + tg.squeeze(tg.expand_dims(b, 0)),
        lambda a, b: tg.linear(a, np.eye(2), None) + b,
    ],
)
def test_gradients_share_no_memory_with_each_other_nor_with_the_gradient_argument(f, create_graph):
    a, b = leaf([[1.0, 2.0], [3.0, 4.0]]), leaf([[5.0, 6.0], [7.0, 8.0]])
    y = f(a, b)
    h = a + 0
    h.retain_grad()
    z = y + h.sum() * 0 if y.ndim else y
    gradient = np.ones(z.shape)
    given = Tensor(gradient)
    z.retain_grad()
    z.backward(given, create_graph=create_graph)
    grads = {"a.grad": a.grad, "b.grad": b.grad, "z.grad": z.grad, "h.grad": h.grad}
    assert_apart({k: g.data for k, g in grads.items()} | {"given": given.data, "user": gradient})
    expected = b.grad.numpy().copy()
    mutated(a.grad)
    np.testing.assert_array_equal(b.grad.numpy(), expected)
    np.testing.assert_array_equal(given.numpy(), gradient)


@each_call
def test_no_gradient_shares_memory_with_anything_that_the_op_saw(name):
    xs = leaves(name)
    active = [x for x in xs if x.requires_grad]
    ys = [y for y in outputs(name, xs) if y.requires_grad]
    seeds = [Tensor(np.ones(y.shape)) for y in ys]
    for create_graph in (False, True):
        found = gradients(ys, active, seeds, create_graph=create_graph, retain_graph=True)
        assert_apart({f"gradient {i}": g.data for i, g in enumerate(found) if g.size})
        for (i, g), (j, x) in itertools.product(enumerate(found), enumerate([*xs, *ys, *seeds])):
            assert not np.shares_memory(g.data, x.data), f"gradient {i} shares with array {j}"


@each_call
def test_backward_changes_neither_inputs_nor_outputs_nor_its_argument(name):
    xs = leaves(name)
    ys = [y for y in outputs(name, xs) if y.requires_grad]
    seeds = [Tensor(np.ones(y.shape)) for y in ys]
    before = [t.numpy().copy() for t in [*xs, *ys, *seeds]]
    active = [x for x in xs if x.requires_grad]
    gradients(ys, active, seeds, retain_graph=True)
    gradients(ys, active, seeds, create_graph=True)
    for t, old in zip([*xs, *ys, *seeds], before, strict=True):
        np.testing.assert_array_equal(t.numpy(), old)


def test_gradients_by_one_tensor_named_twice_are_apart():
    x = leaf([1.0, 2.0])
    a, b = gradients([(x * x).sum()], [x, x])
    assert_apart({"first": a.data, "second": b.data})


def test_a_gradient_that_was_kept_does_not_change_when_the_walk_goes_on():
    x, kept = leaf([1.0, 2.0]), []
    h = x * 1.0
    for t in (x, h):
        t.register_hook(lambda g: kept.append((g, g.numpy().copy())))
    (h + h * h + x + x * x + x).sum().backward()
    assert len(kept) == 2
    for g, then in kept:
        np.testing.assert_array_equal(g.numpy(), then)


@pytest.mark.parametrize("f", [lambda x, y: x + y, lambda x, y: x * 1 + y * 1 + x], ids=["+", "*"])
def test_a_hook_that_writes_into_its_gradient_changes_nobody_else(f):
    def write(g):
        g *= 5

    x, y, given = leaf([1.0, 2.0]), leaf([1.0, 2.0]), Tensor(np.ones(2))
    x.register_hook(write)
    f(x, y).backward(given)
    assert x.grad.numpy()[0] in (5, 10), "the hook's own tensor has what it wrote"
    np.testing.assert_array_equal(y.grad.numpy(), [1, 1])
    np.testing.assert_array_equal(given.numpy(), [1, 1])


def test_a_hook_on_the_root_that_writes_leaves_the_users_array_alone():
    z, given = leaf([1.0, 2.0]) + 0, Tensor(np.ones(2))

    def write(g):
        g *= 5

    z.register_hook(write)
    z.backward(given)
    np.testing.assert_array_equal(given.numpy(), [1, 1])


def test_what_a_hook_returns_or_keeps_is_not_given_away_as_the_gradient():
    mine, kept = Tensor(np.ones(2)), []
    x, y = leaf([1.0, 2.0]), leaf([1.0, 2.0])
    x.register_hook(lambda g: mine)
    y.register_hook(kept.append)
    for _ in range(2):  # the sum of two contributions is an array that the walk made
        (x * 2 + x * 3 + y * 2 + y * 3).sum().backward()
    assert_apart({"x.grad": x.grad.data, "mine": mine.data})
    assert_apart({"y.grad": y.grad.data, "kept": kept[1].data})
    x.zero_grad()
    (x * 2 + x * 3).sum().backward()
    mutated(x.grad)
    assert mine.numpy().tolist() == [1, 1]
    y.zero_grad()
    (y * 2 + y * 3).sum().backward()
    mutated(y.grad)
    assert [g.numpy().tolist() for g in kept] == [[5, 5]] * 3


def test_the_walk_adds_to_no_view_that_another_gradient_shares():
    x, y = leaf(np.ones((2, 2))), leaf(np.ones((2, 2)))
    twice = x * 2  # older than the views below: its share arrives last
    ((x.reshape(4) + y.reshape(4)) + twice.reshape(4)).sum().backward()
    np.testing.assert_array_equal(y.grad.numpy(), np.ones((2, 2)))
    np.testing.assert_array_equal(x.grad.numpy(), np.full((2, 2), 3))


def test_a_rule_may_return_what_was_saved():
    @tg.op(x=lambda g, x: x)
    def half_square(be, x):
        return x * x * 0.5

    x = leaf([1.0, 2.0])
    (half_square(x) + half_square(x) + half_square(x)).sum().backward()
    assert x.numpy().tolist() == [1, 2]
    assert x.grad.numpy().tolist() == [3, 6]
    assert not np.shares_memory(x.grad.data, x.data)


def test_a_rule_may_return_an_array_that_it_keeps():
    """A table, a cache: the walk must neither add to it nor give it away as a gradient."""
    table = np.ones(2)

    @tg.op(x=lambda g: table)
    def from_table(be, x):
        return x * 1

    for uses in (1, 2, 3):
        x = leaf([1.0, 2.0])
        sum(from_table(x) for _ in range(uses)).sum().backward()
        np.testing.assert_array_equal(table, [1, 1])
        np.testing.assert_array_equal(x.grad.numpy(), [uses, uses])
        assert not np.shares_memory(x.grad.data, table)


def test_a_gradient_set_by_hand_is_checked():
    x = leaf([1.0, 2.0], np.float32)
    for wrong in (np.ones(2), Tensor([1.0]), 1.0):
        with pytest.raises(ValueError, match=r"\[grad\] got .*expected a Tensor of shape \(2,\)"):
            x.grad = wrong
    x.grad = Tensor([1.0, 1.0])
    (x * 2).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [3, 3])
    with contextlib.suppress(ValueError, TypeError):
        x.grad = Tensor(np.ones(2, np.float64))
    assert x.grad.dtype == np.float32, "a gradient of another dtype was neither refused nor cast"
    with pytest.raises(GraphError):
        Tensor([1.0]).grad = Tensor([1.0])


def test_a_gradient_set_by_hand_does_not_change_when_backward_adds_to_it():
    x, mine = leaf([1.0]), Tensor(np.ones(1))
    x.grad = mine
    (x * 2).sum().backward()
    assert (mine.item(), x.grad.item()) == (1, 3)
