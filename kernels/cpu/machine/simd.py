"""Vectors as values of compiled code: as many elements as one register of this CPU holds.

    v = load(x, i) + load(y, i)
    store(y, i, v * splat(x, 2))

x and y are 1-d arrays; i is the index of a vector's first element. numba vectorises simple loops by
itself; these functions are for the others: masks at edges, rows that are shorter than a register.
Operations on vectors run in the order in which they are written: unlike the other arithmetic of
kernels, the compiler does not reorder them.
"""

import operator

import llvmlite.binding
import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

from .compile import OPTIONS

# Three decorators for functions that only compiled code calls; they save time in compiling.
# `inlined` makes a function part of its callers' text before they are compiled, `inside` part of
# their code in LLVM, and `body` is for the bodies of tasks (threads.py). The last two make no entry
# points for Python or C.
inlined = numba.njit(inline="always", **OPTIONS)
body = numba.njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **OPTIONS)
inside = numba.njit(forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True, **OPTIONS)

# A product and a sum may become one instruction, but nothing is reordered, see compile.FASTMATH.
FLAGS = "contract", "nsz"

WORD, INT = ir.IntType(64), ir.IntType(32)
i64 = types.int64


def _features():
    """The features of this CPU, or of the one that numba is told to compile for."""
    if numba.config.CPU_FEATURES is not None:
        return numba.config.CPU_FEATURES.split(",")
    return llvmlite.binding.get_host_cpu_features().flatten().split(",")


# Nothing else asks the CPU: how many bytes a vector register has, and how many of them there are.
if "+avx512f" in _features():
    REGISTER_BYTES, REGISTERS = 64, 32
else:
    REGISTER_BYTES, REGISTERS = 32 if "+avx" in _features() else 16, 16


def rows_in_registers(vectors):
    """How many rows of sums, of `vectors` vectors each, fit in registers beside 4 for factors."""
    return (REGISTERS - 4) // vectors


class Vector(types.Type):
    """The numba type of a register full of floating-point elements of one dtype."""

    def __init__(self, dtype):
        self.dtype = dtype
        self.lanes = REGISTER_BYTES * 8 // dtype.bitwidth
        super().__init__(f"vector({dtype})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        element = ir.FloatType() if fe_type.dtype == types.float32 else ir.DoubleType()
        super().__init__(dmm, fe_type, ir.VectorType(element, fe_type.lanes))


# Generators of LLVM code, for the intrinsics here and in other files


def pointer(context, builder, kind, array, index):
    """The address of element `index` of an array."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.gep(data, [index])


def load_at(builder, at, vector):
    """The vector at an address."""
    return builder.load(builder.bitcast(at, vector.as_pointer()), align=size_of(vector))


def store_at(builder, value, at):
    """Write a vector to an address."""
    at = builder.bitcast(at, value.type.as_pointer())
    builder.store(value, at, align=size_of(value.type))


def size_of(vector):
    """The bytes of one element of a type of vectors, or of a scalar type."""
    return 4 if getattr(vector, "element", vector) == ir.FloatType() else 8


def function_on(builder, name, vector, result, args):
    """Call one of LLVM's functions for a type of vectors or scalars, named in place of {}."""
    lanes = f"v{vector.count}" if isinstance(vector, ir.VectorType) else ""
    kind = ir.FunctionType(result, [x.type for x in args])
    function = cgutils.get_or_insert_function(
        builder.module, kind, name.format(f"{lanes}f{8 * size_of(vector)}")
    )
    return builder.call(function, args)


def spread(builder, scalar, lanes):
    """A vector with a scalar in all lanes."""
    kind = ir.VectorType(scalar.type, lanes)
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, INT(0))
    return builder.shuffle_vector(one, one, lane_indices([0] * lanes))


def lane_indices(values):
    """A constant vector of lane indices, for LLVM's shuffles and masks."""
    return ir.Constant(ir.VectorType(INT, len(values)), list(values))


def multiply_add(builder, a, b, c):
    """a * b + c, rounded only once if the CPU can do so."""
    return function_on(builder, "llvm.fmuladd.{}", a.type, a.type, [a, b, c])


