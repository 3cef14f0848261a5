"""Derivatives of functions, and what research needs beside them.

trees.py        nested dicts, lists, tuples and dataclasses of arrays
evaluation.py   a function run on fresh inputs, ready to be differentiated
derivatives.py  grad value_and_grad vjp hvp: backward, of any order
forward.py      jvp linearize: forward, from the same gradient rules
jacobian.py     jacobian hessian: all derivatives at once
"""

from tinygrad_like.functional.derivatives import grad, hvp, value_and_grad, vjp
from tinygrad_like.functional.forward import jvp, linearize
from tinygrad_like.functional.jacobian import hessian, jacobian

__all__ = [
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "linearize",
    "value_and_grad",
    "vjp",
]
