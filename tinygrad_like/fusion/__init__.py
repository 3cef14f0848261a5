"""`tg.fuse`: a function of elementwise ops and row reductions, compiled into one loop.

A chain of ops writes and reads an array for each of them, and memory is slower than arithmetic. The
fused function goes over its arguments once:

    @tg.fuse
    def gelu_of_sum(x, bias):
        return tg.gelu(x + bias)

What happens at the first call, for these shapes and dtypes:

    traced.py    trace       the function runs once on arrays that only remember what is computed
    terms.py     expression  that is written as an expression of the arguments; the ops' own rules
                             give the expression of the gradient
    identities.py            which is shortened where rows sum to 1, as softmax's do
    program.py   loop        the expression as the steps of one loop (kernels/loop.py)
    watched.py               what the function reads beside its arguments, to notice when it changes
    decorator.py             the decorator, and the op that the loop becomes

The loop is compiled by the target: kernels/cpu/fused writes a text for numba, kernels/cuda/fused.py
one for CUDA, and kernels/reference/fused.py just runs the steps in NumPy.
"""

from tinygrad_like.fusion.decorator import fuse

__all__ = ["fuse"]