def lane_mask(builder, count, first, last):
    """The mask that selects the lanes first <= lane < last of `count`."""
    first, last = builder.trunc(first, INT), builder.trunc(last, INT)
    lane = lane_indices(range(count))
    from_first = builder.icmp_signed(">=", lane, spread(builder, first, count))
    return builder.and_(from_first, builder.icmp_signed("<", lane, spread(builder, last, count)))


def load_lanes(builder, at, vector, first, last, others=None):
    """The lanes first <= lane < last of the vector at an address; the others of `others`, or 0."""
    at = builder.bitcast(at, vector.as_pointer())
    mask = lane_mask(builder, vector.count, first, last)
    args = [at, INT(size_of(vector)), mask, others or ir.Constant(vector, None)]
    return function_on(builder, "llvm.masked.load.{}.p0", vector, vector, args)


def store_lanes(builder, value, at, first, last):
    """Write the lanes first <= lane < last of a vector to an address."""
    vector = value.type
    at = builder.bitcast(at, vector.as_pointer())
    mask = lane_mask(builder, vector.count, first, last)
    args = [value, at, INT(size_of(vector)), mask]
    function_on(builder, "llvm.masked.store.{}.p0", vector, ir.VoidType(), args)


def cases(builder, value, counts):
    """Generate a switch over `value`: yields each count, and the loop's body generates its case."""
    end = builder.append_basic_block("end")
    choice = builder.switch(value, end)
    for count in counts:
        block = builder.append_basic_block(f"count{count}")
        choice.add_case(WORD(count), block)
        builder.position_at_end(block)
        yield count
        builder.branch(end)
    builder.position_at_end(end)


# Functions for compiled code


@intrinsic
def lanes(typingctx, x):
    """How many elements of an array fill a vector."""
    count = Vector(x.dtype).lanes
    return i64(x), lambda context, builder, sig, args: WORD(count)


@intrinsic
def load(typingctx, x, i):
    """The vector that begins at x[i]."""
    kind = Vector(x.dtype)

    def codegen(context, builder, sig, args):
        at = pointer(context, builder, x, *args)
        return load_at(builder, at, context.get_value_type(kind))

    return kind(x, i64), codegen


@intrinsic
def load_some(typingctx, x, i, first, last):
    """Like load, but lanes before `first` and from `last` on are 0, their memory is not read."""
    kind = Vector(x.dtype)

    def codegen(context, builder, sig, args):
        at = pointer(context, builder, x, *args[:2])
        return load_lanes(builder, at, context.get_value_type(kind), *args[2:])

    return kind(x, i64, i64, i64), codegen


@intrinsic
def load_first(typingctx, x, i, count, others):
    """Like load, but lanes from `count` on are those of the vector `others`."""

    def codegen(context, builder, sig, args):
        at = pointer(context, builder, x, *args[:2])
        return load_lanes(builder, at, args[3].type, WORD(0), args[2], args[3])

    return others(x, i64, i64, others), codegen


@intrinsic
def store(typingctx, x, i, v):
    """Write a vector to x[i] and the elements after it."""

    def codegen(context, builder, sig, args):
        store_at(builder, args[2], pointer(context, builder, x, *args[:2]))
        return context.get_dummy_value()

    return types.void(x, i64, v), codegen


@intrinsic
def store_some(typingctx, x, i, v, first, last):
    """Like store, but lanes before `first` and from `last` on are not written."""

    def codegen(context, builder, sig, args):
        at = pointer(context, builder, x, *args[:2])
        store_lanes(builder, args[2], at, *args[3:])
        return context.get_dummy_value()

    return types.void(x, i64, v, i64, i64), codegen


@intrinsic
def first_lanes(typingctx, v, count):
    """The first `count` lanes of v, and 0 in the others."""

    def codegen(context, builder, sig, args):
        vector = args[0].type
        mask = lane_mask(builder, vector.count, WORD(0), args[1])
        return builder.select(mask, args[0], ir.Constant(vector, None))

    return v(v, i64), codegen


@intrinsic
def splat(typingctx, x, i):
    """x[i] in all lanes."""
    kind = Vector(x.dtype)

    def codegen(context, builder, sig, args):
        one = builder.load(pointer(context, builder, x, *args))
        return spread(builder, one, kind.lanes)

    return kind(x, i64), codegen


@intrinsic
def full(typingctx, x, value):
    """A scalar of the dtype of x, in all lanes."""
    kind = Vector(x.dtype)

    def codegen(context, builder, sig, args):
        return spread(builder, args[1], kind.lanes)

    return kind(x, x.dtype), codegen


