"""What ops say when shapes, axes, dtypes or arguments do not fit.

ERRORS is a table: a call, the exception, and the message's text, which begins with the op in
brackets and, where shapes clash, names the whole shapes. Every row runs on Tensors and, with the
same result, on raw arrays.
"""

import re

import errors_linalg
import errors_windows
import numpy as np
import pytest
from grouped import grouped

import tinygrad_like as tg
from tinygrad_like import ops
from tinygrad_like.engine import Tensor, sum_to
from tinygrad_like.ops.indexing.index import getitem
from tinygrad_like.ops.neural.norm import normalize_channels
from tinygrad_like.ops.neural.softmax import softmax_cross_entropy


class As:
    """Makes the inputs of a row: Tensors or raw arrays."""

    def __init__(self, tensors):
        self.tensors = tensors

    def __call__(self, *shape):
        """Ones of a shape, in float32."""
        return self.of(np.ones(shape, np.float32))

    def of(self, values):
        array = np.array(values)
        return Tensor(array) if self.tensors else array


ERRORS = [
    # Elementwise
    (lambda t: tg.add(t(2, 3), t(4, 3)), ValueError,
     "[add] axis -2 is 2 in a, 4 in b: they do not broadcast (a: (2, 3), b: (4, 3))"),
    (lambda t: tg.maximum(t(2), t(3)), ValueError,
     "[maximum] axis -1 is 2 in a, 3 in b: they do not broadcast (a: (2,), b: (3,))"),
    (lambda t: tg.where(t(2) > 0, t(3), t(3)), ValueError,
     "[where] axis -1 is 2 in condition, 3 in a: they do not broadcast "
     "(condition: (2,), a: (3,), b: (3,))"),
    (lambda t: tg.equal(t(2, 3), t(4)), ValueError, "[equal] axis -1 is 3 in a, 4 in b"),
    (lambda t: tg.clip(t(3), min=t(2)), ValueError, "[clip] "),
    (lambda t: tg.clip(t(3)), ValueError, "[clip] both min and max are None"),
    (lambda t: tg.exp("text"), TypeError, "[exp] x is a str, expected a Tensor"),
    (lambda t: tg.add(t(2), "text"), TypeError, "[add] b is a str, expected a Tensor"),
    (lambda t: tg.multiply(t(2), [1.0, 2.0]), TypeError, "[multiply] b is a list, expected"),
    (lambda t: tg.exp(), TypeError, "[exp] x is missing; it takes x"),
    (lambda t: tg.add(t(2)), TypeError, "[add] b is missing; it takes a, b"),
    (lambda t: tg.exp(t(2), 1), TypeError, "[exp] got 2 arguments; it takes x"),
    (lambda t: tg.elu(t(2), beta=2), TypeError, "[elu] unexpected argument 'beta'; it takes x, al"),
    (lambda t: tg.bitwise_and(t(2), t(2)), TypeError, "[bitwise_and] "),
    (lambda t: tg.invert(t(2)), TypeError, "[invert] "),
    (lambda t: tg.round(t(2), decimals="x"), TypeError, "[round] "),
    (lambda t: tg.exp(t.of(["a"]) if not t.tensors else "a"), TypeError, "[exp] "),
    (lambda t: tg.exp(None), TypeError, "[exp] x is a NoneType, expected"),
    (lambda t: tg.add(t(2), None), TypeError, "[add] "),
    (lambda t: tg.relu(None), TypeError, "[relu] x is a NoneType, expected"),
    # Reductions
    *(
        (lambda t, f=f: f(t(2, 3), axis=2), IndexError,
         f"[{f.__name__}] axis 2 is out of range for a tensor with 2 axes, expected -2 to 1")
        for f in (tg.sum, tg.mean, tg.max, tg.min, tg.prod, tg.var, tg.any, tg.all, tg.argmax,
                  tg.argmin, tg.cumsum, tg.norm, tg.logsumexp, tg.softmax, tg.log_softmax, tg.flip,
                  tg.sort, tg.argsort, tg.squeeze)
    ),
    (lambda t: tg.std(t(2, 3), axis=2), IndexError, "[std] axis 2 is out of range for a tensor"),
    *(
        (lambda t, f=f: f(t(2, 3), axis=(0, -2)), ValueError,
         f"[{f.__name__}] axis (0, -2) names an axis twice")
        for f in (tg.sum, tg.mean, tg.max, tg.min, tg.prod, tg.var, tg.any, tg.all, tg.norm)
    ),
    *(
        (lambda t, f=f: f(t(2, 3), axis=0.5), TypeError, f"[{f.__name__}] axis is 0.5, expected an")
        for f in (tg.sum, tg.mean, tg.max, tg.softmax, tg.sort, tg.cumsum)
    ),
    (lambda t: tg.sum(t(2, 3), axis="x"), TypeError, "[sum] axis is 'x', expected an integer"),
    (lambda t: [tg.mean(t(2, 3), axis=axis) for axis in (1, 1.0)], TypeError,
     "[mean] axis is 1.0, expected an integer"),  # although what 1 is was just remembered
    (lambda t: tg.sum(t(), axis=1), IndexError, "[sum] axis 1 is out of range for a tensor with 0"),
    (lambda t: tg.max(t(0, 3), axis=0), ValueError, "[max] "),
    (lambda t: tg.min(t(0)), ValueError, "[min] "),
    (lambda t: tg.argmax(t(0)), ValueError, "[argmax] "),
    (lambda t: tg.argmax(t(2, 3), axis=(0, 1)), TypeError, "[argmax] "),
    (lambda t: tg.mean(t(0, 3), axis=0), ValueError, "[mean] of no elements has no value"),
    (lambda t: tg.var(t(2, 3), axis=0, ddof=2), ValueError, "[var] 2 elements with ddof=2"),
    (lambda t: tg.norm(t(2), ord=float("nan")), ValueError, "[norm] ord is nan, expected a number"),
    (lambda t: tg.norm(t(2), ord=True), ValueError, "[norm] ord is True, expected a number"),
    (lambda t: tg.norm(t(2), ord="fro"), ValueError, "[norm] ord is 'fro', expected a number, inf"),
    (lambda t: tg.var(t(2), ddof=-1), ValueError, "[var] ddof is -1, expected a number of at"),
    (lambda t: tg.std(t(2), ddof="a"), ValueError, "[std] ddof is 'a', expected a number of"),
    (lambda t: tg.softmax(t(), axis=1), IndexError, "[softmax] axis 1 is out of range for a"),
    (lambda t: tg.log_softmax(t(), axis=None), TypeError, "[log_softmax] axis is None, expected"),
    (lambda t: tg.cumsum(t(), axis=0), IndexError, "[cumsum] axis 0 is out of range for a tensor"),
    (lambda t: tg.cummax(t(), axis=1), IndexError, "[cummax] axis 1 is out of range for a tensor"),
    (lambda t: tg.logsumexp(t(0)), ValueError, "[logsumexp] "),
    (lambda t: softmax_cross_entropy(t(2, 3), t.of([0, 3])), IndexError,
     "[cross_entropy] labels contain 3, expected 0 to 2"),
    (lambda t: softmax_cross_entropy(t(2, 3), t.of([0, -1])), IndexError,
     "[cross_entropy] labels contain -1, expected 0 to 2"),
    (lambda t: softmax_cross_entropy(t(2, 3), t(2)), TypeError,
     "[cross_entropy] labels have dtype float32, expected integers"),
    (lambda t: softmax_cross_entropy(t(2, 3), t.of([0])), ValueError,
     "[cross_entropy] logits are (2, 3), labels are (1,), expected (n, classes) and (n,)"),
    (lambda t: softmax_cross_entropy(t(2, 3, 4), t.of([0, 1])), ValueError,
     "[cross_entropy] logits are (2, 3, 4), labels are (2,)"),
    # Shape
    (lambda t: tg.reshape(t(2, 3), (4, 2)), ValueError,
     "[reshape] 6 elements do not fill shape (4, 2) (x: (2, 3))"),
    (lambda t: tg.reshape(t(2, 3), (-1, 4)), ValueError, "[reshape] 6 elements do not fill shape"),
    (lambda t: tg.reshape(t(2, 3), (-1, -1)), ValueError, "[reshape] "),
    (lambda t: tg.reshape(t(0, 3), (-1, 0)), ValueError,
     "[reshape] 0 elements do not fill shape (-1, 0) (x: (0, 3))"),
    (lambda t: tg.reshape(t(2, 3), (-2, -3)), ValueError, "[reshape] 6 elements do not fill shape"),
    (lambda t: tg.reshape(t(2, 3), (2, 3.0)), TypeError, "[reshape] "),
    (lambda t: tg.reshape(t(2, 3), "x"), (ValueError, TypeError), "[reshape] "),
    (lambda t: tg.transpose(t(2, 3), (0,)), ValueError,
     "[transpose] axes are (0,), expected an order of all 2 axes"),
    (lambda t: tg.transpose(t(2, 3), (0, 2)), IndexError, "[transpose] axis 2 is out of range"),
    (lambda t: tg.transpose(t(2, 3), (0, 0)), ValueError, "[transpose] axis (0, 0) names an axis"),
    (lambda t: tg.swapaxes(t(2, 3), 0, 5), IndexError, "[swapaxes] axis 5 is out of range"),
    (lambda t: tg.moveaxis(t(2, 3), (0, 1), 0), ValueError, "[moveaxis] 2 source axes, 1 destinat"),
    (lambda t: tg.moveaxis(t(2, 3), 3, 0), IndexError, "[moveaxis] axis 3 is out of range"),
    (lambda t: tg.expand_dims(t(2, 3), 4), IndexError, "[expand_dims] axis 4 is out of range"),
    (lambda t: tg.expand_dims(t(2, 3), (0, 0)), ValueError, "[expand_dims] axis (0, 0) names an"),
    (lambda t: tg.squeeze(t(2, 3), 1), ValueError, "[squeeze] axis 1 has length 3, expected 1"),
    (lambda t: tg.flatten(t(2, 3), 1, 0), ValueError, "[flatten] start_axis 1 comes after"),
    (lambda t: tg.flatten(t(2, 3), 2), IndexError, "[flatten] axis 2 is out of range"),
    (lambda t: tg.broadcast_to(t(2, 3), shape=(2, 4)), ValueError, "[broadcast_to] "),
    (lambda t: tg.broadcast_to(t(2, 3), shape=(3,)), ValueError, "[broadcast_to] "),
    (lambda t: sum_to(t(2, 3), shape=(4,)), ValueError, "[sum_to] "),
    (lambda t: tg.concatenate([t(2, 3), t(3, 2)]), ValueError,
     "[concatenate] all axes but axis 0 must agree: xs[0] is (2, 3), xs[1] is (3, 2)"),
    (lambda t: tg.concatenate([t(2, 3), t(2)]), ValueError, "[concatenate] all axes but axis 0"),
    (lambda t: tg.concatenate([]), TypeError, "[concatenate] expected a non-empty list of tensors"),
    (lambda t: tg.concatenate(t(2, 3)), TypeError, "[concatenate] expected a non-empty list"),
    (lambda t: tg.concatenate([t(), t()]), IndexError, "[concatenate] axis 0 is out of range"),
    (lambda t: tg.concatenate([t(2), "x"]), TypeError, "[concatenate] xs[1] is a str, expected a"),
    (lambda t: tg.concatenate([t(2), 1.0]), TypeError, "[concatenate] xs[1] is "),
    (lambda t: tg.concatenate([t(2, 3), t(2, 3)], axis=2), IndexError, "[concatenate] axis 2 is"),
    (lambda t: tg.stack([t(2), t(3)]), ValueError, "[stack] xs[0] is (2,), xs[1] is (3,)"),
    (lambda t: tg.stack([]), TypeError, "[stack] expected a non-empty list of tensors"),
    (lambda t: tg.stack([t(2), t(2)], axis=3), IndexError, "[stack] axis 3 is out of range"),
    (lambda t: tg.stack([1.0, 2.0]), TypeError, "[stack] xs[0] is a float, expected a Tensor"),
    (lambda t: tg.split(t(5), 2), ValueError, "[split] axis 0 has length 5, which 2 sections do"),
    (lambda t: tg.split(t(5), 0), ValueError, "[split] axis 0 has length 5, which 0 sections do"),
    (lambda t: tg.split(t(5), [3, 1]), ValueError, "[split] indices are [3, 1], expected rising"),
    (lambda t: tg.split(t(5), 5, 1), IndexError, "[split] axis 1 is out of range"),
    (lambda t: tg.split(t(5), 2.5), TypeError, "[split] "),
    (lambda t: tg.roll(t(2, 3), shift=1, axis=3), IndexError, "[roll] axis 3 is out of "),
    (lambda t: tg.roll(t(2, 3), shift=(1, 2, 3), axis=(0, 1)), ValueError, "[roll] "),
    (lambda t: tg.roll(t(2, 3), shift=0.5), TypeError, "[roll] "),
    (lambda t: tg.tile(t(2, 3), -1), ValueError, "[tile] "),
    (lambda t: tg.tile(t(2, 3), 1.5), TypeError, "[tile] "),
    (lambda t: tg.repeat(t(2, 3), -1, 0), ValueError, "[repeat] "),
    (lambda t: tg.repeat(t(3, 2), [1, 2], 0), ValueError, "[repeat] "),
    (lambda t: tg.repeat(t(3, 2), 1.5, 0), (ValueError, TypeError), "[repeat] "),
    (lambda t: tg.repeat(t(3, 2), 2, 2), IndexError, "[repeat] axis 2 is out of range"),
    # Indexing
    (lambda t: getitem(t(2, 3), 2), IndexError, "[getitem] "),
    (lambda t: getitem(t(2, 3), (0, 0, 0)), IndexError, "[getitem] "),
    (lambda t: getitem(t(2, 3), [0, 2]), IndexError,
     "[getitem] index 2 is out of range for an axis of length 2"),
    (lambda t: getitem(t(2, 3), (slice(None), [0, -4])), IndexError,
     "[getitem] index -4 is out of range for an axis of length 3"),
    (lambda t: getitem(t(2, 3), t(2)), IndexError, "[getitem] an index has dtype float32,"),
    (lambda t: getitem(t(2, 3), 1.0), IndexError, "[getitem] "),
    (lambda t: getitem(t(2, 3), "x"), IndexError, "[getitem] "),
    (lambda t: getitem(t(2, 3), t(3) > 0), IndexError, "[getitem] "),
    (lambda t: getitem(t(2, 3), ([0, 1], [0, 1, 2])), IndexError, "[getitem] "),
    (lambda t: getitem(t(2, 3), (..., ...)), IndexError, "[getitem] "),
    (lambda t: tg.take(t(2, 3), t.of([5]), 1), IndexError, "[take] index 5 is out of range for an"),
    (lambda t: tg.take(t(2, 3), t.of([0]), 2), IndexError, "[take] axis 2 is out of range"),
    (lambda t: tg.take(t(2, 3), t(2), 1), IndexError, "[take] "),
    (lambda t: tg.take_along_axis(t(2, 3), t.of([0]), 1), ValueError,
     "[take_along_axis] indices "),
    (lambda t: tg.take_along_axis(t(2, 3), t.of([[5], [0]]), 1), IndexError,
     "[take_along_axis] index 5 is out of range"),
    (lambda t: tg.take_along_axis(t(3, 4), t.of([[0], [0]]), 1), (ValueError, IndexError),
     "[take_along_axis] "),
    (lambda t: tg.scatter_add(t(3), t.of([3]), t(1)), IndexError,
     "[scatter_add] index 3 is out of range for an axis of length 3"),
    (lambda t: tg.scatter_add(t(3), t.of([0, 1]), t(1)), ValueError,
     "[scatter_add] indices are (2,), updates are (1,), expected "),
    (lambda t: tg.scatter_add(t(3, 2), t.of([0]), t(1)), ValueError, "[scatter_add] indices "),
    (lambda t: tg.scatter_add(t(2, 2), t.of([[0, 0, 0]]), t(1, 3)), (ValueError, IndexError),
     "[scatter_add] "),
    (lambda t: tg.embedding(t(5, 2), t.of([5])), IndexError, "[embedding] ids contain 5,"),
    (lambda t: tg.embedding(t(5, 2), t.of([-1])), IndexError, "[embedding] ids contain -1,"),
    (lambda t: tg.embedding(t(5, 2), t(2)), TypeError, "[embedding] ids have dtype float32,"),
    (lambda t: tg.embedding(t(), t.of([0])), ValueError, "[embedding] "),
    (lambda t: tg.one_hot(t.of([0, 3]), 3), IndexError, "[one_hot] labels contain 3, expected 0"),
    (lambda t: tg.one_hot(t(2), 3), TypeError, "[one_hot] labels have dtype float32, expected"),
    (lambda t: tg.triu(t()), ValueError, "[triu] x is "),
    (lambda t: tg.topk(t(3), 4), ValueError, "[topk] k is 4, expected 0 to 3, the axis's length"),
    (lambda t: tg.topk(t(3), -1), ValueError, "[topk] k is -1, expected 0 to 3"),
    (lambda t: tg.topk(t(3), 1, 1), IndexError, "[topk] axis 1 is out of range"),
    (lambda t: tg.topk(t(3), 1.5), TypeError, "[topk] "),
    (lambda t: tg.sort(t()), (ValueError, IndexError), "[sort] "),
]  # fmt: skip

