"""Derivatives of functions, and what research needs beside them.

trees.py        nested dicts, lists, tuples and dataclasses of arrays
evaluation.py   a function run on fresh inputs, ready to be differentiated
derivatives.py  grad value_and_grad vjp hvp: backward, of any order
forward.py      jvp linearize: forward, from the same gradient rules
jacobian.py     jacobian hessian: all derivatives at once
custom.py       custom_gradient stop_gradient straight_through: gradients of one's own
call.py         functional_call: a Module as a function of its parameters
implicit.py     fixed_point argmin: solutions, differentiated by the equation they solve
solvers.py      how these are found
vmap.py         vmap: a function of one example, applied to many at once
"""

from tinygrad_like.functional import implicit
from tinygrad_like.functional.call import functional_call
from tinygrad_like.functional.custom import custom_gradient, stop_gradient, straight_through
from tinygrad_like.functional.derivatives import grad, hvp, value_and_grad, vjp
from tinygrad_like.functional.forward import jvp, linearize
from tinygrad_like.functional.jacobian import hessian, jacobian
from tinygrad_like.functional.vmap import vmap

__all__ = [
    "custom_gradient",
    "functional_call",
    "grad",
    "hessian",
    "hvp",
    "implicit",
    "jacobian",
    "jvp",
    "linearize",
    "stop_gradient",
    "straight_through",
    "value_and_grad",
    "vjp",
    "vmap",
]
