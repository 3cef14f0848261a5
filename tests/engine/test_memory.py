"""What the engine keeps, and for how long: no recursion, no need of the cyclic collector."""

import gc
import itertools
import tracemalloc
import weakref

import numpy as np
import pytest
from grouped import grouped
from op_calls import CALLS_OF_OPS, family_of, leaf, leaves, op_of, outputs, scalar
from resident import growth_in_a_new_process, needs_proc
from training_steps import mlp_step

import tinygrad_like as tg
from tinygrad_like import Tensor, op
from tinygrad_like.engine import gradients


@pytest.fixture
def no_gc():
    """The cyclic garbage collector off: what is freed, is freed by its reference count alone."""
    gc.disable()
    yield
    gc.enable()


# Depth


def test_a_chain_of_100_000_ops_runs_backward():
    x = leaf([1.0])
    y = x
    for _ in range(100_000):
        y = y + 1e-6
    y.backward()
    assert x.grad.item() == 1


def test_a_chain_of_100_000_ops_can_be_dropped_without_backward():
    x = leaf([1.0])
    y = x
    for _ in range(100_000):
        y = tg.sin(y)
    node = weakref.ref(y)
    del y
    assert node() is None


@pytest.mark.parametrize("step", [lambda y: tg.split(tg.concatenate([y, y]), 2)[1], tg.softmax])
def test_a_chain_of_20_000_other_ops_runs_and_can_be_dropped(step):
    x = leaf([1.0, 2.0])
    for run in (True, False):
        y = x
        for _ in range(10_000):
            y = step(y)
        if run:
            y.sum().backward()
        del y
    assert x.grad.shape == (2,)


def test_a_chain_of_2_000_ops_is_differentiated_twice():
    x = leaf([0.5])
    y = x
    for _ in range(2_000):
        y = y * 1.0001 + y * y * 1e-6
    (g,) = gradients([y], [x], create_graph=True)
    g.backward()
    h = 1e-4
    slopes = []
    for start in (0.5 + h, 0.5 - h):
        v, slope = start, 1.0
        for _ in range(2_000):
            slope *= 1.0001 + 2e-6 * v
            v = v * 1.0001 + v * v * 1e-6
        slopes.append(slope)
    np.testing.assert_allclose(x.grad.numpy(), (slopes[0] - slopes[1]) / (2 * h), rtol=1e-6)


# What is freed with its last name


@pytest.mark.usefixtures("no_gc")
def test_a_graph_is_freed_with_its_output():
    x = leaf(np.ones(4))
    h = x * 2
    y = (tg.gelu(h) * h).sum()
    refs = [weakref.ref(h.data), weakref.ref(y.data), weakref.ref(h), weakref.ref(y)]
    del h, y
    assert [r() for r in refs] == [None] * 4


@grouped(
    "name create_graph",
    itertools.product(CALLS_OF_OPS, [False, True]),
    by=op_of,
    brief=4,
    together=family_of,
)
@pytest.mark.usefixtures("no_gc")
def test_nothing_survives_a_backward_but_leaves_and_their_gradients(name, create_graph):
    warm = leaves(name)
    scalar(outputs(name, warm)).backward(create_graph=create_graph)  # numba's compiler keeps cycles
    for x in warm:
        x.zero_grad()
    xs = leaves(name)
    hs = [x * 1 if x.requires_grad else x for x in xs]
    ys = outputs(name, hs)
    scalar(ys).backward(create_graph=create_graph)
    refs = [weakref.ref(t) for t in [*hs, *ys]] + [weakref.ref(t.data) for t in [*hs, *ys]]
    refs += [weakref.ref(x.grad.data) for x in xs if x.grad is not None]
    constants = [x for x in xs if not x.requires_grad]
    alive = {id(t) for t in constants} | {id(t.data) for t in constants}
    for x in xs:
        x.zero_grad()
    del hs, ys
    left = [r() for r in refs if r() is not None and id(r()) not in alive]
    assert left == []


@pytest.mark.usefixtures("no_gc")
def test_a_failed_walk_leaves_no_cycle():
    x = leaf(np.ones(4))
    y = (x * x).sum()
    y.backward()
    with pytest.raises(ValueError, match="freed"):
        y.backward()
    ref = weakref.ref(y)
    del y
    assert ref() is None


@pytest.mark.usefixtures("no_gc")
def test_a_tensor_is_freed_though_its_graph_lives():
    """Nodes link to nodes, never to Tensors; sum needs no array of what it summed."""
    x = leaf(np.ones(1000))
    h = x + 1
    tensor, array = weakref.ref(h), weakref.ref(h.data)
    y = h.sum()
    del h
    assert (tensor(), array()) == (None, None)
    y.backward()
    assert x.grad.shape == (1000,)


# What is saved


A, B = np.ones((3, 3)), np.eye(3) * 2 + 1


