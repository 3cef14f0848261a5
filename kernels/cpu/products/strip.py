"""`strip`: a product whose left factor is read from overlapping stretches of memory, not copied.

    c[i, o] = before[i, o] + sum over k of a[i + steps[k]] * b[k, o]

for some consecutive rows i. These are the pixels of a line of an image, say, and steps[k] is the
distance from a pixel to the one that weight k is multiplied by. The elements of b lie in the order
in which they are read, in vectors of output channels. So each sum is a chain of multiply-adds of a
vector and a scalar, all in registers, and nothing else limits its speed. `prepare_strip` compiles
the code.

The chains are cut into pieces whose sums are added to c: the fewer terms in a sum, the smaller its
error.
"""

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..machine.shared_code import shared_code
from ..machine.simd import REGISTER_BYTES, WORD, Vector, cases, inlined, rows_in_registers
from .micro_kernel import Block, add_products, places

WIDEST = 2  # vectors of output channels at once
ROWS = rows_in_registers(WIDEST)
LONGEST = 128  # steps in a piece
i64 = types.int64
RUNS = types.UniTuple(i64, 5)


def _tile(builder, vector, rows, width, a, steps, b, b_next, before, before_row, c, c_row, runs):
    """Generate the product of a few rows and vectors.

    runs: those of `strip`, with the number of pieces of each run in the middle.
    """
    run_count, distance, count, pieces, early, late = runs
    sums = Block(builder, vector, rows, width)

    def add(first, count, some_rows):
        """Add up the steps from `first` on for some rows."""
        from_steps = builder.gep(steps, [first])
        begin = builder.mul(first, WORD(vector.count))
        planes = [
            builder.gep(b, [builder.add(begin, builder.mul(b_next, WORD(v)))]) for v in range(width)
        ]

        def operands(k):
            from_a = builder.gep(a, [builder.load(builder.gep(from_steps, [k]))])
            at = builder.mul(k, WORD(vector.count))
            return (
                {r: builder.gep(from_a, [WORD(r)]) for r in some_rows},
                [builder.gep(plane, [at]) for plane in planes],
            )

        add_products(builder, [sums], count, operands)

    def add_piece(run, first, some):
        """Add up a piece of a run, `some` steps from `first` on, without rows that meet zeros."""
        if width == 1:  # a single vector is seldom left over: not worth the extra code
            add(first, some, range(rows))
            return
        is_early = builder.icmp_signed("<", run, early)
        is_late = builder.icmp_signed(">=", run, builder.sub(run_count, late))
        with builder.if_else(is_early) as (then, otherwise):
            with then:
                add(first, some, range(1, rows))
            with otherwise, builder.if_else(is_late) as (then, otherwise):
                with then:
                    add(first, some, range(rows - 1))
                with otherwise:
                    add(first, some, range(rows))

    with (
        cgutils.for_range(builder, run_count, intp=WORD) as run,
        cgutils.for_range(builder, pieces, intp=WORD) as part,
    ):
        begin = builder.mul(part.index, WORD(LONGEST))
        rest = builder.sub(count, begin)
        some = builder.select(builder.icmp_signed("<", rest, WORD(LONGEST)), rest, WORD(LONGEST))
        sums.clear()
        add_piece(run.index, builder.add(builder.mul(run.index, distance), begin), some)
        is_first = cgutils.is_null(builder, builder.or_(run.index, part.index))
        onto = builder.select(is_first, before, c)
        onto_row = builder.select(is_first, before_row, c_row)
        sums.add_from(places(builder, onto, onto_row, vector))
        sums.store(places(builder, c, c_row, vector))


@intrinsic(prefer_literal=True)
def _strip(typingctx, like, width, a, steps, b, b_next, before, before_row, c, c_row, n, runs):
    """All n rows of `width` vectors of c. Arrays are addresses; distances count elements."""
    kind, vectors = Vector(like), width.literal_value

    def codegen(context, builder, sig, args):
        vector = context.get_value_type(kind)
        a, steps, b, b_next, before, before_row, c, c_row, n, runs = args[2:]
        a, b, before, c = (
            builder.inttoptr(x, vector.element.as_pointer()) for x in (a, b, before, c)
        )
        steps = builder.inttoptr(steps, WORD.as_pointer())
        run_count, distance, count, early, late = cgutils.unpack_tuple(builder, runs)
        pieces = builder.udiv(builder.add(count, WORD(LONGEST - 1)), WORD(LONGEST))
        pieces = builder.select(cgutils.is_null(builder, pieces), WORD(1), pieces)
        parts = builder.udiv(builder.add(n, WORD(ROWS - 1)), WORD(ROWS))
        with cgutils.for_range(builder, parts, intp=WORD) as loop:
            after = builder.add(loop.index, WORD(1))
            first, last = (builder.udiv(builder.mul(x, n), parts) for x in (loop.index, after))
            ends = (
                builder.select(builder.icmp_signed("==", one, other), count, WORD(0))
                for one, other, count in ((first, WORD(0), early), (after, parts, late))
            )
            operands = (
                builder.gep(a, [first]), steps, b, b_next,
                builder.gep(before, [builder.mul(first, before_row)]), before_row,
                builder.gep(c, [builder.mul(first, c_row)]), c_row,
                (run_count, distance, count, pieces, *ends),
            )  # fmt: skip
            for rows in cases(builder, builder.sub(last, first), range(1, ROWS + 1)):
                _tile(builder, vector, rows, vectors, *operands)
        return context.get_dummy_value()

    return types.void(like, width, *(i64,) * 9, RUNS), codegen


def _strips(like, size, a, steps, b, b_next, before, before_row, c, c_row, n, vectors, runs):
    """All n rows of `vectors` vectors of c, WIDEST of them at a time."""
    while vectors:
        if vectors >= 2:
            width = 2
            _strip(like, 2, a, steps, b, b_next, before, before_row, c, c_row, n, runs)
        else:
            width = 1
            _strip(like, 1, a, steps, b, b_next, before, before_row, c, c_row, n, runs)
        b += width * b_next * size
        before += width * REGISTER_BYTES
        c += width * REGISTER_BYTES
        vectors -= width


prepare_strip, _call = shared_code(*(i64,) * 11, RUNS)(_strips)


@inlined
def strip(a, steps, b, before, c, n, vectors, runs):
    """c[at + row * c_row + o] = before[p + row * before_row + o] + the sum over k of
    a[i + row + steps[s + k]] * b[j + o // lanes * b_next + k * lanes + o % lanes],

    for rows below n and o below vectors * lanes, where the operands are given as tuples of a 1-d
    array, the index where its part begins, and a distance:

        a = (array, i)              steps = (array, s)          b = (array, j, b_next)
        before = (array, p, before_row)                         c = (array, at, c_row)

    `before` may be c. The k come in runs = (number of runs, distance, count, early, late): each run
    has `count` of them, and begins `distance` after the one before. The first row may be left out
    of the first `early` runs, and the last row of the last `late`: there they meet only zeros.
    `strip` is for compiled code.
    """
    (a, i), (steps, s), (b, j, b_next) = a, steps, b
    (before, p, before_row), (c, at, c_row) = before, c
    size = c.itemsize
    args = (
        size,
        a.ctypes.data + i * size, steps.ctypes.data + s * steps.itemsize,
        b.ctypes.data + j * size, b_next,
        before.ctypes.data + p * size, before_row,
        c.ctypes.data + at * size, c_row,
        n, vectors, runs,
    )  # fmt: skip
    _call(c.dtype.type(0), args)
