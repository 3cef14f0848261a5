"""The rules by which vmap applies an op to many examples at once, where many ops share one.

A rule is the `batch` of an op: `rule(call, arrays, attributes)`. The arrays are what one example
sees, each a Batched (engine/batched.py), a number or None, and so are the attributes. The rule
returns the output of all examples, whose axis comes first, by calling the op itself, `call(...)`,
on Tensors that have this axis, too:

    x.full()          the Tensor of all examples, (size, *x.shape)
    x.aligned(ndim)   the same with axes of length 1 in front of an example's, or a Tensor that all
                      examples share

Rules that only one family of ops needs stand beside these ops.
"""

from tinygrad_like.engine.definition import op


def by_element(call, arrays, attributes):
    """The rule of an elementwise op: axes are aligned from the last one, as in broadcasting."""
    shapes = (getattr(x, "shape", None) for x in (*arrays, *attributes.values()))
    ndim = max(len(shape) for shape in shapes if isinstance(shape, tuple))

    def aligned(x):
        return x.aligned(ndim) if hasattr(x, "aligned") else x

    return call(*map(aligned, arrays), **{k: aligned(v) for k, v in attributes.items()})


def elementwise_op(**options):
    """`op` for an elementwise op."""
    return op(batch=by_element, **options)


def by_matrix(call, arrays, attributes):
    """The rule of an op of matrices (..., n, m), whose leading axes are a batch and broadcast."""
    for x in arrays:
        if hasattr(x, "aligned") and x.ndim < 2:
            return call.of_one(arrays, attributes)  # where the op says what is wrong
    return by_element(call, arrays, attributes)


def by_kernel(call, g, *saved):
    """The `batch_backward` of an op that treats all examples' elements alike.

    The kernel gets the arrays of all examples.
    """
    return call.gradients(call.op.backward(*map(call.raw, (g, *saved))))
