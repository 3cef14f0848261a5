"""Rows of kernels whose time is in matrix products: matmul, convolution, attention, recurrence."""

import math
from functools import partial

from tinygrad_like.kernels.geometry import conv_geometry

from bench.kernel_rows.row import Row, by_autograd, by_x, normal
from bench.limits import Work

MATMULS = [(256, 256, 256), (1024, 1024, 1024), (128, 784, 128), (768, 128, 512), (2048, 384, 1536)]
CONVS = [  # images, channels out; all 3 x 3 with padding 1
    ((64, 1, 28, 28), 32),
    ((64, 32, 14, 14), 64),
    ((64, 64, 14, 14), 64),
    ((32, 64, 32, 32), 64),
    ((16, 128, 16, 16), 256),
]
HEADS = [(12, 4, 64, 32), (8, 6, 256, 64)]  # gpt-mini's and gpt-small's (N, heads, T, d)
LAYER = (32, 64, 128, 256)  # the first layer of the lstm step: N, T, D, H


def rows():
    for sizes in MATMULS:
        yield from matmul_rows(*sizes)
    for x_shape, channels in CONVS:
        yield from conv_rows(x_shape, channels)
    for shape in HEADS:
        yield from attention_rows(shape)
    for kind in ("lstm", "gru", "rnn"):
        yield from _recurrent(kind)


def matmul_rows(m, k, n):
    """(m, k) x (k, n), and its two gradients: g B^T for the left factor, A^T g for the right."""
    work = Work(flops=2 * m * k * n)
    products = {"": ((m, k), (k, n)), "^T ": ((m, n), (k, n)), "T^ ": ((m, k), (m, n))}
    for how, (a, b) in products.items():

        def kernel(library, a, b, how=how):
            a, b = (a.T if how == "T^ " else a), (b.T if how == "^T " else b)
            return partial(library.matmul, a, b)

        names = {"": "{} x {}", "^T ": "{} x {}^T", "T^ ": "{}^T x {}"}
        name = names[how].format(by_x(a), by_x(b))
        yield Row(f"matmul {name}", normal(a, b), kernel, kernel, work)
    yield Row(
        f"linear {by_x((m, k))} x {by_x((k, n))}",
        normal((m, k), (k, n), (n,)),
        lambda kernels, x, w, b: partial(kernels.linear, x, w, b),
        lambda torch, x, w, b: partial(torch.addmm, b, x, w),
        work,
    )


