"""Transposing blocks in registers, of at most as many rows and columns as a vector has lanes."""

from numba import types
from numba.extending import intrinsic

from ..machine.shared_code import shared_code
from ..machine.simd import WORD, Vector, inlined, lane_indices, lanes, load_lanes, store_lanes

i64 = types.int64


def _transposed(builder, rows):
    """The columns of a square matrix, of its rows as vectors: halves are zipped again and again."""
    lanes = len(rows)
    low = lane_indices([lane // 2 + (lane % 2) * lanes for lane in range(lanes)])
    high = lane_indices([lanes // 2 + lane // 2 + (lane % 2) * lanes for lane in range(lanes)])
    for _ in range(lanes.bit_length() - 1):
        pairs = list(zip(rows[: lanes // 2], rows[lanes // 2 :], strict=True))
        rows = [builder.shuffle_vector(*pair, order) for pair in pairs for order in (low, high)]
    return rows


@intrinsic
def _block(typingctx, like, x, x_row, rows, columns, y, y_row, width):
    """y[column * y_row + row] = x[row * x_row + column] in a block, then zeros up to `width`.

    x and y are addresses.
    """
    kind = Vector(like)

    def codegen(context, builder, sig, args):
        _, x, x_row, rows, columns, y, y_row, width = args
        vector = context.get_value_type(kind)
        x, y = (builder.inttoptr(start, vector.element.as_pointer()) for start in (x, y))
        block = []
        for r in range(kind.lanes):
            there = builder.icmp_signed("<", WORD(r), rows)
            last = builder.select(there, columns, WORD(0))
            at = builder.gep(x, [builder.mul(x_row, WORD(r))])
            block.append(load_lanes(builder, at, vector, WORD(0), last))
        for column, value in enumerate(_transposed(builder, block)):
            with builder.if_then(builder.icmp_signed("<", WORD(column), columns)):
                at = builder.gep(y, [builder.mul(y_row, WORD(column))])
                store_lanes(builder, value, at, WORD(0), width)
        return context.get_dummy_value()

    return types.void(like, *(i64,) * 7), codegen


def _transpose(like, x, x_row, rows, columns, y, y_row, width):
    """`_block` as a function that `shared_code` can compile."""
    _block(like, x, x_row, rows, columns, y, y_row, width)


prepare_transpose, _call = shared_code(*(i64,) * 7)(_transpose)


@inlined
def transpose(x, i, x_row, rows, columns, y, j, y_row):
    """y[j + column * y_row + row] = x[i + row * x_row + column] for rows and columns of a block.

    There are at most lanes(x) of both. Nothing outside the block is read from x; to y whole vectors
    are written, filled up with zeros. This is for compiled code.
    """
    source, target = x.ctypes.data + i * x.itemsize, y.ctypes.data + j * y.itemsize
    _call(x.dtype.type(0), (source, x_row, rows, columns, target, y_row, lanes(x)))


@inlined
def transpose_exactly(x, i, x_row, rows, columns, y, j, y_row):
    """Like transpose, but nothing outside the block is written either."""
    source, target = x.ctypes.data + i * x.itemsize, y.ctypes.data + j * y.itemsize
    _call(x.dtype.type(0), (source, x_row, rows, columns, target, y_row, rows))
