"""checkpoint: the same bits in every gradient as of the same function, run without a checkpoint."""

import itertools

import numpy as np
import pytest
from checkpointed import Block, assert_same, backward_of_a_block, data
from op_calls import attempt, each_call, leaves, outputs, scalar

import tinygrad_like as tg
from tinygrad_like import Tensor, checkpoint, nn
from tinygrad_like.engine import gradients

# The same bits


@each_call
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
