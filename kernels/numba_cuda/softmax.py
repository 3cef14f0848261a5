"""Softmax and log-softmax over the last axis: a block for each row, whose threads sum by a tree.

Before that each thread adds up its elements one after the other in the precision of the arrays. So
over very many columns it loses digits that kernels/cuda keeps.
"""

import functools
import math

import numpy as np
from numba import cuda, from_dtype

from .launch import THREADS, check


@cuda.jit(device=True)
def total_of_block(value, room):
    """The sum of all threads' values, in each thread: half of them add the others', and so on."""
    me, step = cuda.threadIdx.x, THREADS // 2
    room[me] = value
    cuda.syncthreads()
    while step > 0:
        if me < step:
            room[me] += room[me + step]
        cuda.syncthreads()
        step //= 2
    total = room[0]
    cuda.syncthreads()  # the room is free again
    return total


@cuda.jit(device=True)
def greatest_of_block(value, room):
    """The maximum of all threads' values, in each thread; NaN wins."""
    me, step = cuda.threadIdx.x, THREADS // 2
    room[me] = value
    cuda.syncthreads()
    while step > 0:
        if me < step:
            other = room[me + step]
            if other > room[me] or other != other:
                room[me] = other
        cuda.syncthreads()
        step //= 2
    greatest = room[0]
    cuda.syncthreads()
    return greatest


@functools.cache
def _forward(dtype, logarithm):
    number = from_dtype(dtype)

    @cuda.jit
    def kernel(y, x):
        """y = exp(x - peak) / total, or its logarithm, of the block's row."""
        room = cuda.shared.array(THREADS, number)
        row, me = cuda.blockIdx.x, cuda.threadIdx.x
        peak = number(-math.inf)
        for i in range(me, x.shape[1], THREADS):
            if x[row, i] > peak or x[row, i] != x[row, i]:
                peak = x[row, i]
        peak = greatest_of_block(peak, room)
        if peak == -math.inf:  # a row that is masked as a whole
            peak = number(0)
        total = number(0)
        for i in range(me, x.shape[1], THREADS):
            total += math.exp(x[row, i] - peak)
        total = total_of_block(total, room)
        if total == 0:
            total = number(1)
        for i in range(me, x.shape[1], THREADS):
            if logarithm:
                y[row, i] = x[row, i] - peak - math.log(total)
            else:
                y[row, i] = math.exp(x[row, i] - peak) / total

    return kernel


@functools.cache
def _backward(dtype, logarithm):
    number = from_dtype(dtype)

    @cuda.jit
    def kernel(dx, g, y):
        """dx = y (g - sum(g y)), or of the logarithm g - exp(y) sum(g), of the block's row."""
        room = cuda.shared.array(THREADS, number)
        row, me = cuda.blockIdx.x, cuda.threadIdx.x
        total = number(0)
        for i in range(me, y.shape[1], THREADS):
            total += g[row, i] if logarithm else g[row, i] * y[row, i]
        total = total_of_block(total, room)
        for i in range(me, y.shape[1], THREADS):
            if logarithm:
                dx[row, i] = g[row, i] - math.exp(y[row, i]) * total
            else:
                dx[row, i] = y[row, i] * (g[row, i] - total)

    return kernel


def softmax(x):
    """y = exp(x) / sum(exp(x)) over the last axis: (..., D) -> (..., D)."""
    return _over_rows("softmax", _forward, False, x=x)


def softmax_backward(g, y):
    """dx = y * (g - sum(g * y)), from the output y."""
    return _over_rows("softmax_backward", _backward, False, g=g, y=y)


def log_softmax(x):
    """y = x - log(sum(exp(x))) over the last axis: (..., D) -> (..., D)."""
    return _over_rows("log_softmax", _forward, True, x=x)


def log_softmax_backward(g, y):
    """dx = g - exp(y) * sum(g), from the output y."""
    return _over_rows("log_softmax_backward", _backward, True, g=g, y=y)


def _over_rows(name, make, logarithm, **arrays):
    check(name, **arrays)
    first = next(iter(arrays.values()))
    out = np.empty_like(first)
    if out.size:
        columns = out.shape[-1]
        rows = [a.reshape(-1, columns) for a in (out, *arrays.values())]
        make(np.dtype(first.dtype), logarithm)[out.size // columns, THREADS](*rows)
    return out
