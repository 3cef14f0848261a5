"""Products of matrices that lie in the cache: C = A B + D, in registers, without packing.

BLAS first copies both matrices into its own order. Kernels that write their operands themselves (a
convolution its patches) can write them in the order in which the innermost loop reads them, and
save the copy. These are the loops for them, and for packed_gemm.py. `prepare` compiles them.
"""

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..machine.shared_code import shared_code
from ..machine.simd import REGISTER_BYTES, WORD, Vector, inlined, lanes, rows_in_registers
from .micro_kernel import Block, add_products, places

WIDEST = 3  # vectors of columns at once
ROWS = min(8, rows_in_registers(WIDEST))  # a power of two: see _band
# Steps after which the sums are written out. The rows of B of this many steps, WIDEST vectors each,
# stay in the L1 cache for all rows of A, and sums of few products have small rounding errors.
STEPS = 24576 // (WIDEST * REGISTER_BYTES)
i64 = types.int64


def _tile(builder, vector, rows, vectors, a, a_row, a_step, b, b_rows, c, c_row, d, d_row, k):
    """Generate the product of a few rows of A and a few vectors of columns of B."""
    a_rows = [builder.gep(a, [builder.mul(a_row, WORD(r))]) for r in range(rows)]

    def operands(k):
        row = builder.gep(b, [builder.load(builder.gep(b_rows, [k]))])
        b_row, step = places(builder, row, WORD(0), vector), builder.mul(k, a_step)
        return (
            {r: builder.gep(start, [step]) for r, start in enumerate(a_rows)},
            [b_row(0, v) for v in range(vectors)],
        )

    sums = Block(builder, vector, rows, vectors)
    sums.clear()
    add_products(builder, [sums], k, operands)
    with builder.if_then(cgutils.is_not_null(builder, d)):
        sums.add_from(places(builder, d, d_row, vector))
    sums.store(places(builder, c, c_row, vector))


@intrinsic(prefer_literal=True)
def _band(typingctx, like, vectors, a, b, b_rows, c, c_row, d, d_row, m, k):
    """All rows of A times a few vectors of columns of B. Arrays are given by their addresses.

    a: (A, the distance between its tiles of ROWS rows, between rows, between steps).
    """
    kind, count = Vector(like), vectors.literal_value

    def codegen(context, builder, sig, args):
        a, b, b_rows, c, c_row, d, d_row, m, k = args[2:]
        a, a_tile, a_row, a_step = cgutils.unpack_tuple(builder, a)
        vector = context.get_value_type(kind)
        a, b, c, d = (builder.inttoptr(x, vector.element.as_pointer()) for x in (a, b, c, d))
        b_rows = builder.inttoptr(b_rows, WORD.as_pointer())

        def at_row(start, row, step):
            there = builder.gep(start, [builder.mul(row, step)])
            return builder.select(cgutils.is_null(builder, start), start, there)

        whole = builder.udiv(m, WORD(ROWS))
        rest = builder.gep(a, [builder.mul(whole, a_tile)])
        done, left = WORD(0), m
        for rows in (r for r in (8, 4, 2, 1) if r <= ROWS):
            tiles = builder.udiv(left, WORD(rows))
            with cgutils.for_range(builder, tiles, intp=WORD) as loop:
                row = builder.add(done, builder.mul(loop.index, WORD(rows)))
                if rows == ROWS:
                    a_at = builder.gep(a, [builder.mul(loop.index, a_tile)])
                else:
                    beyond = builder.sub(row, builder.mul(whole, WORD(ROWS)))
                    a_at = builder.gep(rest, [builder.mul(beyond, a_row)])
                c_tile = at_row(c, row, c_row), c_row
                d_tile = at_row(d, row, d_row), d_row
                a_rows = a_at, a_row, a_step
                _tile(builder, vector, rows, count, *a_rows, b, b_rows, *c_tile, *d_tile, k)
            done = builder.add(done, builder.mul(tiles, WORD(rows)))
            left = builder.sub(m, done)
        return context.get_dummy_value()

    return types.void(like, vectors, types.UniTuple(i64, 4), *(i64,) * 8), codegen


def _multiply(like, size, a, tile, a_row, a_step, b, b_rows, c, c_row, d, d_row, m, vectors, k):
    """C = A B + D, STEPS steps and up to WIDEST vectors of columns at a time."""
    for start in range(0, max(k, 1), STEPS):
        steps, first = min(STEPS, k - start), a + start * a_step * size
        rows, right, out, onto, left = b_rows + 8 * start, b, c, d, vectors
        left_factor = first, tile, a_row, a_step
        while left:
            if left == 2 or left == 4:
                n = 2
                _band(like, 2, left_factor, right, rows, out, c_row, onto, d_row, m, steps)
            elif left > 2:
                n = 3
                _band(like, 3, left_factor, right, rows, out, c_row, onto, d_row, m, steps)
            else:
                n = 1
                _band(like, 1, left_factor, right, rows, out, c_row, onto, d_row, m, steps)
            right, out = right + n * REGISTER_BYTES, out + n * REGISTER_BYTES
            onto += n * REGISTER_BYTES if onto else 0
            left -= n
        d, d_row = c, c_row


prepare, _call = shared_code(*(i64,) * 14)(_multiply)


@inlined
def multiply(a, i, a_row, a_step, b, j, b_rows, c, at, c_row, m, n, k, add):
    """C = A B, or C += A B if `add`: A is m x k, B is k x n.

    Their elements are a[i + row * a_row + step * a_step], b[j + b_rows[step] + column] and c[at +
    row * c_row + column], in arrays of one dtype. Whole vectors of B and C are read and written, so
    rows must have room for n rounded up to lanes(c). This is for compiled code.
    """
    size = c.itemsize
    target = c.ctypes.data + at * size
    args = (
        size,
        a.ctypes.data + i * size, ROWS * a_row, a_row, a_step,
        b.ctypes.data + j * size, b_rows.ctypes.data,
        target, c_row, target if add else 0, c_row,
        m, (n + lanes(c) - 1) // lanes(c), k,
    )  # fmt: skip
    _call(c.dtype.type(0), args)


@inlined
def multiply_onto(a, b, c, d, m, n, k):
    """C = A B + D, where the operands are given as tuples; see `multiply` for their elements.

        a = (address of A, a_tile, a_row, a_step)           b = (array, j, b_rows)
        c = (array, at, c_row)                              d = (array, on, d_row)

    Tiles of ROWS rows of A lie at a distance of a_tile, and their rows at a_row. The elements of D
    are d[on + row * d_row + column]; with d_row < 0 there is no D.
    """
    (a, a_tile, a_row, a_step), (b, j, b_rows) = a, b
    (c, at, c_row), (d, on, d_row) = c, d
    size = c.itemsize
    args = (
        size, a, a_tile, a_row, a_step,
        b.ctypes.data + j * size, b_rows.ctypes.data,
        c.ctypes.data + at * size, c_row, 0 if d_row < 0 else d.ctypes.data + on * size, d_row,
        m, (n + lanes(c) - 1) // lanes(c), k,
    )  # fmt: skip
    _call(c.dtype.type(0), args)
