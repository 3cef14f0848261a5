"""Stores that go past the caches, for results so large that nothing of them would stay there.

An ordinary store reads a line of memory before it writes there, and drives another one out.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .simd import REGISTER_BYTES, i64, pointer


@intrinsic
def store_past(typingctx, x, i, v):
    """Like store, but past the caches, to an address that a whole register divides.

    `fence` comes after the last one.
    """

    def codegen(context, builder, sig, args):
        at = pointer(context, builder, x, *args[:2])
        written = builder.store(args[2], builder.bitcast(at, args[2].type.as_pointer()))
        written.align = REGISTER_BYTES
        written.set_metadata("nontemporal", builder.module.add_metadata([ir.IntType(32)(1)]))
        return context.get_dummy_value()

    return types.void(x, i64, v), codegen


@intrinsic
def fence(typingctx):
    """What was stored before is seen by other threads before what is stored from now on."""

    def codegen(context, builder, sig, args):
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), codegen
