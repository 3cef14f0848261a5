"""What losses share: the checks of predictions, targets and weights, and the reduction."""

import math

import numpy as np

from tinygrad_like import backend
from tinygrad_like.backend import FLOATING, is_half
from tinygrad_like.engine import Tensor, all_examples, astype, broadcast_to
from tinygrad_like.engine.errors import describe
from tinygrad_like.ops.elements.compare import equal, logical_and
from tinygrad_like.ops.elements.elementwise import where
from tinygrad_like.ops.reductions.reduce import mean, sum


def raw(x):
    """The array of a Tensor, or an array itself."""
    return x._array if isinstance(x, Tensor) else x


def as_array_or_tensor(target, prediction):
    """A target that is a number, a list or NumPy's as an array beside the prediction."""
    if isinstance(target, np.ndarray):
        return backend.of(raw(prediction)).from_host(target)
    if isinstance(target, Tensor) or backend.of(target) is not None:
        return target
    device = backend.of(raw(prediction)).device
    array = Tensor(target, device=device)._array
    if array.dtype.kind in FLOATING and array.dtype != prediction.dtype:
        # From the numbers themselves, which float32 has rounded.
        return Tensor(target, dtype=prediction.dtype, device=device)._array
    return array


def check_floating(name, what, x):
    """Raise TypeError unless x is a floating Tensor or array."""
    if backend.of(raw(x)) is None:
        raise TypeError(f"[{name}] {what} is {describe(x)}, expected a Tensor or an array")
    if x.dtype.kind not in FLOATING:
        raise TypeError(f"[{name}] {what} has dtype {x.dtype}, expected a floating one")


def matched(name, what, prediction, other, target):
    """The target in the dtype of the prediction; both must have one shape."""
    check_floating(name, what, prediction)
    target = as_array_or_tensor(target, prediction)
    if target.shape != prediction.shape:
        fix = ""
        if _without_ones(target.shape) == _without_ones(prediction.shape):
            fix = f"; use {other}.reshape{prediction.shape}"
        raise ValueError(
            f"[{name}] {what} is {prediction.shape}, {other} is {target.shape}, expected one "
            f"shape (they are not broadcast){fix}"
        )
    return in_dtype(target, prediction.dtype)


def in_dtype(x, dtype):
    """x itself, or cast to the dtype."""
    return x if x.dtype == dtype else astype(x, dtype=dtype)


def _without_ones(shape):
    return [n for n in shape if n != 1]


def check_probabilities(name, what, x, slack=1e-3, hint=""):
    """Raise ValueError for values outside 0 to 1; `slack` forgives the rounding of a mixture."""
    x = all_examples(raw(x))
    lowest, highest = (x.min(), x.max()) if x.size else (0, 0)
    if lowest < -slack or highest > 1 + slack:
        bad = lowest if lowest < -slack else highest
        raise ValueError(f"[{name}] {what} contains {bad}, expected 0 to 1{hint}")


def check_signs(name, what, x):
    """Raise ValueError unless all elements are 1 or -1."""
    x = all_examples(raw(x))
    strays = x[(x != 1) & (x != -1) & (x == x)]
    if strays.size:
        fix = f"; of 0 and 1 make 2 * {what} - 1" if (strays == 0).all() else ""
        raise ValueError(f"[{name}] {what} contains {strays[0]}, expected 1 and -1{fix}")


def weight_beside(name, what, weight, like):
    """A weight in the dtype of `like`, whose shape it must broadcast to; None stays None."""
    if weight is None:
        return None
    weight = in_dtype(as_array_or_tensor(weight, like), like.dtype)
    try:
        fits = np.broadcast_shapes(weight.shape, like.shape) == tuple(like.shape)
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"[{name}] {what} is {weight.shape}, expected a shape that broadcasts to {like.shape}"
        )
    return weight


def weight_of_classes(name, weight, scores):
    """The weights of classes in the dtype of the scores, one for each of their last axis."""
    weight = in_dtype(as_array_or_tensor(weight, scores), scores.dtype)
    if weight.shape != scores.shape[-1:]:
        raise ValueError(
            f"[{name}] weight is {weight.shape}, expected one for each class, {scores.shape[-1:]}"
        )
    return weight


def check_label_shape(name, what, scores, labels):
    """Raise ValueError or TypeError unless labels are integers, one for each row of scores."""
    fits = scores.ndim > 0 and labels.shape == scores.shape[:-1]
    if fits and labels.dtype.kind in "iu":
        return
    got = f"[{name}] {what} are {scores.shape}, labels are {labels.shape} of {labels.dtype}"
    if fits or labels.shape == scores.shape:
        wanted = f"expected integers of shape {scores.shape[:-1]}"
        if name == "cross_entropy":
            wanted += f", or floating probabilities of shape {scores.shape}"
        raise TypeError(f"{got}, {wanted}")
    fix = ""
    if scores.ndim > 2 and labels.shape == (scores.shape[0], *scores.shape[2:]):
        fix = f"; classes are the last axis: use moveaxis({what}, 1, -1)"
    elif labels.shape == (*scores.shape[:-1], 1):
        fix = f"; use labels.reshape{scores.shape[:-1]}"
    raise ValueError(f"{got}, expected (..., classes) and (...){fix}")


def shared(share, losses):
    """share * losses, where a share of 0 of an infinite loss is 0."""
    array = all_examples(raw(losses))
    if not backend.of(array).xp.isinf(array).any():
        return share * losses
    nothing = logical_and(equal(share, 0), equal(losses, math.inf))
    return share * where(nothing, 0, losses)


def sum_over(losses, count):
    """The sum of losses divided by a number other than theirs; of half types in float32."""
    wide = astype(losses, dtype=np.float32) if is_half(losses.dtype) else losses
    return in_dtype(sum(wide) / count, losses.dtype)


def weighted_mean(name, losses, weight):
    """The sum of losses, which have their weights already, divided by the sum of the weights."""
    weight = broadcast_to(weight, losses.shape)
    if is_half(losses.dtype):
        weight = astype(weight, dtype=np.float32)
    total = sum(weight)
    if not all_examples(raw(total)).all():
        raise ValueError(
            f"[{name}] the weights add up to 0: there is no mean; skip the batch, or use "
            "reduction='sum'"
        )
    return sum_over(losses, total)


def reduced(name, losses, reduction, expected="'mean', 'sum' or 'none'"):
    """The losses as `reduction` says."""
    if reduction == "mean":
        if losses.size == 0:
            raise ValueError(
                f"[{name}] the batch is empty: there is no mean over losses of shape {losses.shape}"
            )
        return mean(losses)
    if reduction == "sum":
        return sum(losses)
    if reduction == "none":
        return losses
    raise ValueError(f"[{name}] reduction is {reduction!r}, expected {expected}")