@pytest.mark.parametrize(
    ("build", "needs", "held"),
    [
        (lambda x, w: x * w, "w", [True, False]),
        (lambda x, w: x * w, "x", [False, True]),
        (lambda x, w: x * w, "xw", [True, True]),
        (lambda x, w: x + w, "xw", [False, False]),
        (lambda x, w: x - w, "xw", [False, False]),
        (lambda x, w: x / w, "w", [False, True]),
        (lambda x, w: x @ w, "x", [False, True]),
        (lambda x, w: x @ w, "w", [True, False]),
        (lambda x, w: tg.linear(x, w), "x", [False, True]),
        (lambda x, w: tg.linear(x, w), "w", [True, False]),
        (lambda x, w: tg.linear(x, np.eye(3), w[0]), "x", [False, False]),
        (lambda x, w: tg.concatenate([x, w]), "xw", [False, False]),
        (lambda x, w: tg.stack([x, w]), "xw", [False, False]),
        (lambda x, w: tg.exp(x) + tg.relu(w), "xw", [False, False]),
        (lambda x, w: x.sum() + w.mean(axis=0), "xw", [False, False]),
        (lambda x, w: x.T.reshape(9)[2:5] + tg.pad(w, 1)[0, 0], "xw", [False, False]),
        (lambda x, w: tg.softmax(x) + tg.log_softmax(w), "xw", [False, False]),
        (lambda x, w: tg.where(A > 0, x, w), "xw", [False, False]),
        (lambda x, w: tg.cumsum(x) + tg.tril(w).sum(), "xw", [False, False]),
        (lambda x, w: tg.solve(w, x), "w", [False, True]),
    ],
)
@pytest.mark.usefixtures("no_gc")
def test_a_graph_keeps_only_what_a_needed_rule_names(build, needs, held):
    """`needs` names the inputs that need a gradient, `held` says which arrays the graph keeps."""
    inputs = [
        Tensor(v, requires_grad=True) * 1.0 if name in needs else Tensor(v)
        for name, v in (("x", A), ("w", B))
    ]
    refs = [weakref.ref(t.data) for t in inputs]
    y = build(*inputs)
    inputs.clear()
    assert y.requires_grad
    found = [r() is not None for r in refs]
    assert found == held, f"held: {found}, expected: {held}"


@pytest.mark.usefixtures("no_gc")
def test_without_recording_nothing_is_kept():
    x, w = leaf(A), leaf(B)
    with tg.no_grad():
        h = x * w
        ref = weakref.ref(h.data)
        y = tg.exp(h) * h
        del h
    assert ref() is None
    assert not y.requires_grad


@pytest.mark.usefixtures("no_gc")
def test_nodes_are_freed_while_the_walk_goes_down():
    """From a hook deep in the graph: what the nodes above it saved is gone already."""
    x, refs, alive = leaf(np.ones(4)), [], []
    h = x * 1.0
    h.register_hook(lambda g: alive.extend(r() is not None for r in refs))
    y = h
    for _ in range(20):
        y = tg.sin(y)  # saves its input
        refs.append(weakref.ref(y.data))
    y = y.sum()
    assert all(r() is not None for r in refs[:-1])
    y.backward()
    assert sum(alive) <= 1, f"of {len(refs)} saved arrays {sum(alive)} still live at the bottom"


@pytest.mark.usefixtures("no_gc")
def test_retained_graphs_keep_what_they_saved():
    x = leaf(np.ones(4))
    h = x * 1.0
    y = tg.sin(h).sum()
    ref = weakref.ref(h.data)
    del h
    y.backward(retain_graph=True)
    assert ref() is not None
    y.backward()
    assert ref() is None


# What is computed


def test_only_needed_gradients_are_computed():
    calls = []

    def rule(name):
        def count(g, a, b):
            calls.append(name)
            return g

        return count

    @op(a=rule("a"), b=rule("b"))
    def counted(be, a, b):
        return a + b

    x, y, constant = leaf([1.0]), leaf([2.0]), Tensor([3.0])
    for a, b, targets, expected in (
        (x, constant, None, "a"),
        (constant, y, None, "b"),
        (x, y, None, "ab"),
        (x, y, [x], "a"),
        (x, y, [y], "b"),
        (x, y, [x, y], "ab"),
    ):
        for create_graph in (False, True):
            calls.clear()
            out = counted(a, b).sum()
            if targets is None:
                out.backward(create_graph=create_graph)
            else:
                gradients([out], targets, create_graph=create_graph)
            assert "".join(calls) == expected


def test_what_does_not_lead_to_a_wanted_gradient_is_not_walked():
    calls = []

    @op(x=lambda g: calls.append(1) or g)
    def counted(be, x):
        return x * 1

    x, y = leaf([1.0]), leaf([2.0])
    out = (counted(counted(x)) + y).sum()
    gradients([out], [y], retain_graph=True)
    assert calls == []
    gradients([out], [x])
    assert calls == [1, 1]


# Many steps


def _growth(step, steps):
    """Bytes that Python's allocators hold more after `steps` steps than before, well warmed up.

    CPython keeps up to 2,000 freed tuples of each length, which takes a while to level off.
    """
    for _ in range(2_500):
        step()
    tracemalloc.start()
    try:
        for _ in range(100):
            step()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(steps):
            step()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


@pytest.mark.usefixtures("no_gc")
def test_training_steps_do_not_grow_memory():
    growth = _growth(mlp_step(), 500)
    assert growth < 20_000, f"{growth} bytes in 500 steps"


@needs_proc
def test_10_000_training_steps_do_not_grow_the_process():
    """By less than 1 MB: of the whole process, not of what Python allocates alone."""
    growth = growth_in_a_new_process(mlp_step, warm_up=1_000, steps=10_000)
    assert growth < 2**20, f"{growth} bytes"


@pytest.mark.usefixtures("no_gc")
def test_steps_with_second_derivatives_do_not_grow_memory():
    x = leaf(np.ones(5))

    def step():
        (g,) = gradients([(tg.gelu(x) * x).sum()], [x], create_graph=True)
        (g * g).sum().backward()
        x.zero_grad()

    growth = _growth(step, 500)
    assert growth < 20_000, f"{growth} bytes in 500 steps"


@pytest.mark.usefixtures("no_gc")
def test_no_cycles_are_made_for_the_collector_to_find():
    step = mlp_step()
    step()
    gc.collect()
    for _ in range(20):
        step()
    found = gc.collect()
    assert found == 0, f"the collector found {found} objects in cycles"
