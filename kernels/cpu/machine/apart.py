"""Vectors of elements that lie apart in memory, and the lanes of two vectors in another order."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .simd import (
    INT,
    WORD,
    Vector,
    function_on,
    i64,
    lane_indices,
    pointer,
    size_of,
    spread,
)


@intrinsic
def gather(typingctx, x, places, i):
    """x at the places, int32, from places[i] on; 0 where a place is negative."""
    kind = Vector(x.dtype)

    def codegen(context, builder, sig, args):
        vector = context.get_value_type(kind)
        indices = ir.VectorType(INT, kind.lanes)
        at = builder.bitcast(pointer(context, builder, places, *args[1:]), indices.as_pointer())
        index = builder.load(at, align=4)
        first = builder.ptrtoint(pointer(context, builder, x, args[0], WORD(0)), WORD)
        words = ir.VectorType(WORD, kind.lanes)
        steps = builder.mul(builder.sext(index, words), words([size_of(vector)] * kind.lanes))
        addresses = builder.add(spread(builder, first, kind.lanes), steps)
        pointers = ir.VectorType(vector.element.as_pointer(), kind.lanes)
        mask = builder.icmp_signed(">=", index, ir.Constant(indices, None))
        given = builder.inttoptr(addresses, pointers), INT(size_of(vector)), mask
        zeros = ir.Constant(vector, None)
        name = f"llvm.masked.gather.{{}}.v{kind.lanes}p0"
        return function_on(builder, name, vector, vector, [*given, zeros])

    return kind(x, places, i64), codegen


@intrinsic
def every_second(typingctx, a, b):
    """Lanes 0, 2, 4 ... of a, followed by those of b."""
    return _every_second(a, b, 0)


@intrinsic
def every_other(typingctx, a, b):
    """Lanes 1, 3, 5 ... of a, followed by those of b."""
    return _every_second(a, b, 1)


def _every_second(a, b, first):
    def codegen(context, builder, sig, args):
        return builder.shuffle_vector(*args, lane_indices(range(first, 2 * a.lanes, 2)))

    return a(a, b), codegen


@intrinsic
def zipped(typingctx, a, b):
    """Two vectors that together hold a0 b0 a1 b1 ... up to the last lanes of a and b."""

    def codegen(context, builder, sig, args):
        count = a.lanes
        parts = [
            builder.shuffle_vector(*args, lane_indices([x for n in half for x in (n, count + n)]))
            for half in (range(count // 2), range(count // 2, count))
        ]
        return context.make_tuple(builder, sig.return_type, parts)

    return types.UniTuple(a, 2)(a, b), codegen


@intrinsic
def store_every(typingctx, x, i, v, step, first, last):
    """x[i + n * step] = lane n of v, for each n with first <= n * step < last."""

    def codegen(context, builder, sig, args):
        x_value, i, v, step, first, last = args
        start = pointer(context, builder, x, x_value, i)
        for n in range(v.type.count):
            at = builder.mul(step, WORD(n))
            inside = builder.and_(
                builder.icmp_signed(">=", at, first), builder.icmp_signed("<", at, last)
            )
            with builder.if_then(inside):
                builder.store(builder.extract_element(v, INT(n)), builder.gep(start, [at]))
        return context.get_dummy_value()

    return types.void(x, i64, v, *(i64,) * 3), codegen
