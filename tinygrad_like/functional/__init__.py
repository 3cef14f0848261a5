"""Derivatives of functions, and what research needs beside them.

trees.py        nested dicts, lists, tuples and dataclasses of arrays
derivatives.py  grad and its relatives, of any order
"""

from tinygrad_like.functional.derivatives import grad, hessian, hvp, jacobian, value_and_grad, vjp

__all__ = ["grad", "hessian", "hvp", "jacobian", "value_and_grad", "vjp"]
