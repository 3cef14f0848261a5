"""The kernel of fused loops: a function for each loop, compiled at its first call."""

import functools
import math

import numpy as np

from ...loop import FULL
from ..machine import fetch, simd
from ..machine.compile import jit_text
from ..machine.kernel import REAL, complete_kernel
from ..machine.memory import empty, plain
from ..machine.threads import pool, run, share, tasks_for
from ..math import lookup
from ..math.vector_math import exactly
from . import pieces
from .functions import SCALARS, VECTORS
from .text import OPERATORS, Text

TASK, TASK_OF_PASSES = 1 << 14, 1 << 13  # elements that are worth a thread; in several passes
RUN = 512  # elements of a row that are added up in the precision of the elements
FLAT = 1 << 13  # elements of a row, where rows may be cut anywhere
FEW = 1 << 14  # elements up to which fresh memory is as good as recycled


# The compiled functions by dtype and by loop: this is asked at every call.
_functions: dict = {dtype: {} for dtype in REAL}


@complete_kernel
def fused(loop, inputs, numbers, rows, columns, shapes):
    """The outputs of a loop, a list of arrays: see kernels/reference/fused.py."""
    size, dtype = rows * columns, numbers.dtype
    function = _functions[dtype].get(loop) or _function(loop, dtype)
    outputs = [
        np.empty(shape, dtype) if size <= FEW or form != FULL else empty(shape, dtype)
        for (form, _), shape in zip(loop.outputs, shapes, strict=True)
    ]
    lines = [x.ravel() if x.flags.carray else plain(x).ravel() for x in inputs]
    lines += [y.ravel() for y in outputs]
    if loop.is_flat:
        columns = min(FLAT, size)
        rows = -(-size // columns)
    function(pool(), rows, columns, size, numbers, *lines)
    return outputs


def _function(loop, dtype):
    """The compiled function of a loop, for the kernel to find it next time."""
    names = {step.name for step in loop.steps if step.place == FULL} - OPERATORS.keys()
    vectors = dtype == np.float32 and lookup.AVAILABLE and names <= VECTORS.keys()
    text = Text(loop, vectors)
    task = TASK_OF_PASSES if len(text.passes) > 1 else TASK
    function = _compiled(str(text), vectors, task)
    _functions[dtype][loop] = function
    return function


@functools.lru_cache(None)
def _compiled(text, vectors, task):
    scope = {f"{name}_": step for name, step in {**VECTORS, **SCALARS}.items()}
    scope |= {"exactly": exactly, "body": simd.body, "np": np, "inf": math.inf}
    scope |= {"run": run, "share": share, "tasks_for": tasks_for, "TASK": task, "RUN": RUN}
    scope |= {name: getattr(simd, name) for name in SIMD}
    scope |= {name: getattr(pieces, name) for name in PIECES}
    scope |= {"ahead_of": fetch.ahead_of, "prefetch": fetch.prefetch}
    scope["spread"] = simd.full if vectors else _alone
    return jit_text(text, scope).loop


SIMD = "first_lanes full lanes load load_some store store_some total".split()
PIECES = "add_up flush greatest_of inverse_of lanes_or".split()


@exactly
def _alone(like, x):
    return x
