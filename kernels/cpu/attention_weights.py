"""The weights of a block of attention, from its scores (keys, queries): see attention_blocks.py."""

import math

from .compile import jit
from .each import by_array
from .simd import body, inside, lanes, load_some, store_some
from .vector_math import exp, exp_of_difference


@jit
def raise_peak(peak, scores):
    """peak = max(peak, the highest score of each query)."""
    for j in range(scores.shape[0]):
        row = scores[j]
        for i in range(row.size):
            peak[i] = row[i] if row[i] > peak[i] else peak[i]


@inside
def _exponentiate_some(scores, at, shift, i, count):
    """exp(scores - shift) of `count` neighbours, in place and returned."""
    e = exp_of_difference(load_some(scores, at, 0, count) - load_some(shift, i, 0, count))
    store_some(scores, at, e, 0, count)
    return e


@body
def _exponentiate_numbers(scores, peak, total):
    for j in range(scores.shape[0]):
        row = scores[j]
        for i in range(row.size):
            row[i] = exp(row[i] - peak[i])
            total[i] += row[i]


@body
def _exponentiate_vectors(scores, peak, total):
    size, (keys, rows) = lanes(scores), scores.shape
    for j in range(keys):
        for i in range(0, rows, size):
            count = min(size, rows - i)
            e = _exponentiate_some(scores, j * rows + i, peak, i, count)
            store_some(total, i, load_some(total, i, 0, count) + e, 0, count)


# exp(scores - peak) in place, and added to each query's total
exponentiate = by_array(_exponentiate_numbers, _exponentiate_vectors)


@jit
def rescale(mixed, total, before, peak):
    """What was summed up below peaks of `before`, now below `peak`."""
    for i in range(total.size):
        factor = exp(before[i] - peak[i])
        total[i] *= factor
        for c in range(mixed.shape[1]):
            mixed[i, c] *= factor


@jit
def finish(mixed, lse, total, peak):
    """Divide by the totals; a query that looks nowhere has zeros, and an lse of 0."""
    zero, one = lse.dtype.type(0), lse.dtype.type(1)
    for i in range(total.size):
        lse[i] = peak[i] + math.log(total[i]) if total[i] != zero else zero
        factor = mixed.dtype.type(one / total[i]) if total[i] != zero else zero
        for c in range(mixed.shape[1]):
            mixed[i, c] *= factor


@body
def _weigh_numbers(scores, lse):
    for j in range(scores.shape[0]):
        row = scores[j]
        for i in range(row.size):
            row[i] = exp(row[i] - lse[i])


@body
def _weigh_vectors(scores, lse):
    size, (keys, rows) = lanes(scores), scores.shape
    for j in range(keys):
        for i in range(0, rows, size):
            _exponentiate_some(scores, j * rows + i, lse, i, min(size, rows - i))


# exp(scores - lse) in place
weigh = by_array(_weigh_numbers, _weigh_vectors)


@jit
def differentiate(weights, slopes, along, scale):
    """slopes = weights * (slopes - along) * scale, from the weights' gradients to the scores'."""
    scale = weights.dtype.type(scale)
    for j in range(weights.shape[0]):
        row, slope = weights[j], slopes[j]
        for i in range(row.size):
            slope[i] = row[i] * (slope[i] - along[i]) * scale
