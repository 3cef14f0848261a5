"""Matrix products with a right factor that is packed once, in panels, and used for few rows.

BLAS packs its factors in every call, which for a few rows costs more than the product. A factor
(k, n) packed in panels has the shape (panels, k, width), with zeros beyond its last column.
"""

from ..machine.compile import jit
from ..machine.simd import body
from .tile import MOST_ROWS, PANEL, copy_most_rows, copy_panel_row, tile

LONGEST = 256  # products that are added up one after the other, before their sum is added to c


def panel_width(dtype):
    """How many columns a panel has."""
    return PANEL // dtype.itemsize


def panels_for(columns, dtype):
    """How many panels hold `columns` columns."""
    return -(-columns // panel_width(dtype))


@body
def pack_columns(matrix, begin, end, panels, at, k_begin, k_end):
    """Copy the columns begin <= j < end of a matrix to the panels, from column `at` of these on.

    Only the rows k_begin <= k < k_end are copied, so that several threads may share the work.
    """
    width = panels.shape[2]
    while begin < end:
        panel, first = panels[at // width], at % width
        count = min(width - first, end - begin)
        if count == width:
            zero = matrix.dtype.type(0)
            source = matrix.ctypes.data + begin * matrix.itemsize
            for k in range(k_begin, k_end):
                target = panel.ctypes.data + k * PANEL
                copy_panel_row(source + k * matrix.strides[0], target, zero)
        else:
            for k in range(k_begin, k_end):
                for j in range(count):
                    panel[k, first + j] = matrix[k, begin + j]
        begin += count
        at += count


@body
def pack_rows(matrix, panels, k_begin, k_end, shift):
    """Copy the rows of a matrix to the panels as columns, of each row the elements from k_begin
    to k_end - 1. Element k goes to row k + shift of the panels.
    """
    width = panels.shape[2]
    for first in range(k_begin, k_end, width):  # pieces that stay in the cache
        for i in range(matrix.shape[0]):
            source = matrix[i, first : min(first + width, k_end)]
            at = first + shift
            target = panels[i // width, at : at + source.size, i % width]
            for k in range(source.size):
                target[k] = source[k]


@body
def clear_beyond(columns, panels, k_begin, k_end):
    """Clear all columns of the panels from number `columns` on, in rows k_begin to k_end - 1."""
    width = panels.shape[2]
    for k in range(k_begin, k_end):
        for j in range(columns, panels.shape[0] * width):
            panels[j // width, k, j % width] = 0


@jit
def multiply(a, panels, c, more):
    """c = a @ the packed factor, or c += that if `more`; c has all columns of all panels.

    The rows of a and c may lie at any distance.
    """
    rows, k = a.shape
    blocks = (rows + MOST_ROWS - 1) // MOST_ROWS
    for p in range(panels.shape[0]):
        for block in range(blocks):
            first, end = block * rows // blocks, (block + 1) * rows // blocks
            for begin in range(0, max(k, 1), LONGEST):
                tile(
                    end - first, min(LONGEST, k - begin),
                    a.ctypes.data + first * a.strides[0] + begin * a.itemsize,
                    a.strides[0] // a.itemsize, 1,
                    panels.ctypes.data + p * panels.strides[0] + begin * PANEL,
                    c.ctypes.data + first * c.strides[0] + p * PANEL,
                    c.strides[0] // c.itemsize, more or begin > 0, c.dtype.type(0),
                )  # fmt: skip


def row_blocks_for(rows):
    """How many blocks hold `rows` rows of a transposed left factor."""
    return -(-rows // MOST_ROWS)


@body
def put_row_blocks(row, k, blocks):
    """Copy row k of a factor a, for the product a^T @ b, to `blocks`, (blocks, k, MOST_ROWS)."""
    whole, rest = row.size // MOST_ROWS, row.size % MOST_ROWS
    zero = row.dtype.type(0)
    for block in range(whole):
        source = row.ctypes.data + block * MOST_ROWS * row.itemsize
        target = blocks.ctypes.data + block * blocks.strides[0] + k * blocks.strides[1]
        copy_most_rows(source, target, zero)
    for i in range(rest):
        blocks[whole, k, i] = row[whole * MOST_ROWS + i]


@body
def multiply_transposed(blocks, k, panel, c, more):
    """c = a^T @ a panel of k rows, or c += that if `more`; a, (k, rows of c), lies in `blocks`."""
    rows = c.shape[0]
    for block in range(blocks.shape[0]):
        first = block * MOST_ROWS
        tile(
            min(MOST_ROWS, rows - first), k,
            blocks.ctypes.data + block * blocks.strides[0], 1, MOST_ROWS,
            panel.ctypes.data,
            c.ctypes.data + first * c.strides[0], c.strides[0] // c.itemsize,
            more, c.dtype.type(0),
        )  # fmt: skip