MORE_ERRORS = [
    # Linear algebra
    (lambda t: tg.matmul(t(2, 3), t(4, 5)), ValueError,
     "[matmul] the last axis of a has length 3, the second last axis of b 4 (a: (2, 3), b: (4,"),
    (lambda t: tg.matmul(t(3), t(4)), ValueError, "[matmul] the last axis of a has length 3, the"),
    (lambda t: tg.matmul(t(), t(3)), ValueError, "[matmul] a number has no axis to sum over"),
    (lambda t: tg.matmul(t(3), 2.0), ValueError, "[matmul] a number has no axis to sum over"),
    (lambda t: tg.matmul(t(2, 3, 4), t(5, 4, 2)), ValueError,
     "[matmul] axis -3 is 2 in a, 5 in b: they do not broadcast (a: (2, 3, 4), b: (5, 4, 2))"),
    (lambda t: tg.linear(t(2, 3), t(4, 5)), ValueError,
     "[linear] x has 3 features, weight expects 4 (x: (2, 3), weight: (4, 5))"),
    (lambda t: tg.linear(t(), t(4, 5)), ValueError, "[linear] x has no features, weight expects 4"),
    (lambda t: tg.linear(t(2, 3), t(3)), ValueError, "[linear] "),
    (lambda t: tg.linear(t(2, 3), t()), ValueError, "[linear] "),
    (lambda t: tg.linear(t(2, 3), t(3, 4), t(3)), ValueError, "[linear] bias is (3,), expected"),
    (lambda t: tg.linear(t(2, 3), 2.0), TypeError, "[linear] weight is a float, expected"),
    (lambda t: tg.dot(t(2, 3), t(2)), ValueError, "[dot] the last axis of a has length 3"),
    (lambda t: tg.dot(t(2, 3), t(2, 4, 5)), ValueError, "[dot] the last axis of a has"),
    (lambda t: tg.einsum("ij,jk->ik", t(2, 3)), ValueError,
     "[einsum] 'ij,jk->ik' names 2 operands, got 1"),
    (lambda t: tg.einsum("ij,jk->ik", t(2, 3), t(4, 5)), ValueError,
     "[einsum] index 'j' of 'ij,jk->ik' has lengths 3 and 4"),
    (lambda t: tg.einsum("ij->k", t(2, 3)), ValueError, "[einsum] the output of 'ij->k' repeats"),
    (lambda t: tg.einsum("ij->ii", t(2, 3)), ValueError, "[einsum] the output of 'ij->ii' repeats"),
    (lambda t: tg.einsum("ijk->i", t(2, 3)), ValueError, "[einsum] 'ijk->i' names 3 axes of an"),
    (lambda t: tg.einsum("i1->i", t(2, 3)), ValueError, "[einsum] "),
    (lambda t: tg.einsum("...ijk->...", t(2, 3)), ValueError, "[einsum] '...ijk->...' does not"),
    (lambda t: tg.einsum("ii->i", t(2, 3)), ValueError, "[einsum] index 'i' of 'ii->i' has"),
    (lambda t: tg.einsum("ij->i->j", t(2, 3)), ValueError, "[einsum] "),
    (lambda t: tg.einsum(t(2, 3)), TypeError, "[einsum] expected a subscripts string, then"),
    (lambda t: tg.einsum("ij"), TypeError, "[einsum] expected a subscripts string, then tensors"),
    (lambda t: tg.einsum("ij", [[1.0]]), TypeError, "[einsum] "),
    (lambda t: tg.inv(t(2, 3)), ValueError, "[inv] x is (2, 3), expected square matrices (...,"),
    (lambda t: tg.inv(t(3)), ValueError, "[inv] x is (3,), expected square matrices"),
    (lambda t: tg.inv(t(2, 2)), ValueError, "[inv] "),
    (lambda t: tg.solve(t(2, 2), t(2, 1)), ValueError, "[solve] "),
    (lambda t: tg.solve(t(2, 3), t(2, 1)), ValueError, "[solve] "),
    (lambda t: tg.solve(t(2, 2), t(3, 1)), ValueError, "[solve] b is (3, 1), expected (..., 2, k)"),
    (lambda t: tg.solve(t(2, 2), t(3)), ValueError, "[solve] b is (3,), expected (..., 2, k) or ("),
    (lambda t: tg.solve(t(2, 2), t()), ValueError, "[solve] b is (), expected (..., 2, k)"),
    (lambda t: tg.solve(t(2, 3), t(2)), ValueError, "[solve] a is (2, 3), expected square matrice"),
    (lambda t: tg.cholesky(t(2, 3)), ValueError, "[cholesky] x is (2, 3), expected square"),
    (lambda t: tg.cholesky(t.of(-np.eye(2))), ValueError, "[cholesky] "),
    (lambda t: tg.slogdet(t(2, 3)), ValueError, "[slogdet] x is (2, 3), expected square"),
    # Neural
    (lambda t: tg.layer_norm(t(2, 3), eps=-1.0), ValueError,
     "[layer_norm] eps is -1.0, expected a number of at least 0"),
    (lambda t: tg.rms_norm(t(2, 3), eps=float("nan")), ValueError,
     "[rms_norm] eps is nan, expected a number of at least 0"),
    (lambda t: tg.batch_norm(t(2, 3), eps="a"), TypeError,
     "[batch_norm] eps is 'a', expected a number of at least 0"),
    (lambda t: tg.group_norm(t(2, 4, 3), groups=2, eps=-1), ValueError,
     "[group_norm] eps is -1, expected a number of at least 0"),
    (lambda t: tg.einsum("ij...->...ij...", t(2, 3)), ValueError,
     "[einsum] the output of 'ij...->...ij...' repeats or invents an index"),
    (lambda t: tg.layer_norm(t(2, 3), t(4)), ValueError,
     "[layer_norm] weight is (4,), expected the last axes of x: (2, 3)"),
    (lambda t: tg.layer_norm(t(2, 3), t(3), t(2)), ValueError,
     "[layer_norm] weight is (3,), bias is (2,)"),
    (lambda t: tg.layer_norm(t()), ValueError, "[layer_norm] "),
    (lambda t: tg.layer_norm(t(3), t(2, 3)), ValueError, "[layer_norm] weight is (2, 3), expected"),
    (lambda t: tg.rms_norm(t(2, 3), t(2)), ValueError, "[rms_norm] weight is (2,), expected the"),
    (lambda t: tg.batch_norm(t(4, 3), t(4)), ValueError,
     "[batch_norm] x has 3 channels, a parameter has shape (4,) (x: (4, 3))"),
    (lambda t: tg.batch_norm(t(3)), ValueError, "[batch_norm] x is (3,), expected (N, C, ...)"),
    (lambda t: tg.batch_norm(t(1, 3)), ValueError, "[batch_norm] x is (1, 3): one value for each"),
    (lambda t: normalize_channels(t(4, 3), t(4), t(3)), ValueError, "[batch_norm] x has 3"),
    (lambda t: tg.group_norm(t(2, 6, 2), groups=4), ValueError,
     "[group_norm] 4 groups do not divide 6 channels (x: (2, 6, 2))"),
    (lambda t: tg.group_norm(t(2, 6, 2), groups=0), ValueError, "[group_norm] groups is 0, "),
    (lambda t: tg.group_norm(t(2, 6, 2)), TypeError, "[group_norm] "),
    (lambda t: tg.dropout(t(3), 1.5), ValueError, "[dropout] p is 1.5, expected a probability"),
    (lambda t: tg.dropout(t(3), -0.1), ValueError, "[dropout] p is -0.1, expected a probability"),
    (lambda t: tg.dropout(t(3), float("nan")), ValueError, "[dropout] p is nan, expected a"),
    # Functions that need a tensor say so when they get something else.
    *(
        (lambda t, f=f, args=args: f(*args), TypeError,
         f"[{f.__name__}] x is a list, expected a Tensor")
        for f, args in (
            (tg.sum, ([1.0, 2.0],)),
            (tg.std, ([1.0, 2.0],)),
            (tg.squeeze, ([1.0],)),
            (tg.flatten, ([1.0],)),
            (tg.transpose, ([1.0],)),
            (tg.swapaxes, ([1.0], 0, 0)),
            (tg.moveaxis, ([1.0], 0, 0)),
            (tg.expand_dims, ([1.0], 0)),
            (tg.tile, ([1.0], 2)),
            (tg.take, ([1.0], [0])),
            (tg.repeat, ([1.0], 2)),
            (tg.cumsum, ([1.0],)),
            (tg.sort, ([1.0, 2.0],)),
            (tg.topk, ([1.0, 2.0], 1)),
            (tg.split, ([1.0, 2.0], 2)),
            (tg.logsumexp, ([1.0, 2.0],)),
            (tg.conv2d, ([1.0, 2.0], np.ones((1, 1, 1, 1)))),
            (tg.max_pool2d, ([1.0, 2.0], 2)),
            (tg.dropout, ([1.0, 2.0],)),
        )
    ),
    (lambda t: tg.embedding([[1.0]], t.of([0])), TypeError, "[embedding] weight is a list,"),
    (lambda t: ops.to(t(2), "gpu") if t.tensors else ops.to(tg.ones(2), "gpu"), ValueError,
     "[to] 'gpu' is no dtype and no device"),
]  # fmt: skip

