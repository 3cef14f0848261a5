"""Loops over formulas: y[i] = f(x[i]) or y[i] = f(g[i], x[i]) for the elements of flat arrays.

A formula is a function of a dtype (np.float32 or np.float64) that returns f, written by means of
vector_math.py, with constants of that dtype. On a CPU with registers for the tables of lookup.py a
float32 formula gets whole vectors, elsewhere numbers.
"""

import inspect

import numpy as np
from numba import types
from numba.extending import overload

from ..machine.simd import body, lanes, load, load_some, store, store_some
from . import lookup
from .vector_math import by_dtype, exactly


def each_of_one(formula):
    """A function for compiled code: y[i] = f(x[i])."""
    f = _function(formula)

    @body
    def numbers(x, y):
        for i in range(x.size):
            y[i] = f(x[i])

    @body
    def vectors(x, y):
        size = lanes(x)
        whole = x.size // size * size
        for i in range(0, whole, size):
            store(y, i, f(load(x, i)))
        if whole < x.size:
            rest = x.size - whole
            store_some(y, whole, f(load_some(x, whole, 0, rest)), 0, rest)

    return by_array(numbers, vectors)


def each_of_two(formula):
    """A function for compiled code: y[i] = f(g[i], x[i])."""
    f = _function(formula)

    @body
    def numbers(g, x, y):
        for i in range(x.size):
            y[i] = f(g[i], x[i])

    @body
    def vectors(g, x, y):
        size = lanes(x)
        whole = x.size // size * size
        for i in range(0, whole, size):
            store(y, i, f(load(g, i), load(x, i)))
        if whole < x.size:
            rest = x.size - whole
            last = f(load_some(g, whole, 0, rest), load_some(x, whole, 0, rest))
            store_some(y, whole, last, 0, rest)

    return by_array(numbers, vectors)


def by_array(numbers, vectors):
    """A function for compiled code: `vectors` where whole vectors of its first array have tables.

    Both are @body functions of the same arguments; `numbers` is for all other arrays and CPUs.
    """
    names = list(inspect.signature(numbers.py_func).parameters)

    def choose(array):
        return vectors if lookup.AVAILABLE and array.dtype == types.float32 else numbers

    # numba wants the names of the arguments: *args would count references to each array.
    text = ", ".join(names)
    scope = {"choose": choose}
    exec(
        f"def loop({text}): raise NotImplementedError('loops are for compiled code')\n"
        f"def chosen_loop({text}):\n"
        f"    chosen = choose({names[0]})\n"
        f"    return lambda {text}: chosen({text})\n",
        scope,
    )
    overload(scope["loop"])(scope["chosen_loop"])
    return scope["loop"]


def _function(formula):
    single, double = exactly(formula(np.float32)), exactly(formula(np.float64))
    return by_dtype("formula", single, double, formula.__doc__, single)
