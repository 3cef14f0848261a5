"""What a row of the kernel benchmark is: one computation, in our kernels and in PyTorch's."""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from bench.limits import Work

FLOAT = 4  # bytes


class Row(NamedTuple):
    """One computation: `kernel` and `torch` take a library and the arrays, and return a step.

    They compute beforehand what a step needs from elsewhere (a forward's statistics, say). The step
    returns an array or a tuple of arrays, which are compared as far as both libraries have them.
    `k` has our kernels and, where there is none, our op (for NumPy: `kernels.reference`, and
    NumPy). PyTorch's step is what its autograd would call.
    """

    name: str
    arrays: Callable  # random generator -> arrays
    kernel: Callable  # k, *arrays -> step
    torch: Callable  # torch, *tensors -> step
    work: Work
    same_numbers: bool = True  # False where PyTorch draws other random numbers
    tolerance: float = 2e-5  # of the largest element of an output
    tf32: bool = False  # whether products round float32 numbers to 11 bits


def normal(*shapes):
    """Arrays of normal numbers of these shapes."""
    return lambda rng: [rng.standard_normal(shape, np.float32) for shape in shapes]


def in_half(row, dtype=np.float16):
    """The same computation in float16 or bfloat16, whose results are rounded to 11 or 8 bits."""
    dtype = np.dtype(dtype)
    return row._replace(
        name=f"{row.name} {dtype.name}",
        arrays=lambda rng: [array.astype(dtype) for array in row.arrays(rng)],
        work=row.work._replace(product="half"),
        tolerance=4e-3 if dtype == np.float16 else 3e-2,
    )


def in_tf32(row):
    """The same computation, its factors rounded to tf32's 11 bits."""
    work = row.work._replace(product="tf32")
    return row._replace(name=f"{row.name} tf32", work=work, tolerance=4e-3, tf32=True)


def moved(shape, read, written):
    """The work of reading and writing these numbers of arrays of a shape."""
    size = FLOAT * math.prod(shape)
    return Work(read=read * size, written=written * size)


def by_x(shape):
    """A shape as text: 16384x1024."""
    return "x".join(map(str, shape))


def by_autograd(torch, function, inputs, g, count):
    """A step that runs only the backward pass, and returns the first `count` gradients."""
    inputs = [x.requires_grad_() for x in inputs]
    with torch.enable_grad():
        y = function(*inputs)
    grad = partial(torch.autograd.grad, y, inputs, g, retain_graph=True)
    return lambda: grad()[:count]
