"""The engine: Tensors, the definition of ops, and the backward walk.

An op is a pure forward and, above it, one gradient rule per differentiable input:

    @op(a=lambda g, b: g * b, b=lambda g, a: g * a)
    def multiply(be, a, b):
        return a * b

    modes.py      the modes of a thread: no_grad, enable_grad, debug, autocast
    methods.py    the operators and methods of Tensor that are ops
    tensor.py     Node and Tensor: an array, and the recorded call that made it
    rows.py       SparseRows: the gradient of a table of which few rows were read
    containers.py Tensors in nested tuples, lists and dicts
    plan.py       what is saved of a call, and which rules its backward runs
    call.py       a call of an op, the full path: unwrap, run, record
    short.py      the short paths, which most calls take
    definition.py op: how an op is defined, and what a rule may ask for
    batching.py   the rules by which vmap applies ops, where many share one
    fit.py        the ops with which gradients are fitted to their inputs
    recompute.py  checkpoint: what a function saved is dropped, and computed again when needed
    accumulate.py adds the gradients that a walk found to .grad of the leaves
    hooks.py      what the hooks of a tensor see of its gradient
    walk.py       backward: nodes by falling serial, the rules run on arrays or on Tensors
    arraylike.py  the sizes of what stands in for an array
    batched.py    what a Tensor holds inside vmap: one example that stands for all
    level.py      a vmap that runs, and the calls of ops on all of its examples
    loop.py       ops without a rule for many examples: one after the other
    autocast.py   products in half precision, ops that need more in float32
    errors.py     the error messages
    casts.py      casts that would not keep a value
    options.py    checks of options: flags, choices, numbers
    changes.py    changes that are made either all together or not at all

An ordinary backward runs the rules on raw arrays; with `create_graph=True` the same text runs on
Tensors and is recorded in turn. Nodes link to the nodes of their inputs, never to Tensors, so
there is no reference cycle, and memory is freed as the walk goes.
"""

from tinygrad_like.engine import errors
from tinygrad_like.engine.arraylike import ArrayLike
from tinygrad_like.engine.autocast import autocast, in_half, in_single, with_numbers
from tinygrad_like.engine.batched import Batched, Operators, all_examples
from tinygrad_like.engine.batching import by_element, by_kernel, by_matrix, elementwise_op
from tinygrad_like.engine.changes import commit, run_through
from tinygrad_like.engine.containers import mark_given
from tinygrad_like.engine.definition import OPS, op
from tinygrad_like.engine.errors import GraphError, composed
from tinygrad_like.engine.fit import astype, broadcast_to, conj, conjugated, real, sum_to
from tinygrad_like.engine.level import Level, drawing, inside, separate
from tinygrad_like.engine.methods import METHODS, complete
from tinygrad_like.engine.modes import complex_steps, debug, enable_grad, mode, no_grad
from tinygrad_like.engine.options import (
    check_choice,
    check_flag,
    check_integer,
    check_number,
    check_real,
)
from tinygrad_like.engine.recompute import checkpoint
from tinygrad_like.engine.rows import SparseRows, sparse_rows
from tinygrad_like.engine.tensor import (
    Tensor,
    backend_of,
    is_parameter,
    leaf,
    moving,
    next_serial,
    was_given,
    wrap,
)
from tinygrad_like.engine.walk import backward, gradients, nodes_below

__all__ = [
    "METHODS",
    "OPS",
    "ArrayLike",
    "Batched",
    "GraphError",
    "Level",
    "Operators",
    "SparseRows",
    "Tensor",
    "all_examples",
    "astype",
    "autocast",
    "backend_of",
    "backward",
    "broadcast_to",
    "by_element",
    "by_kernel",
    "by_matrix",
    "check_choice",
    "check_flag",
    "check_integer",
    "check_number",
    "check_real",
    "checkpoint",
    "commit",
    "complete",
    "complex_steps",
    "composed",
    "conj",
    "conjugated",
    "debug",
    "drawing",
    "elementwise_op",
    "enable_grad",
    "errors",
    "gradients",
    "in_half",
    "in_single",
    "inside",
    "is_parameter",
    "leaf",
    "mark_given",
    "mode",
    "moving",
    "next_serial",
    "no_grad",
    "nodes_below",
    "op",
    "real",
    "run_through",
    "separate",
    "sparse_rows",
    "sum_to",
    "was_given",
    "with_numbers",
    "wrap",
]
