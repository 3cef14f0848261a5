"""From the scores of a block of attention, (keys, queries), to its weights: see blocks.py."""

import math

from ..machine.compile import jit
from ..machine.simd import body, lanes, load_some, store_some
from ..math.each import by_array
from ..math.vector_math import exp, exp_of_difference, minus


@body
def raise_peak(peak, scores):
    """peak = max(peak, the highest score of each query)."""
    for j in range(scores.shape[0]):
        row = scores[j]
        for i in range(row.size):
            peak[i] = row[i] if row[i] > peak[i] else peak[i]


@body
def _exponentiate_scalars(scores, peak, total):
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
            at = j * rows + i
            e = exp_of_difference(load_some(scores, at, 0, count) - load_some(peak, i, 0, count))
            store_some(scores, at, e, 0, count)
            store_some(total, i, load_some(total, i, 0, count) + e, 0, count)


# scores = exp(scores - peak), which are also added to each query's total
exponentiate = by_array(_exponentiate_scalars, _exponentiate_vectors)


@body
def rescale(mixed, total, before, peak):
    """Turn sums of exp(score - before), and of values weighted by it, to exp(score - peak)."""
    for i in range(total.size):
        factor = exp(before[i] - peak[i])
        total[i] *= factor
        for c in range(mixed.shape[1]):
            mixed[i, c] *= factor


@body
def move_mixed(mixed, peak, whole, below):
    """whole += mixed, and the peak of `whole`, `below`, becomes that of `mixed`, `peak`."""
    for i in range(peak.size):
        factor = math.exp(below[i] - peak[i])
        below[i] = peak[i]
        for c in range(mixed.shape[1]):
            whole[i, c] = whole[i, c] * factor + mixed[i, c]


@jit
def move(source, target):
    """target += source, and source = 0."""
    for i in range(source.shape[0]):
        for c in range(source.shape[1]):
            target[i, c] += source[i, c]
            source[i, c] = 0


@jit
def finish(mixed, total, peak, peaks, logs):
    """Divide `mixed` by the totals, and fill in the `peaks` and `logs` that `weigh` takes.

    A query that looks at no key gets zeros in all of them.
    """
    for i in range(total.size):
        looks = total[i] != 0
        peaks[i] = peak[i] if looks else 0
        logs[i] = math.log(logs.dtype.type(total[i])) if looks else 0
        factor = mixed.dtype.type(1 / total[i] if looks else 0)
        for c in range(mixed.shape[1]):
            mixed[i, c] *= factor


@body
def _weigh_scalars(scores, peaks, logs):
    for j in range(scores.shape[0]):
        row = scores[j]
        for i in range(row.size):
            row[i] = exp(minus(minus(row[i], peaks[i]), logs[i]))


@body
def _weigh_vectors(scores, peaks, logs):
    size, (keys, rows) = lanes(scores), scores.shape
    for j in range(keys):
        for i in range(0, rows, size):
            at, count = j * rows + i, min(size, rows - i)
            below = load_some(scores, at, 0, count) - load_some(peaks, i, 0, count)
            e = exp_of_difference(below - load_some(logs, i, 0, count))
            store_some(scores, at, e, 0, count)


# scores = exp(scores - peaks - logs): the weights again, from the highest score of each query and
# the logarithm of its total. These are subtracted one by one: in the rounded sum of a high peak and
# a logarithm, the logarithm would be lost.
weigh = by_array(_weigh_scalars, _weigh_vectors)


@body
def differentiate(weights, slopes, along, scale):
    """slopes = weights * (slopes - along) * scale.

    This turns the gradients with respect to the weights into those with respect to the scores.
    """
    scale = weights.dtype.type(scale)
    for j in range(weights.shape[0]):
        row, slope = weights[j], slopes[j]
        for i in range(row.size):
            slope[i] = row[i] * (slope[i] - along[i]) * scale
