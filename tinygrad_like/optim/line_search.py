"""A line search for the strong Wolfe conditions, with cubic interpolation."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

DECREASE, CURVATURE = 1e-4, 0.9  # c1 and c2 of the conditions


@dataclass
class Point:
    """A point on the line: the step to it, the value there, the gradient, and its slope."""

    step: float
    value: float
    gradient: Any
    slope: float


def strong_wolfe(
    evaluate: Callable[[float], Point], start: Point, step: float, shortest: float, most: int
) -> tuple[Point, int]:
    """A point with value <= start + c1 step slope and |slope| <= c2 |slope of start|.

    Args:
        evaluate: the point at a step. start: that at 0, where the slope is negative.
        step: the first one that is tried.
        shortest: the length of an interval at which the search ends, in steps.
        most: evaluations after the first.

    Returns:
        The best point (it need not meet the conditions when the search ends early), and how many
        were evaluated.

    Source: Nocedal and Wright 2006, "Numerical optimization", algorithms 3.5 and 3.6, with
    Schmidt's safeguards in minFunc, as in PyTorch.
    """
    bracket, count, done = _bracketed(evaluate, start, step, most)
    is_slow, evaluations = False, count + 1
    low, high = (0, 1) if bracket[0].value <= bracket[-1].value else (1, 0)
    while not done and count < most:
        ends = bracket[0].step, bracket[1].step
        if abs(ends[1] - ends[0]) < shortest:
            break
        step, is_slow = _inside(interpolated(*bracket), min(ends), max(ends), is_slow)
        point = evaluate(step)
        count, evaluations = count + 1, evaluations + 1
        if _is_too_high(point, start) or point.value >= bracket[low].value:
            bracket[high] = point
            low, high = (0, 1) if bracket[0].value <= bracket[1].value else (1, 0)
        else:
            if abs(point.slope) <= -CURVATURE * start.slope:
                done = True
            elif point.slope * (bracket[high].step - bracket[low].step) >= 0:
                bracket[high] = bracket[low]
            bracket[low] = point
    return bracket[low if len(bracket) > 1 else 0], evaluations


def _bracketed(evaluate, start, step, most):
    """(the ends of an interval that holds a good point, evaluations after the first, False).

    Or ([a good point], evaluations, True).
    """
    before, point, count = start, evaluate(step), 0
    while count < most:
        if _is_too_high(point, start) or (count > 1 and point.value >= before.value):
            return [before, point], count, False
        if abs(point.slope) <= -CURVATURE * start.slope:
            return [point], count, True
        if point.slope >= 0:
            return [before, point], count, False
        least, largest = point.step + 0.01 * (point.step - before.step), point.step * 10
        step = interpolated(before, point, (least, largest))
        before, point = point, evaluate(step)
        count += 1
    return [start, point], count, False


def _is_too_high(point, start):
    return point.value > start.value + DECREASE * point.step * start.slope


def _inside(step, least, largest, is_slow):
    """A step that keeps off the ends of an interval; whether it came close to one."""
    margin = 0.1 * (largest - least)
    if min(largest - step, step - least) >= margin:
        return step, False
    if not (is_slow or step >= largest or step <= least):
        return step, True
    is_near_end = abs(step - largest) < abs(step - least)
    return (largest - margin if is_near_end else least + margin), False


def interpolated(a: Point, b: Point, bounds: tuple[float, float] | None = None) -> float:
    """The step at which the cubic through two points, with their slopes, is least, in bounds."""
    least, largest = bounds or (min(a.step, b.step), max(a.step, b.step))
    if a.step > b.step:
        a, b = b, a
    length = b.step - a.step
    mixed = a.slope + b.slope + 3 * (a.value - b.value) / length if length else math.nan
    square = mixed * mixed - a.slope * b.slope
    root = math.sqrt(square) if square >= 0 else math.nan
    under = b.slope - a.slope + 2 * root
    place = b.step - length * (b.slope + root - mixed) / under if under else math.nan
    if not math.isfinite(place):  # no cubic through them has a least point
        return (least + largest) / 2
    return min(max(place, least), largest)
