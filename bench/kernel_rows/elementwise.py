"""Rows of element-by-element kernels: activations, dropout and random numbers, optimizers."""

import time
from functools import partial

import numpy as np

from bench.kernel_rows.row import Row, by_x, moved, normal

LARGE, SMALL = (16384, 1024), (768, 512)
SEED, OFFSET = 7, 5


def rows():
    shapes = LARGE, SMALL
    yield from (row for shape in shapes for row in _activations(shape))
    yield from (row for shape in shapes for row in _sums(shape))
    yield from (row for shape in shapes for row in _random(shape))
    yield from (row for n in (1 << 24, 800_000) for row in _optimizers(n))


def _activations(shape):
    forward = {  # name: (ours, PyTorch's), both (library, x) -> y
        "exp": (lambda k: k.exp, lambda torch: torch.exp),
        "tanh": (lambda k: k.tanh, lambda torch: torch.tanh),
        "erf": (lambda k: k.erf, lambda torch: torch.erf),
        "relu": (lambda k: k.relu, lambda torch: torch.relu),
        "sigmoid": (lambda k: k.sigmoid, lambda torch: torch.sigmoid),
        "silu": (lambda k: k.silu, lambda torch: torch.nn.functional.silu),
        "softplus": (lambda k: k.softplus, lambda torch: torch.nn.functional.softplus),
        "gelu": (_flagged("gelu", False), lambda torch: torch.nn.functional.gelu),
        "gelu_tanh": (
            _flagged("gelu", True),
            lambda torch: partial(torch.nn.functional.gelu, approximate="tanh"),
        ),
    }
    for name, (ours, theirs) in forward.items():
        yield Row(
            f"{name} {by_x(shape)}",
            normal(shape),
            lambda k, x, f=ours: partial(f(k), x),
            lambda torch, x, f=theirs: partial(f(torch), x),
            moved(shape, 1, 1),
        )
    backward = {  # (library, g, x or y) -> dx
        "relu": (
            lambda k: k.relu_backward,
            lambda aten: lambda g, y: aten.threshold_backward(g, y, 0),
        ),
        "sigmoid": (lambda k: k.sigmoid_backward, lambda aten: aten.sigmoid_backward),
        "tanh": (lambda k: k.tanh_backward, lambda aten: aten.tanh_backward),
        "silu": (lambda k: k.silu_backward, lambda aten: aten.silu_backward),
        "softplus": (
            lambda k: k.softplus_backward,
            lambda aten: lambda g, x: aten.softplus_backward(g, x, 1, 20),
        ),
        "gelu": (_flagged("gelu_backward", False), lambda aten: aten.gelu_backward),
        "gelu_tanh": (
            _flagged("gelu_backward", True),
            lambda aten: partial(aten.gelu_backward, approximate="tanh"),
        ),
    }
    for name, (ours, theirs) in backward.items():
        yield Row(
            f"{name}_backward {by_x(shape)}",
            normal(shape, shape),
            lambda k, g, x, f=ours: partial(f(k), g, x),
            lambda torch, g, x, f=theirs: partial(f(torch.ops.aten), g, x),
            moved(shape, 2, 1),
        )


def _sums(shape):
    yield Row(
        f"add {by_x(shape)}",
        normal(shape, shape),
        lambda k, a, b: partial(k.add, a, b),
        lambda torch, a, b: partial(torch.add, a, b),
        moved(shape, 2, 1),
    )
    yield Row(
        f"sum_middle 1x{by_x(shape)}",
        normal((1, *shape)),
        lambda k, x: partial(k.sum_middle, x),
        lambda torch, x: partial(torch.sum, x, 1),
        moved(shape, 1, 0),
    )
    along = {
        "sum_axes": lambda torch, x: lambda: torch.sum(x, 0),
        "sum_squares": lambda torch, x: lambda: torch.sum(x * x, 0),
        "moments": lambda torch, x: lambda: _moments(torch, x),
    }
    for name, theirs in along.items():
        yield Row(
            f"{name} {by_x(shape)} axis 0",
            normal(shape),
            lambda k, x, name=name: partial(getattr(k, name), x, (0,)),
            theirs,
            moved(shape, 1, 0),
        )


def _moments(torch, x):
    var, mean = torch.var_mean(x, 0, correction=0)
    return mean, var * len(x)


def _flagged(name, approximate):
    return lambda k: lambda *arrays: getattr(k, name)(*arrays, approximate)