@intrinsic
def fma(typingctx, a, b, c):
    """a * b + c of scalars or vectors; beside a vector, a scalar counts as one in all lanes."""
    kind = next((x for x in (a, b, c) if isinstance(x, Vector)), a)

    def codegen(context, builder, sig, args):
        return multiply_add(builder, *_spread_scalars(builder, kind, args))

    return kind(a, b, c), codegen


def _spread_scalars(builder, kind, values):
    """The values with each scalar spread over a vector, if `kind` is a type of vectors."""
    if not isinstance(kind, Vector):
        return values
    return [
        x if isinstance(x.type, ir.VectorType) else spread(builder, x, kind.lanes) for x in values
    ]


def over_lanes(builder, v, combine):
    """Combine all lanes of a vector into one, halving their count at each step."""
    count = v.type.count
    while count > 1:
        count //= 2
        low = builder.shuffle_vector(v, v, lane_indices(range(count)))
        high = builder.shuffle_vector(v, v, lane_indices(range(count, 2 * count)))
        v = combine(builder, low, high)
    return builder.extract_element(v, INT(0))


def _sum(builder, a, b):
    return builder.fadd(a, b, flags=FLAGS)


def _greater(builder, a, b):
    return builder.select(builder.fcmp_ordered(">", a, b), a, b)


@intrinsic
def total(typingctx, v):
    """The sum of all lanes: halves are added to each other until one lane is left."""
    return v.dtype(v), lambda context, builder, sig, args: over_lanes(builder, *args, _sum)


@intrinsic
def greater(typingctx, a, b):
    """The greater of a and b in each lane, b where either is NaN; one of them may be a scalar."""
    return _pick(">", a, b)


@intrinsic
def lesser(typingctx, a, b):
    """The lesser of a and b in each lane, b where either is NaN; one of them may be a scalar."""
    return _pick("<", a, b)


def _pick(relation, a, b):
    kind = _kind_of((a, b))

    def codegen(context, builder, sig, args):
        one, other = _spread_scalars(builder, kind, args)
        return builder.select(builder.fcmp_ordered(relation, one, other), one, other)

    return kind(a, b), codegen


@intrinsic
def where_less(typingctx, a, b, yes, no):
    """Lanes of `yes` where a < b, and of `no` elsewhere; all but a may be scalars."""

    def codegen(context, builder, sig, args):
        one, other, yes, no = _spread_scalars(builder, a, args)
        return builder.select(builder.fcmp_ordered("<", one, other), yes, no)

    return a(a, b, yes, no), codegen


@intrinsic
def greatest(typingctx, v):
    """The greatest of all lanes, if none is NaN."""
    return v.dtype(v), lambda context, builder, sig, args: over_lanes(builder, *args, _greater)


def _kind_of(args):
    """The type of vectors of two operands, of which one may be a scalar; None for others."""
    kinds = [x for x in args if isinstance(x, Vector)]
    if not kinds or len(args) != 2:
        return None
    return kinds[0] if all(x in (kinds[0], kinds[0].dtype) for x in args) else None


@infer_global(operator.neg)
class _Negative(AbstractTemplate):
    def generic(self, args, kws):
        return signature(args[0], *args) if isinstance(args[0], Vector) else None


@lower_builtin(operator.neg, Vector)
def _negate(context, builder, sig, args):
    return builder.fneg(*args)


def _operator(function, instruction):
    """Give vectors an operator.

    numba adds the flags of compile.FASTMATH only to instructions that have none: hence FLAGS.
    """

    @infer_global(function)
    class _Typing(AbstractTemplate):
        def generic(self, args, kws):
            kind = _kind_of(args)
            return kind and signature(kind, *args)

    def lowering(context, builder, sig, args):
        operands = _spread_scalars(builder, sig.return_type, args)
        return getattr(builder, instruction)(*operands, flags=FLAGS)

    for operands in ((Vector, Vector), (Vector, types.Float), (types.Float, Vector)):
        lower_builtin(function, *operands)(lowering)


_operator(operator.add, "fadd")
_operator(operator.sub, "fsub")
_operator(operator.mul, "fmul")
_operator(operator.truediv, "fdiv")