def conv_rows(x_shape, channels):
    n, c, h, w = x_shape
    weight, y = (channels, c, 3, 3), (n, channels, h, w)
    flops = 2 * n * channels * c * (3 * h - 2) * (3 * w - 2)  # without the zeros of the padding
    work = Work(flops=flops, fewest_flops=flops // 4)  # Winograd's F(4x4, 3x3)
    options = (1, 1), (1, 1), (1, 1), 1
    geometry = conv_geometry(x_shape, weight, *options)
    shape = f"{by_x(x_shape)} to {channels}"

    def torch_backward(mask):
        def build(torch, x, weight, g):
            backward = torch.ops.aten.convolution_backward
            strides = (1, 1), (1, 1), (1, 1), False, (0, 0), 1
            return lambda: backward(g, x, weight, None, *strides, mask)[mask.index(True)]

        return build

    arrays = normal(x_shape, weight, y)
    yield Row(
        f"conv2d {shape}",
        arrays,
        lambda k, x, weight, g: partial(k.conv2d, x, weight, geometry),
        lambda torch, x, weight, g: partial(torch.conv2d, x, weight, None, *options),
        work,
    )
    yield Row(
        f"conv2d_input_grad {shape}",
        arrays,
        lambda k, x, weight, g: partial(k.conv2d_input_grad, g, weight, geometry),
        torch_backward([True, False, False]),
        work,
    )
    yield Row(
        f"conv2d_weight_grad {shape}",
        arrays,
        lambda k, x, weight, g: partial(k.conv2d_weight_grad, g, x, geometry),
        torch_backward([False, True, False]),
        work,
    )


def attention_rows(shape):
    n, heads, t, d = shape
    options = None, True, 1 / math.sqrt(d), 0.0, 0, 0  # mask, causal, scale, dropout, seed, offset
    product = 2 * n * heads * (t * (t + 1) // 2) * d

    def backward(k, q, key, v, g):
        out, sums = k.attention(q, key, v, *options)
        return partial(
            k.attention_backward, g, q, key, v, out, sums, *options, (True, True, True, False)
        )

    def torch_forward(torch, q, k, v, g):
        forward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        return lambda: forward(q, k, v, 0.0, True)[0]  # statistics: one value per query, ours two

    def torch_backward(torch, q, k, v, g):
        forward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        out, lse = forward(q, k, v, 0.0, True)
        backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
        return lambda: backward(g, q, k, v, out, lse, 0.0, True)

    arrays = normal(shape, shape, shape, shape)
    yield Row(
        f"attention {by_x(shape)}",
        arrays,
        lambda k, q, key, v, g: partial(k.attention, q, key, v, *options),
        torch_forward,
        Work(flops=2 * product),
    )
    yield Row(  # four products, and one more unless the weights were kept
        f"attention_backward {by_x(shape)}",
        arrays,
        backward,
        torch_backward,
        Work(flops=5 * product, fewest_flops=4 * product),
    )


def _recurrent(kind):
    """A layer over whole sequences from a state of zeros; the backward computes all gradients."""
    n, t, d, h = LAYER
    gates = {"lstm": 4, "gru": 3, "rnn": 1}[kind]
    states = 2 if kind == "lstm" else 1
    flops = 2 * n * t * gates * h * (d + h)

    def arrays(rng):
        biases = gates + (kind == "gru")
        x, weight, recurrent, bias, g = normal(
            (n, t, d), (d, gates * h), (h, gates * h), biases * h, (n, t, h)
        )(rng)
        shrunk = weight / math.sqrt(d), recurrent / math.sqrt(h), bias / math.sqrt(h)
        return [x, *(w.astype("f4") for w in shrunk), g]

    how = ("tanh",) if kind == "rnn" else ()

    def forward(k, x, weight, recurrent, bias, g):
        start = [None] * states
        return partial(getattr(k, kind), x, weight, recurrent, bias, *start, None, False, *how)

    def backward(k, x, weight, recurrent, bias, g):
        out, *rest = forward(k, x, weight, recurrent, bias, g)()
        last, saved = [state * 0 for state in rest[:states]], [out, *rest[states:]]
        given = [g, *last, x, weight, recurrent, *[None] * states, *saved, None, False, *how]
        needs = (True,) * 4 + (False,) * states
        return partial(getattr(k, f"{kind}_backward"), *given, needs)

    def torch_forward(torch, x, *parameters):
        layer = _torch_layer(torch, kind, d, h, *parameters[:3])

        def step():
            with torch.enable_grad():  # what the backward needs is kept
                return layer(x)[0].detach()

        return lambda: (step(),)

    def torch_backward(torch, x, weight, recurrent, bias, g):
        layer = _torch_layer(torch, kind, d, h, weight, recurrent, bias)
        inputs = [x, *layer.parameters()]
        return by_autograd(torch, lambda x, *_: layer(x)[0], inputs, g, 1)

    shape = f"{by_x((n, t, d))} to {h}"
    yield Row(f"{kind} {shape}", arrays, forward, torch_forward, Work(flops=flops))
    yield Row(f"{kind}_backward {shape}", arrays, backward, torch_backward, Work(flops=2 * flops))


def _torch_layer(torch, kind, d, h, weight, recurrent, bias):
    """PyTorch's layer with our weights: the blocks of the LSTM are i, f, g, o there."""
    layer = getattr(torch.nn, kind.upper())(d, h, batch_first=True)
    order = {"lstm": (0, 1, 3, 2), "gru": (0, 1, 2), "rnn": (0,)}[kind]

    def blocks(w):
        return torch.cat([w[..., k * h : (k + 1) * h] for k in order], -1).swapaxes(0, -1)

    with torch.no_grad():
        layer.weight_ih_l0.copy_(blocks(weight))
        layer.weight_hh_l0.copy_(blocks(recurrent))
        layer.bias_ih_l0.copy_(blocks(bias))
        layer.bias_hh_l0.zero_()
        if kind == "gru":  # the recurrent bias of its new gate is a separate block
            layer.bias_hh_l0[2 * h :] = bias[3 * h :]
    return layer
