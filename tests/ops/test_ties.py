"""The published conventions at kinks, ties, zeros and NaN (docstrings of the ops, and the
table in ops/__init__.py).

GRADIENTS is a table: a function, its inputs, and the gradient of its sum by each of them.
"""

import itertools
import math

import numpy as np
import pytest
from grouped import grouped

import tinygrad_like as tg
from tinygrad_like import losses
from tinygrad_like.engine import gradients

NAN, INF = math.nan, math.inf
DTYPES = [np.float64, np.float32]


def tensors(inputs, dtype=np.float64):
    return [tg.Tensor(np.array(x, dtype), requires_grad=True) for x in inputs]


def grads_of(f, inputs, dtype=np.float64, create_graph=False):
    xs = tensors(inputs, dtype)
    y = f(*xs)
    return gradients([y], xs, [tg.ones_like(y)], create_graph=create_graph)


GRADIENTS = [
    ("abs at 0", tg.abs, [[-2.0, 0.0, 3.0]], [[-1, 0, 1]]),
    ("abs at -0", tg.abs, [[-0.0]], [[0]]),
    ("sign", tg.sign, [[-2.0, 0.0, 3.0]], [[0, 0, 0]]),
    ("floor, ceil and round at steps", lambda x: tg.floor(x) + tg.ceil(x) + tg.round(x),
     [[1.0, 0.5, -1.5]], [[0, 0, 0]]),
    ("maximum", tg.maximum, [[1.0, 2.0, 3.0], [2.0, 2.0, 2.0]], [[0, 0.5, 1], [1, 0.5, 0]]),
    ("minimum", tg.minimum, [[1.0, 2.0, 3.0], [2.0, 2.0, 2.0]], [[1, 0.5, 0], [0, 0.5, 1]]),
    ("maximum of 0 and -0", tg.maximum, [[0.0], [-0.0]], [[0.5], [0.5]]),
    ("maximum with a number", lambda x: tg.maximum(x, 0), [[-1.0, 0.0, 1.0]], [[0, 0.5, 1]]),
    ("number first", lambda x: tg.minimum(0, x), [[-1.0, 0.0, 1.0]], [[1, 0.5, 0]]),
    ("maximum of itself", lambda x: tg.maximum(x, x), [[-1.0, 0.0]], [[1, 1]]),
    ("maximum of infinities", tg.maximum, [[INF, -INF], [INF, -INF]], [[0.5, 0.5], [0.5, 0.5]]),
    ("relu", tg.relu, [[-1.0, 0.0, -0.0, 1.0]], [[0, 0, 0, 1]]),
    ("leaky_relu", lambda x: tg.leaky_relu(x, slope=0.1), [[-1.0, 0.0, 1.0]], [[0.1, 0.1, 1]]),
    ("elu", lambda x: tg.elu(x, alpha=2.0), [[0.0, 1.0]], [[2, 1]]),
    ("clip", lambda x: tg.clip(x, min=-1, max=1), [[-2.0, -1.0, 0.0, 1.0, 2.0]], [[0, 1, 1, 1, 0]]),
    ("grid_sample at the border", lambda at: tg.grid_sample(
        np.array([[[[2.0, 7.0]]]]), at, padding_mode="border", align_corners=True)[0, 0],
     [[[[[-1.0, 0.0], [1.0, 0.0], [1.5, 0.0]]]]], [[[[[2.5, 0], [0, 0], [0, 0]]]]]),
    ("cdist at 0", lambda a, b: tg.cdist(a, b), [[[1.0, 2.0]], [[1.0, 2.0]]],
     [[[0, 0]], [[0, 0]]]),
    ("clip below", lambda x: tg.clip(x, min=0), [[-1.0, 0.0, 1.0]], [[0, 1, 1]]),
    ("clip above", lambda x: tg.clip(x, max=0), [[-1.0, 0.0, 1.0]], [[1, 1, 0]]),
    ("remainder at a step", lambda x: tg.remainder(x, 2), [[2.0, 3.0]], [[1, 1]]),
    ("max", tg.max, [[3.0, 1.0, 3.0, 3.0]], [[1 / 3, 0, 1 / 3, 1 / 3]]),
    ("min", tg.min, [[1.0, 1.0, 3.0]], [[0.5, 0.5, 0]]),
    ("max along an axis", lambda x: tg.max(x, axis=0), [[[1.0, 5.0], [1.0, 4.0]]],
     [[[0.5, 1], [0.5, 0]]]),
    ("min over two axes, kept", lambda x: tg.min(x, axis=(0, 2), keepdims=True),
     [[[[2.0, 2.0], [1.0, 7.0]], [[2.0, 3.0], [8.0, 1.0]]]],
     [[[[1 / 3, 1 / 3], [0.5, 0]], [[1 / 3, 0], [0, 0.5]]]]),
    ("max of infinities", tg.max, [[-INF, -INF]], [[0.5, 0.5]]),
    ("max of NaN", tg.max, [[1.0, NAN, 2.0, NAN]], [[0, 0.5, 0, 0.5]]),
    ("min of NaN in one of two rows", lambda x: tg.min(x, axis=1), [[[1.0, NAN], [1.0, 2.0]]],
     [[[0, 1], [1, 0]]]),
    ("std of equal numbers", tg.std, [[0.1, 0.1, 0.1]], [[0, 0, 0]]),
    ("3-norm at 0", lambda x: tg.norm(x, ord=3), [[0.0, 0.0]], [[0, 0]]),
    ("norm at 0", tg.norm, [[0.0, 0.0]], [[0, 0]]),
    ("norm of rows, one of them 0", lambda x: tg.norm(x, axis=1), [[[0.0, 0.0], [3.0, 4.0]]],
     [[[0, 0], [0.6, 0.8]]]),
    ("1-norm at 0", lambda x: tg.norm(x, ord=1), [[0.0, -2.0]], [[0, -1]]),
    ("inf-norm with ties", lambda x: tg.norm(x, ord=INF), [[-2.0, 2.0, 1.0]], [[-0.5, 0.5, 0]]),
    ("prod, one zero", tg.prod, [[0.0, 2.0, 3.0]], [[6, 0, 0]]),
    ("prod, two zeros", tg.prod, [[0.0, 2.0, 0.0]], [[0, 0, 0]]),
    ("prod by rows", lambda x: tg.prod(x, axis=1), [[[0.0, 2.0, 3.0], [1.0, 2.0, 3.0]]],
     [[[6, 0, 0], [6, 3, 2]]]),
    ("power: base 0", lambda x: x**2, [[0.0, 1.0]], [[0, 2]]),
    ("power: base 0, exponent 1", lambda x: x**1, [[0.0]], [[1]]),
    ("power: exponent 0", lambda x: x**0, [[0.0, 2.0, -1.0]], [[0, 0, 0]]),
    ("power: exponent 0 as an array", tg.power, [[0.0, 2.0, 0.0], [0.0, 0.0, 2.0]],
     [[0, 0, 0], [0, math.log(2), 0]]),
    ("power: number 0 as the base", lambda b: tg.power(0, b), [[1.0, 2.0, 0.0]], [[0, 0, 0]]),
    ("power: infinity as the base", tg.power, [[INF, INF], [-1.0, 0.0]], [[0, 0], [0, INF]]),
    ("power: exponent 0 at infinity and NaN", lambda x: tg.power(x, np.zeros(4)),
     [[INF, -INF, NAN, 0.0]], [[0, 0, 0, 0]]),
    ("power: number 0 as the exponent", lambda x: x**0 * np.array([INF, 1.0, 1.0, 1.0]),
     [[2.0, INF, NAN, 0.0]], [[0, 0, 0, 0]]),
    ("maximum of NaN", tg.maximum, [[NAN, 1.0, NAN], [1.0, NAN, NAN]], [[1, 1, 1], [1, 1, 1]]),
    ("minimum of NaN", tg.minimum, [[NAN, 1.0], [1.0, NAN]], [[1, 1], [1, 1]]),
    ("relu and clip of NaN", lambda x: tg.relu(x) + tg.clip(x, 0, 1), [[NAN]], [[0]]),
    ("steps, of an infinite gradient", lambda x: (tg.floor(x) + tg.sign(x) + x // 2) * INF,
     [[0.5, 1.5]], [[0, 0]]),
    ("power: number 1 as the base", lambda b: tg.power(1, b), [[1.0, -2.0]], [[0, 0]]),
    ("power: negative base, whole exponent", lambda x: x**3, [[-2.0]], [[12]]),
    ("sort keeps the order of equals", lambda x: tg.sort(x) * np.array([1.0, 2.0, 3.0, 4.0]),
     [[2.0, 1.0, 2.0, 1.0]], [[3, 1, 4, 2]]),
    ("sort falling keeps the order of equals",
     lambda x: tg.sort(x, descending=True) * np.array([1.0, 2.0, 3.0, 4.0]),
     [[2.0, 1.0, 2.0, 1.0]], [[1, 3, 2, 4]]),
    ("topk takes the first of equals", lambda x: tg.topk(x, 2)[0] * np.array([1.0, 2.0]),
     [[1.0, 5.0, 5.0, 5.0]], [[0, 1, 2, 0]]),
    ("median of equals", tg.median, [[2.0, 1.0, 2.0, 2.0]], [[0.5, 0, 0.5, 0]]),
    ("quantile of equals", lambda x: tg.quantile(x, 0.75), [[2.0, 2.0, 2.0]], [[0, 0.5, 0.5]]),
    ("quantile at an element beside infinity", lambda x: tg.quantile(x, 0.5), [[INF, 1.0, 0.0]],
     [[0, 1, 0]]),
    ("kthvalue of equals", lambda x: tg.kthvalue(x, 2)[0], [[3.0, 3.0, 3.0]], [[0, 1, 0]]),
    ("mode takes the first of equals", lambda x: tg.mode(x)[0], [[1.0, 3.0, 3.0]], [[0, 1, 0]]),
    ("unique takes the first of equals", lambda x: tg.unique(x) * np.array([1.0, 2.0]),
     [[3.0, 1.0, 3.0, 1.0]], [[2, 1, 0, 0]]),
    ("cummax takes the latest of equals", lambda x: tg.cummax(x)[0], [[1.0, 1.0, 0.0]],
     [[1, 2, 0]]),
    ("cumprod with zeros", tg.cumprod, [[2.0, 0.0, 3.0, 0.0]], [[1, 8, 0, 0]]),
    ("nanstd of equal numbers", tg.nanstd, [[0.5, 0.5, NAN]], [[0, 0, 0]]),
    ("nanmax of equals", tg.nanmax, [[2.0, NAN, 2.0]], [[0.5, 0, 0.5]]),
    ("scatter: the last one counts", lambda x, u: tg.scatter(x, [1, 1], u),
     [[1.0, 2.0], [3.0, 4.0]], [[1, 0], [0, 1]]),
    ("scatter, amax of equals", lambda x, u: tg.scatter(x, [1, 1, 0], u, reduce="amax"),
     [[1.0, 4.0], [4.0, 4.0, 0.0]], [[1, 1 / 3], [1 / 3, 1 / 3, 0]]),
    ("scatter, prod with a zero", lambda x, u: tg.scatter(x, [0, 0], u, reduce="prod"),
     [[2.0, 5.0], [0.0, 3.0]], [[0, 1], [6, 0]]),
    ("interp at points", lambda x: tg.interp(x, [0.0, 1.0, 2.0], [0.0, 1.0, 3.0]),
     [[0.0, 1.0, 2.0, 3.0]], [[1, 2, 2, 0]]),
    ("max_pool2d takes the first of equals", lambda x: tg.max_pool2d(x, 2),
     [[[[[7.0, 7.0], [7.0, 7.0]]]]], [[[[[1, 0], [0, 0]]]]]),
    ("max_pool2d, equals in a column", lambda x: tg.max_pool2d(x, (2, 1)),
     [[[[[1.0, 2.0], [1.0, 3.0]]]]], [[[[[1, 0], [0, 1]]]]]),
    ("overlapping windows", lambda x: tg.max_pool2d(x, 2, stride=1),
     [[[[[0.0, 4.0, 4.0], [0.0, 4.0, 0.0]]]]], [[[[[0, 2, 0], [0, 0, 0]]]]]),
    ("max_pool2d never takes padding", lambda x: tg.max_pool2d(x, 2, stride=2, padding=1),
     [[[[[-1.0, -2.0], [-3.0, -4.0]]]]], [[[[[1, 1], [1, 1]]]]]),
    ("where takes one side", lambda a, b: tg.where(np.array([True, False]), a, b),
     [[1.0, 2.0], [3.0, 4.0]], [[1, 0], [0, 1]]),
    ("where guards a root", lambda x: tg.where(x > 0, tg.sqrt(tg.where(x > 0, x, 1)), 0),
     [[-1.0, 0.0, 4.0]], [[0, 0, 0.25]]),
    ("where guards a quotient", lambda x: tg.where(x == 0, 1, 2 / tg.where(x == 0, 1, x)),
     [[0.0, 2.0]], [[0, -0.5]]),
    ("hardtanh", tg.hardtanh, [[-1.0, 0.0, 1.0, NAN]], [[0, 1, 0, 0]]),
    ("relu6 and hardsigmoid", lambda x: tg.relu6(x) + tg.hardsigmoid(x - 3), [[0.0, 6.0]],
     [[0, 0]]),
    ("shrinks at their limits", lambda x: tg.hardshrink(x) + tg.softshrink(x), [[-0.5, 0.5, 2.0]],
     [[0, 0, 2]]),
    ("threshold", lambda x: tg.threshold(x, 1.0, 7.0), [[1.0, 2.0]], [[0, 1]]),
    ("prelu", tg.prelu, [[-2.0, 0.0, INF], [0.25]], [[0.25, 0.25, 1], [-2]]),
    ("celu", lambda x: tg.celu(x, alpha=2.0), [[0.0, 1.0]], [[1, 1]]),
    ("trunc at steps", tg.trunc, [[1.0, 0.5, -1.5]], [[0, 0, 0]]),
    ("copysign", tg.copysign, [[0.0, -2.0, 2.0], [1.0, 1.0, -0.0]], [[0, -1, -1], [0, 0, 0]]),
    ("copysign of infinity", tg.copysign, [[INF, -INF], [-1.0, -1.0]], [[-1, 1], [0, 0]]),
    ("arctan2 at the origin", tg.arctan2, [[0.0, 2.0], [0.0, 0.0]], [[0, 0], [0, -0.5]]),
    ("fmax", tg.fmax, [[2.0, NAN, 1.0], [2.0, 3.0, NAN]], [[0.5, 0, 1], [0.5, 1, 0]]),
    ("fmin", tg.fmin, [[2.0, NAN, 1.0], [2.0, 3.0, NAN]], [[0.5, 0, 1], [0.5, 1, 0]]),
    ("fmod beside a step", tg.fmod, [[6.0, -7.0], [2.0, 2.0]], [[1, 1], [-3, 3]]),
    ("heaviside at 0", tg.heaviside, [[-1.0, 0.0, 1.0], [0.3, 0.3, 0.3]],
     [[0, 0, 0], [0, 1, 0]]),
    ("nan_to_num", tg.nan_to_num, [[NAN, INF, -INF, 2.0]], [[0, 0, 0, 1]]),
    ("hypot at 0", tg.hypot, [[0.0, 3.0], [0.0, -4.0]], [[0, 0.6], [0, -0.8]]),
    ("sinc at 0", tg.sinc, [[0.0, 1.0]], [[0, -1]]),
    ("logaddexp of infinities", tg.logaddexp, [[INF, -INF, INF], [INF, -INF, 1.0]],
     [[0.5, 0.5, 1], [0.5, 0.5, 0]]),
    ("xlogy beside 0", tg.xlogy, [[0.0, 0.0, 0.0], [0.0, -1.0, 2.0]],
     [[0, 0, math.log(2)], [0, 0, 0]]),
    ("softplus at 0", tg.softplus, [[0.0]], [[0.5]]),
    ("gelu at 0", tg.gelu, [[0.0]], [[0.5]]),
    ("tril cuts", lambda x: tg.tril(x) * 2, [[[1.0, 2.0], [3.0, 4.0]]], [[[2, 0], [2, 2]]]),
    ("std of one element", tg.std, [[5.0]], [[0]]),
    ("ptp of equals", tg.ptp, [[2.0, 2.0, 1.0]], [[0.5, 0.5, -1]]),
    ("nanprod with zeros", tg.nanprod, [[0.0, NAN, 2.0, 4.0]], [[8, 0, 0, 0]]),
    ("clip to one number", lambda x: tg.clip(x, 1, 1), [[1.0, 2.0]], [[1, 0]]),
    ("frexp at powers of 2", lambda x: tg.frexp(x)[0], [[0.0, 1.0, -2.0, INF]],
     [[1, 0.5, 0.25, 1]]),
    ("polar at 0", lambda r, t: tg.real(tg.polar(r, t)), [[0.0], [0.0]], [[1], [0]]),
    ("angle at 0", tg.angle, [[0.0, -1.0]], [[0, 0]]),
    ("power of 0 by float_power", tg.float_power, [[0.0, 0.0], [0.0, 1.0]], [[0, 1], [0, 0]]),
    ("logaddexp2 of infinities", tg.logaddexp2, [[INF, -INF], [INF, -INF]],
     [[0.5, 0.5], [0.5, 0.5]]),
    ("logsumexp of nothing", tg.logsumexp, [[-INF, -INF]], [[0, 0]]),
    ("logcumsumexp of nothing", tg.logcumsumexp, [[-INF, -INF, 1.0]], [[0, 0, 1]]),
    ("logcumsumexp of nothing at all", tg.logcumsumexp, [[-INF, -INF]], [[0, 0]]),
    ("xlog1py beside 0", tg.special.xlog1py, [[0.0, 0.0, 0.0], [-1.0, -2.0, 1.0]],
     [[0, 0, math.log(2)], [0, 0, 0]]),
    ("rel_entr beside 0", tg.special.rel_entr, [[0.0, 2.0], [0.0, 2.0]], [[0, 1], [0, -1]]),
    ("kl_div beside 0", tg.special.kl_div, [[0.0, 2.0], [0.0, 2.0]], [[0, 0], [1, 0]]),
    ("i0e at 0", tg.special.i0e, [[0.0]], [[0]]),
    ("nanmedian of equals", tg.nanmedian, [[2.0, NAN, 2.0, 2.0]], [[0, 0, 1, 0]]),
    ("max_pool1d and max_pool3d take the first", lambda x: tg.max_pool1d(x, 3)
     + tg.max_pool3d(x[:, None, None], (1, 1, 3))[:, 0, 0], [[[1.0, 1.0, 0.0]]], [[[2, 0, 0]]]),
    ("adaptive maxima take the first", lambda x: tg.adaptive_max_pool1d(x, 1), [[[1.0, 1.0]]],
     [[[1, 0]]]),
    ("max_pool2d takes the first NaN", lambda x: tg.max_pool2d(x, 2),
     [[[[[1.0, NAN], [2.0, NAN]]]]], [[[[[0, 1], [0, 0]]]]]),
    ("lp_pool1d at 0", lambda x: tg.lp_pool1d(x, 2, 2), [[[0.0, 0.0, 3.0, 4.0]]],
     [[[0, 0, 0.6, 0.8]]]),
    ("rows of a bag share its maximum",
     lambda w: tg.embedding_bag(w, np.array([[0, 1, 2]]), mode="max"), [[[1.0], [0.0], [1.0]]],
     [[[0.5], [0], [0.5]]]),
    ("interp, of its points", lambda xp: tg.interp([0.5, 1.0], xp, [0.0, 2.0, 3.0]),
     [[0.0, 1.0, 2.0]], [[-1, -2, 0]]),
    ("unwrap at half a period", lambda x: np.unwrap(x, period=2), [[0.0, 1.0, 0.0]], [[1, 1, 1]]),
    ("trim_zeros of zeros", lambda x: np.trim_zeros(x) * 2,
     [[0.0, 3.0, 0.0, 1.0]], [[0, 2, 2, 2]]),
    ("cosine_similarity of 0", lambda a, b: losses.cosine_similarity(a, b, eps=1.0),
     [[[0.0, 0.0]], [[3.0, 4.0]]], [[[0.6, 0.8]], [[0, 0]]]),
    ("pairwise_distance of equals", lambda a, b: losses.pairwise_distance(a, b, eps=0.0),
     [[[1.0, 2.0]], [[1.0, 2.0]]], [[[0, 0]], [[0, 0]]]),
    ("triplet_margin, swapped at a tie",
     lambda a, p, n: losses.triplet_margin(a, p, n, swap=True, margin=9.0, eps=0.0, p=1),
     [[[0.0]], [[0.0]], [[2.0]]], [[[0.5]], [[0.5]], [[-1]]]),
    ("margin losses at their margin", lambda a, b: losses.margin_ranking(a, b, np.ones(1))
     + losses.hinge_embedding(a + 1, -np.ones(1)), [[0.0], [0.0]], [[0], [0]]),
    ("l1 of equals", losses.l1, [[1.0], [1.0]], [[0], [0]]),
    ("binary_cross_entropy at 0 and 1",
     lambda p: losses.binary_cross_entropy(p, np.array([0.0, 1.0, 0.0, 1.0]), reduction="sum"),
     [[0.0, 1.0, 1.0, 0.0]], [[1, -1, 0, 0]]),
    ("a masked row has no softmax", lambda x: tg.softmax(x)[0], [[[-INF, -INF], [0.0, 0.0]]],
     [[[0, 0], [0, 0]]]),
]  # fmt: skip


@pytest.mark.parametrize(("f", "inputs", "expected"), [r[1:] for r in GRADIENTS],
                         ids=[r[0] for r in GRADIENTS])  # fmt: skip
@grouped("dtype create_graph", itertools.product(DTYPES, [False, True]))
def test_gradient_at_a_kink(f, inputs, expected, dtype, create_graph):
    for got, want in zip(grads_of(f, inputs, dtype, create_graph), expected, strict=True):
        np.testing.assert_allclose(got.numpy(), want, rtol=1e-6, atol=0)
        assert got.dtype == dtype


COMPLEX = [
    ("abs", tg.abs, [0, 3 + 4j], [0, 0.6 + 0.8j]),
    ("sign", tg.sign, [0], [0]),
    ("angle", tg.angle, [0], [0]),
    ("norm", tg.norm, [0, 0], [0, 0]),
    ("std of equals", tg.std, [1j, 1j], [0, 0]),
    ("nanstd of equals", tg.nanstd, [1j, NAN, 1j], [0, 0, 0]),
    ("prod with a zero", tg.prod, [0, 1j], [-1j, 0]),
    ("power 0", lambda z: z**0, [0, 1j], [0, 0]),
    ("power 2", lambda z: z**2, [0, 1j], [0, -2j]),
]


@pytest.mark.parametrize(("f", "z", "expected"), [r[1:] for r in COMPLEX],
                         ids=[r[0] for r in COMPLEX])  # fmt: skip
def test_gradient_at_zero_of_complex_numbers(f, z, expected):
    """Of the sum of the real parts; it is dL/dx + i dL/dy."""
    z = tg.Tensor(np.array(z, complex), requires_grad=True)
    tg.real(f(z)).sum().backward()
    np.testing.assert_allclose(z.grad.numpy(), expected, rtol=1e-12)


NANS = [
    ("max", tg.max, [1.0, NAN, 2.0]),
    ("min", tg.min, [1.0, NAN, 2.0]),
    ("sum", tg.sum, [1.0, NAN, 2.0]),
    ("prod", tg.prod, [1.0, NAN, 0.0]),
    ("norm", tg.norm, [1.0, NAN]),
    ("var of one", tg.var, [NAN]),
    ("std of one by one", lambda x: tg.std(x, axis=0), [[NAN, INF, -INF]]),
    ("max by rows", lambda x: tg.max(x.reshape(2, 2), axis=1)[0], [NAN, 1.0, 2.0, 3.0]),
    ("maximum, left", lambda x: tg.maximum(x, 1.0), [NAN]),
    ("maximum, right", lambda x: tg.maximum(1.0, x), [NAN]),
    ("minimum, left", lambda x: tg.minimum(x, 1.0), [NAN]),
    ("minimum, right", lambda x: tg.minimum(1.0, x), [NAN]),
    ("relu", tg.relu, [NAN]),
    ("leaky_relu", tg.leaky_relu, [NAN]),
    ("elu", tg.elu, [NAN]),
    ("gelu", tg.gelu, [NAN]),
    ("silu", tg.silu, [NAN]),
    ("softplus", tg.softplus, [NAN]),
    ("sigmoid", tg.sigmoid, [NAN]),
    ("clip", lambda x: tg.clip(x, min=0, max=1), [NAN]),
    ("softmax", lambda x: tg.softmax(x)[0], [1.0, NAN]),
    ("log_softmax", lambda x: tg.log_softmax(x)[0], [1.0, NAN]),
    ("logsumexp", tg.logsumexp, [1.0, NAN]),
    ("max_pool2d", lambda x: tg.max_pool2d(x.reshape(1, 1, 2, 2), 2), [1.0, NAN, 2.0, 3.0]),
    ("max_pool2d, last", lambda x: tg.max_pool2d(x.reshape(1, 1, 2, 2), 2), [1.0, 2.0, 3.0, NAN]),
    ("where", lambda x: tg.where(np.array([True]), x, 0), [NAN]),
    ("multiply by 0", lambda x: x * 0, [NAN]),
    ("abs", tg.abs, [NAN]),
    ("sign", tg.sign, [NAN]),
    ("round", tg.round, [NAN]),
    ("sort puts it last", lambda x: tg.sort(x)[-1], [NAN, 1.0, 2.0]),
    ("layer_norm", lambda x: tg.layer_norm(x)[0], [NAN, 1.0]),
]


@pytest.mark.parametrize(("f", "x"), [r[1:] for r in NANS], ids=[r[0] for r in NANS])
def test_nan_passes_on(f, x):
    y = f(tg.Tensor(x))
    assert np.isnan(y.numpy()).all(), f"NaN gave {y.numpy()}"


ORDER_2 = [
    ("prod, one zero", tg.prod, [0.0, 2.0, 3.0], [[0, 3, 2], [3, 0, 0], [2, 0, 0]]),
    ("prod, two zeros", tg.prod, [0.0, 2.0, 0.0], [[0, 0, 2], [0, 0, 0], [2, 0, 0]]),
    ("prod, three zeros", tg.prod, [0.0, 0.0, 0.0], np.zeros((3, 3))),
    ("square at 0", lambda x: (x**2).sum(), [0.0, 1.0], np.diag([2, 2])),
    ("square at 0, exponent an array", lambda x: (x ** np.array([2.0, 2.0])).sum(), [0.0, 1.0],
     np.diag([2, 2])),
    ("cube at 0", lambda x: (x**3).sum(), [0.0, -1.0], np.diag([0, -6])),
    ("x * |x| at 0", lambda x: (x * abs(x)).sum(), [0.0, -1.0], np.diag([0, -2])),
    ("relu^2 at 0", lambda x: (tg.relu(x) ** 2).sum(), [-1.0, 0.0, 1.0], np.diag([0, 0, 2])),
    ("max^2 of equals", lambda x: tg.max(x) ** 2, [3.0, 3.0], np.full((2, 2), 0.5)),
    ("x * y at zeros", lambda x: x[0] * x[1], [0.0, 0.0], [[0, 1], [1, 0]]),
    ("std of one number", lambda x: tg.std(x[:, None], axis=1).sum(), [0.5, 2.0], np.zeros((2, 2))),
    ("norm^2 away from 0", lambda x: tg.norm(x) ** 2, [3.0, 4.0], np.diag([2, 2])),
]  # fmt: skip


@pytest.mark.parametrize(("f", "x", "expected"), [r[1:] for r in ORDER_2],
                         ids=[r[0] for r in ORDER_2])  # fmt: skip
def test_second_derivatives_at_zeros_and_kinks(f, x, expected):
    h = tg.hessian(f)(np.array(x))
    np.testing.assert_allclose(np.asarray(h), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("f", [tg.norm, tg.std, lambda x: tg.hypot(x[0], x[1])])
def test_second_derivatives_where_there_are_none_are_nan(f):
    h = tg.hessian(f)(np.array([0.0, 0.0]))
    assert np.isnan(np.asarray(h)).all(), h


ORDERS = [
    ("argmax", lambda x: tg.argmax(x), [1.0, 3.0, 3.0], 1),
    ("argmin", lambda x: tg.argmin(x), [1.0, 0.0, 0.0], 1),
    ("argmax of NaN", lambda x: tg.argmax(x), [1.0, NAN, 3.0], 1),
    ("argsort", tg.argsort, [2.0, 1.0, 2.0, 1.0], [1, 3, 0, 2]),
    ("argsort falling", lambda x: tg.argsort(x, descending=True), [2.0, 1.0, 2.0, 1.0],
     [0, 2, 1, 3]),
    ("argsort of many equals", tg.argsort, np.zeros(100), np.arange(100)),
    ("falling", lambda x: tg.argsort(x, descending=True), np.zeros(100), np.arange(100)),
    ("topk", lambda x: tg.topk(x, 3)[1], [1.0, 5.0, 5.0, 5.0, 5.0], [1, 2, 3]),
    ("argsort of integers", tg.argsort, np.array([3, 1, 2, 1]), [1, 3, 2, 0]),
    ("argsort of booleans", tg.argsort, np.array([True, False, True]), [1, 0, 2]),
]  # fmt: skip


@pytest.mark.parametrize(("f", "x", "expected"), [r[1:] for r in ORDERS],
                         ids=[r[0] for r in ORDERS])  # fmt: skip
def test_equal_elements_keep_their_order(f, x, expected):
    y = f(tg.Tensor(x))
    assert y.dtype == np.int64
    np.testing.assert_array_equal(y.numpy(), expected)


VALUES = [
    ("int / int is float32", lambda: tg.Tensor([1, 2]) / tg.Tensor([2, 4]), [0.5, 0.5], "float32"),
    ("mean of ints is float32", lambda: tg.mean(tg.Tensor([1, 2])), 1.5, "float32"),
    ("var of ints is float32", lambda: tg.var(tg.Tensor([1, 3])), 1.0, "float32"),
    ("sqrt of ints is float32", lambda: tg.sqrt(tg.Tensor([4, 9])), [2, 3], "float32"),
    ("exp of booleans is float32", lambda: tg.exp(tg.Tensor([False])), [1], "float32"),
    ("sum of booleans counts", lambda: tg.sum(tg.Tensor([True, True, False])), 2, "int64"),
    ("sum of int8 does not overflow", lambda: tg.sum(tg.Tensor(np.full(9, 99, np.int8))), 891,
     "int64"),
    ("floor division rounds down", lambda: tg.Tensor([-7, 7]) // 2, [-4, 3], "int64"),
    ("remainder has b's sign", lambda: tg.Tensor([-7, 7, -7]) % tg.Tensor([3, -3, -3]), [2, -2, -1],
     "int64"),
    ("halves go to the even", lambda: tg.round(tg.Tensor([0.5, 1.5, 2.5, -0.5])), [0, 2, 2, -0.0],
     "float32"),
    ("uint8 wraps round", lambda: tg.Tensor(np.array([250], np.uint8)) + 10, [4], "uint8"),
    ("0 ** 0", lambda: tg.Tensor([0.0]) ** 0, [1], "float32"),
    ("sum of nothing", lambda: tg.sum(tg.zeros((0, 3)), axis=0), [0, 0, 0], "float32"),
    ("prod of nothing", lambda: tg.prod(tg.zeros((0, 2)), axis=0), [1, 1], "float32"),
    ("any and all of nothing", lambda: tg.any(tg.zeros(0)) | ~tg.all(tg.zeros(0)), False, "bool"),
    ("logsumexp of -inf", lambda: tg.logsumexp(tg.Tensor([-INF, -INF])), -INF, "float32"),
    ("logsumexp of inf", lambda: tg.logsumexp(tg.Tensor([INF, 1.0])), INF, "float32"),
    ("softmax of large numbers", lambda: tg.softmax(tg.Tensor([1e30, -1e30])), [1, 0], "float32"),
    ("sigmoid far out", lambda: tg.sigmoid(tg.Tensor([-1e30, 1e30])), [0, 1], "float32"),
    ("softplus far out", lambda: tg.softplus(tg.Tensor([-1e30, 1e30])), [0, 1e30], "float32"),
    ("gelu far out", lambda: tg.gelu(tg.Tensor([-1e3, 1e3])), [0, 1e3], "float32"),
    ("gelu's tanh far out", lambda: tg.gelu(tg.Tensor([-1e3, 1e3]), approximate=True), [0, 1e3],
     "float32"),
    ("silu far out", lambda: tg.silu(tg.Tensor([-1e30, 1e30])), [0, 1e30], "float32"),
    ("elu far out", lambda: tg.elu(tg.Tensor([-1e30, 1e30])), [-1, 1e30], "float32"),
    ("tanh far out", lambda: tg.tanh(tg.Tensor([-1e30, 1e30])), [-1, 1], "float32"),
]  # fmt: skip


@pytest.mark.parametrize(("f", "expected", "dtype"), [r[1:] for r in VALUES],
                         ids=[r[0] for r in VALUES])  # fmt: skip
def test_value_at_an_edge(f, expected, dtype):
    y = f()
    assert y.dtype == dtype
    np.testing.assert_array_equal(y.numpy(), np.array(expected, dtype))


FAR = [tg.sigmoid, tg.softplus, tg.gelu, tg.silu, tg.elu, tg.tanh, tg.erf, tg.relu, tg.arctan,
       lambda x: tg.gelu(x, approximate=True), tg.softmax, tg.log_softmax, tg.logsumexp,
       tg.layer_norm, tg.norm]  # fmt: skip


@pytest.mark.parametrize("f", FAR, ids=lambda f: f.__name__)
def test_gradients_far_out_are_finite(f):
    """At +-100 the naive formulas overflow or divide infinities; both orders stay finite."""
    x = tg.Tensor(np.array([-100.0, -1.0, 0.5, 100.0], np.float32), requires_grad=True)
    y = f(x)
    weights = np.array([1.0, -2.0, 3.0, 0.5], np.float32)
    (g,) = gradients([(y * weights).sum()], [x], create_graph=True)
    (h,) = gradients([(g * weights).sum()], [x])
    assert np.isfinite(g.numpy()).all(), g.numpy()
    assert np.isfinite(h.numpy()).all(), h.numpy()
