"""How many floating-point operations a call of an op takes, and its gradient: tables by family.

    rules.py        the argument and result of a rule; the rules that many ops share
    products.py     products of matrices, einsum, systems of equations
    convolution.py  convolutions
    sequences.py    attention and recurrent layers
    reductions.py   sums, norms, softmax, normalisation, pooling
    elementwise.py  one formula for each element
    free.py         ops that only move or compare elements

What counts:

- A multiplication and an addition are two. Of products, convolutions, attention and recurrent
  layers the products alone count, without biases and activations, as in PyTorch's FlopCounterMode.
- A function of one element (exp, tanh, a comparison) counts as one, whatever it costs.
- Masked elements count; so do products that a kernel saves by a better algorithm (Winograd's).
- An op without a rule (one of a user's own, a fused function, an eigenvalue problem) has no count:
  tables name it.
"""

from tinygrad_like.inspect.flops.convolution import CONVOLUTION
from tinygrad_like.inspect.flops.elementwise import ELEMENTWISE, OPTIMIZERS
from tinygrad_like.inspect.flops.free import FREE, UNKNOWN
from tinygrad_like.inspect.flops.products import PRODUCTS
from tinygrad_like.inspect.flops.reductions import REDUCTIONS
from tinygrad_like.inspect.flops.rules import Call, nothing
from tinygrad_like.inspect.flops.sequences import SEQUENCES

FLOPS = {
    **PRODUCTS,
    **CONVOLUTION,
    **SEQUENCES,
    **REDUCTIONS,
    **ELEMENTWISE,
    **dict.fromkeys(FREE, nothing),
}


def flops_of(op, call, needs=()):
    """(FLOPs of a call, FLOPs of its gradients with respect to the inputs that `needs` names).

    (None, None) if the op has no rule.
    """
    is_of_library = (op.forward.__module__ or "").startswith("tinygrad_like.")
    rule = FLOPS.get(op.name) if is_of_library else None
    if rule is None:
        return None, None
    forward, each, shared = rule(call)
    if not any(needs):
        return forward, 0
    if each is None:
        return forward, None
    if type(each) is int:
        return forward, shared + each * sum(needs)
    return forward, shared + sum(n for n, needed in zip(each, needs, strict=False) if needed)