ROWS = ERRORS + MORE_ERRORS + errors_linalg.ERRORS + errors_windows.ERRORS


def number(row):
    return re.sub(r"\W+", "_", row[2])[:50].strip("_")


def op_named(call, exception, text):
    """The op that a message names first: `[sort] axis is ...` is the text of sort."""
    return text[1:].partition("]")[0]


@pytest.mark.parametrize("tensors", [True, False], ids=["tensors", "arrays"])
@grouped("call exception text", ROWS, by=op_named)
def test_error(call, exception, text, tensors):
    with pytest.raises(exception) as caught:
        call(As(tensors))
    assert str(caught.value).startswith(text), f"got {caught.value}"


CREATION = [
    (lambda: tg.zeros((2, -1)), ValueError, "[zeros] shape is (2, -1), expected non-negative int"),
    (lambda: tg.ones(1.5), ValueError, "[ones] shape is 1.5, expected non-negative integers"),
    (lambda: tg.full("x", 1.0), ValueError, "[full] shape is 'x', expected non-negative integers"),
    (lambda: tg.rand((2,), dtype=np.int64), TypeError, "[rand] dtype is int64, expected a"),
    (lambda: tg.randn((2, -1)), ValueError, "[randn] shape is (2, -1), expected non-negative"),
    (lambda: tg.randint(3, 3, (2,)), ValueError, "[randint] high is 3, expected more than low, 3"),
    (lambda: tg.zeros(2, dtype="int64", requires_grad=True), TypeError, "[requires_grad] the"),
    (lambda: tg.seed(-1), ValueError, "[seed] n is -1, expected an integer from 0"),
    (lambda: tg.zeros(2, device="tpu"), ValueError, "[device] unknown device 'tpu', expected"),
    (lambda: tg.arange(0, 3, 0), ValueError, "[arange] "),
    (lambda: tg.linspace(0, 1, -1), ValueError, "[linspace] "),
    (lambda: tg.eye(-1), ValueError, "[eye] "),
]


@pytest.mark.parametrize(("call", "exception", "text"), CREATION, ids=map(number, CREATION))
def test_creation_error(call, exception, text):
    with pytest.raises(exception) as caught:
        call()
    assert str(caught.value).startswith(text), f"got {caught.value}"


def test_numpy_function_without_op_is_refused_while_a_gradient_is_recorded():
    x = tg.ones(3, requires_grad=True)
    with pytest.raises(TypeError, match=r"^\[roots\] has no op for Tensors, .*use ops of .*numpy"):
        np.roots(x)
    with pytest.raises(TypeError, match=r"^\[subtract\.reduce\] "):
        np.subtract.reduce(x)


def test_every_message_names_whole_shapes_with_numpy_scalars():
    with pytest.raises(ValueError, match=r"^\[add\] .*\(a: \(2,\), b: \(3,\)\)$"):
        np.ones(2) + tg.ones(3)
