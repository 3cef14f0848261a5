"""What the hooks of a tensor see of its gradient, and what takes its place."""

import numpy as np

from tinygrad_like.engine import errors
from tinygrad_like.engine.accumulate import accumulate
from tinygrad_like.engine.fit import astype, conjugated, fit
from tinygrad_like.engine.rows import SparseRows
from tinygrad_like.engine.tensor import RETAIN, Tensor, wrap


def kept(g):
    """A copy of a gradient, in memory that nothing else sees."""
    if type(g) is Tensor:
        return astype(g, dtype=g.dtype)
    return np.array(g, order="C", copy=True) if isinstance(g, np.generic) else g.copy()


def run_hooks(node, g):
    """Show a copy of the gradient to the hooks of a tensor, which may replace it."""
    raw, copy = type(g) is not Tensor, kept(g)
    t = conjugated(wrap(copy) if raw and type(g) is not SparseRows else copy)
    for hook in node.hooks:
        if hook is RETAIN:
            accumulate({node: kept(t)})
            continue
        changed = hook(t)
        if changed is not None:
            if not isinstance(changed, (Tensor, SparseRows)) or changed.shape != node.shape:
                raise ValueError(
                    f"[register_hook] the hook returned {errors.describe(changed)}, "
                    f"expected a Tensor of shape {node.shape}"
                )
            if changed.dtype.kind == "c" and node.dtype.kind != "c":
                raise TypeError(
                    f"[register_hook] the hook returned {changed.dtype}, expected the "
                    f"gradient of a tensor of {node.dtype}, real numbers"
                )
            t = fit(changed, node)
    t = conjugated(t)
    return t._array if raw and type(t) is Tensor else t