def _random(shape):
    n = shape[0] * shape[1]
    yield Row(
        f"dropout {by_x(shape)}",
        normal(shape),
        lambda k, x: partial(k.dropout, x, 0.1, SEED, OFFSET),
        lambda torch, x: lambda: torch.ops.aten.native_dropout(x, 0.1, True),  # and the mask
        moved(shape, 1, 1),
        same_numbers=False,
    )
    for name, theirs in (("uniform", "rand"), ("normal", "randn")):
        yield Row(
            f"{name} {n}",
            normal(1),
            lambda k, x, name=name: partial(getattr(k, name), SEED, OFFSET, n, np.float32, x),
            lambda torch, x, theirs=theirs: partial(getattr(torch, theirs), n, device=x.device),
            moved(shape, 0, 1),
            same_numbers=False,
        )


def _step_of(n, name, optimizer, states, ours, last=0.0, **options):
    """A step on n parameters: all that is read is written as well, except the gradient.

    `last`: what the last of the states begins with.
    """

    def kernel(k, param, grad):
        state = [k.optimizer_state(param, param.dtype) for _ in range(states)]
        if last:
            state[-1] += last

        def step():
            ours(k, param, grad, *state)
            return param

        return step

    return Row(
        f"{name} {n}",
        normal((n,), (n,)),
        kernel,
        lambda torch, param, grad: _faster_optimizer(torch, optimizer, param, grad, options),
        moved((n,), 2 + states, 1 + states)._replace(in_place=True),
    )


def _optimizers(n):
    row = partial(_step_of, n)
    lr = 1e-3
    yield row(
        "adamw",
        "AdamW",
        2,
        lambda k, p, g, m, v: k.adam_(p, g, m, v, None, lr, 0.9, 0.999, 1e-8, 0.01, True, 1),
        weight_decay=0.01,
    )
    yield row("sgd", "SGD", 0, lambda k, p, g: k.sgd_(p, g, None, lr, 0, 0, False, 0))
    yield row(
        "sgd_momentum",
        "SGD",
        1,
        lambda k, p, g, v: k.sgd_(p, g, v, lr, 0.9, 0, False, 0),
        momentum=0.9,
    )
    yield row(
        "rmsprop",
        "RMSprop",
        1,
        lambda k, p, g, v: k.rmsprop_(p, g, v, None, None, lr, 0.99, 1e-8, 0, 0),
    )
    yield row("adagrad", "Adagrad", 1, lambda k, p, g, s: k.adagrad_(p, g, s, lr, 1e-10, 0))
    momenta = [0.9 * (1 - 0.5 * 0.96 ** (0.004 * step)) for step in (1, 2)]
    size = lr * momenta[1] / (1 - momenta[0] * momenta[1])  # of the first step
    yield row(
        "nadam",
        "NAdam",
        2,
        lambda k, p, g, m, v: k.nadam_(p, g, m, v, size, lr, 0.9, 0.999, 0.001**-0.5, 1e-8, 0, 0),
    )
    yield row(
        *("adamax", "Adamax", 2),
        lambda k, p, g, m, u: k.adamax_(p, g, m, u, lr / 0.1, 0.9, 0.999, 1e-8, 0),
    )
    yield row(
        *("rprop", "Rprop", 2),
        lambda k, p, g, b, s: k.rprop_(p, g, b, s, 0.5, 1.2, 1e-6, 50),
        last=lr,  # the size of the steps
    )
    yield row(
        "adadelta", "Adadelta", 2, lambda k, p, g, v, d: k.adadelta_(p, g, v, d, lr, 0.9, 1e-6, 0)
    )


def _faster_optimizer(torch, name, param, grad, options):
    """A step of PyTorch's optimizer in the form that is fastest here: loop, foreach or fused."""

    def build(form):
        own = torch.nn.Parameter(param.clone())
        own.grad = grad
        optimizer = getattr(torch.optim, name)([own], lr=1e-3, **options, **form)

        def step():
            optimizer.step()
            return own.detach()

        return step

    def seconds(form):
        try:
            step = build(form)
            step()
        except (TypeError, RuntimeError):  # this optimizer has no such form
            return float("inf")
        wait = torch.cuda.synchronize if param.is_cuda else (lambda: None)
        wait()
        start = time.perf_counter()
        for _ in range(3):
            step()
        wait()
        return time.perf_counter() - start

    return build(min(({}, {"foreach": True}, {"fused": True}), key=seconds))
