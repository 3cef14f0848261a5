"""Loops over formulas: y[i] = f(x[i]) or y[i] = f(g[i], x[i]) for the elements of flat arrays.

A formula is a function of a dtype (np.float32 or np.float64) that returns f, which is written with
the functions of vector_math.py and constants of that dtype. If the CPU has registers for the tables
of lookup.py, f of float32 is called with whole vectors, else with scalars.
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
    f = function_of(formula)

    @body
    def scalars(x, y):
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

    return by_array(scalars, vectors)


def each_of_two(formula):
    """A function for compiled code: y[i] = f(g[i], x[i])."""
    f = function_of(formula)

    @body
    def scalars(g, x, y):
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

    return by_array(scalars, vectors)


def by_array(scalars, vectors):
    """A function for compiled code that is one of two, depending on its first array.

    Both are @body functions of the same arguments. `vectors` takes arrays of float32 on a CPU that
    has registers for the tables of lookup.py, `scalars` all others.
    """
    names = list(inspect.signature(scalars.py_func).parameters)

    def choose(array):
        return vectors if lookup.AVAILABLE and array.dtype == types.float32 else scalars

    # The arguments are written out by name: with *args numba would count references to each array.
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


def function_of(formula):
    """A formula as a function for compiled code, of scalars and of vectors of float32."""
    single, double = exactly(formula(np.float32)), exactly(formula(np.float64))
    return by_dtype("formula", single, double, formula.__doc__, single)
