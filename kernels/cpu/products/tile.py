"""`tile`: the product of a few rows with a panel, with its sums in registers (micro_kernel.py).

A panel is a block of columns of the right factor, two vectors wide, whose rows follow each other in
memory without a gap.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..machine.fetch import prefetch_at
from ..machine.simd import (
    REGISTER_BYTES,
    WORD,
    Vector,
    cases,
    load_at,
    rows_in_registers,
    store_at,
)
from .micro_kernel import Block, add_products, places

WIDTH = 2  # vectors in a row of a panel
PANEL = WIDTH * REGISTER_BYTES  # bytes in a row of a panel
MOST_ROWS = min(8, rows_in_registers(WIDTH))
CHAINS = 8  # independent sums at once, which hide the latency of a multiply-add


@intrinsic
def tile(typingctx, rows, k, a, a_row, a_step, b, c, c_row, more, zero):
    """c[i] = the sum over k of a[i, k] b[k] for i < rows <= MOST_ROWS; added to c[i] if `more`.

    a, b and c are addresses, and all distances are counted in elements: a[i, k] lies at
    a + i a_row + k a_step, c[i] at c + i c_row; b is a panel. `zero` is a scalar of the dtype.
    """
    kind = Vector(zero)

    def codegen(context, builder, signature, args):
        rows, k, a, a_row, a_step, b, c, c_row, more, _ = args
        vector = context.get_value_type(kind)
        a, b, c = (builder.inttoptr(x, vector.element.as_pointer()) for x in (a, b, c))
        for count in cases(builder, rows, range(1, MOST_ROWS + 1)):
            _tile(builder, vector, count, k, a, a_row, a_step, b, c, c_row, more)
        return context.get_dummy_value()

    return types.void(*(types.int64,) * 8, types.boolean, zero), codegen


def _tile(builder, vector, rows, k, a, a_row, a_step, b, c, c_row, more):
    """Generate the product of `rows` rows."""
    a_rows = [builder.gep(a, [builder.mul(a_row, WORD(r))]) for r in range(rows)]
    c_at = places(builder, c, c_row, vector)

    def operands(k):
        step, row = builder.mul(k, a_step), builder.mul(k, WORD(WIDTH * vector.count))
        b_row = places(builder, builder.gep(b, [row]), WORD(0), vector)
        return (
            {r: builder.gep(start, [step]) for r, start in enumerate(a_rows)},
            [b_row(0, v) for v in range(WIDTH)],
        )

    total, *parts = (
        Block(builder, vector, rows, WIDTH) for _ in range(1 + -(-CHAINS // (WIDTH * rows)))
    )
    for place in total.variables:
        prefetch_at(builder, c_at(*place), writing=True, cache=1)
    for part in parts:
        part.clear()
    add_products(builder, parts, k, operands)
    total.clear()
    with builder.if_then(more):
        total.load(c_at)
    for part in parts:
        total.add(part)
    total.store(c_at)


def _copying(count, doc):
    """A function for compiled code that copies some elements at once from one address to another.

    count(size) returns how many, for elements of `size` bytes.
    """

    @intrinsic
    def copy(typingctx, source, target, zero):
        def codegen(context, builder, signature, args):
            source, target, _ = args
            element = context.get_value_type(zero)
            vector = ir.VectorType(element, count(zero.bitwidth // 8))
            source, target = (builder.inttoptr(x, element.as_pointer()) for x in (source, target))
            store_at(builder, load_at(builder, source, vector), target)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, zero), codegen

    copy.__doc__ = doc
    return copy


copy_panel_row = _copying(lambda size: PANEL // size, "Copy one row of a panel, by addresses.")
copy_most_rows = _copying(lambda size: MOST_ROWS, "Copy MOST_ROWS elements, by addresses.")
