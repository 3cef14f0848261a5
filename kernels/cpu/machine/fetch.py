"""Prefetching: memory is asked for before it is needed.

    far = ahead_of(x)
    for i in range(0, x.size, lanes(x)):
        if far:
            prefetch(x, i + far)
            prefetch(y, i + far)
        store(y, i, f(load(x, i)))

A processor guesses from past reads what to fetch next, but only within a page of 4 KB and a little
at a time. In plain loops that is as good as this. It comes too late where much is computed on each
row, or rows are not read in order. Memory that is only written is fetched as well.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .simd import INT, inlined, pointer

DISTANCE = 1 << 13  # bytes
LARGE = 1 << 24  # bytes; no cache holds an array larger than this together with another


@inlined
def ahead_of(x):
    """How many elements ahead to fetch; 0 if x is small enough to be in a cache already."""
    return DISTANCE // x.itemsize if x.nbytes > LARGE else 0


@intrinsic
def prefetch(typingctx, x, i):
    """Bring x[i] into the second-level cache; an index beyond the array does no harm.

    The first-level cache has no room for what is needed later.
    """

    def codegen(context, builder, sig, args):
        prefetch_at(builder, pointer(context, builder, x, *args), writing=False, cache=2)
        return context.get_dummy_value()

    return types.void(x, types.int64), codegen


def prefetch_at(builder, at, writing, cache):
    """Generate the instruction that brings an address into the cache of level `cache`, 1 or 2."""
    byte = ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [byte, INT, INT, INT])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    locality, data_cache = INT(4 - cache), INT(1)
    builder.call(function, [builder.bitcast(at, byte), INT(int(writing)), locality, data_cache])
