"""What lies in memory is asked for before it is needed.

    far = ahead_of(x)
    for i in range(0, x.size, lanes(x)):
        if far:
            prefetch(x, i + far)
            prefetch(y, i + far)
        store(y, i, f(load(x, i)))

A processor guesses from what was read what to fetch next, but not beyond a page of 4 KB, and little
at a time. In plain loops that is as good as this. Where much is computed on each row, or rows are
read out of turn, it comes too late. What is written is fetched too.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .simd import INT, inlined, pointer

DISTANCE = 1 << 13  # bytes
LARGE = 1 << 24  # bytes of an array that no cache holds together with another


@inlined
def ahead_of(x):
    """How many numbers ahead to fetch; 0: none, since x is in a cache already."""
    return DISTANCE // x.itemsize if x.nbytes > LARGE else 0


@intrinsic
def prefetch(typingctx, x, i):
    """Have what lies at x[i] brought into the second cache; beyond the array this does nothing.

    In the first cache there is no room for what is needed later.
    """

    def codegen(context, builder, sig, args):
        prefetch_at(builder, pointer(context, builder, x, *args), writing=False, cache=2)
        return context.get_dummy_value()

    return types.void(x, types.int64), codegen


def prefetch_at(builder, at, writing, cache):
    """Generate the instruction that brings what lies at an address into the first, second cache."""
    byte = ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [byte, INT, INT, INT])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    closeness, data = INT(4 - cache), INT(1)
    builder.call(function, [builder.bitcast(at, byte), INT(int(writing)), closeness, data])
