"""`tile`: the innermost product of matrices, rows times a panel, with its sums in registers.

A panel is a block of columns of the right factor, two vector registers wide, whose rows lie one
after the other in memory. LLVM does not find this code by itself, so it is written in its language.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..machine.simd import REGISTER_BYTES, cases

# A vector, in bytes, and as many rows as leave registers for the factors beside the sums.
VECTOR, MOST_ROWS = (64, 8) if REGISTER_BYTES == 64 else (32, 6)
PANEL = 2 * VECTOR  # bytes in a row of a panel
CHAINS = 8  # sums under way at once, to hide the time that each multiply-add takes

WORD = ir.IntType(64)


@intrinsic
def tile(typingctx, rows, k, a, a_row, a_step, b, c, c_row, more, zero):
    """c[i] = sum over k of a[i, k] b[k], plus what c[i] was if `more`, for rows i < MOST_ROWS + 1.

    All is given by addresses and distances in bytes: a[i, k] lies at a + i a_row + k a_step, c[i]
    at c + i c_row; b is a panel. `zero` is a number of the dtype.
    """

    def codegen(context, builder, signature, args):
        rows, *given, _ = args
        code = _TileCode(builder, context.get_value_type(zero), 4 if zero == types.float32 else 8)
        for count in cases(builder, rows, range(1, MOST_ROWS + 1)):
            code.emit(count, *given)
        return context.get_dummy_value()

    return types.void(*(types.int64,) * 8, types.boolean, zero), codegen


def _copying(count, doc):
    """A function for compiled code that copies count(bytes in a number) numbers at once."""

    @intrinsic
    def copy(typingctx, source, target, zero):
        def codegen(context, builder, signature, args):
            source, target, _ = args
            number = context.get_value_type(zero)
            size = 4 if zero == types.float32 else 8
            pointer = ir.VectorType(number, count(size)).as_pointer()
            loaded = builder.load(builder.inttoptr(source, pointer), align=size)
            builder.store(loaded, builder.inttoptr(target, pointer), align=size)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, zero), codegen

    copy.__doc__ = doc
    return copy


copy_panel_row = _copying(lambda size: PANEL // size, "Copy a row of a panel, by addresses.")
copy_most_rows = _copying(lambda size: MOST_ROWS, "Copy MOST_ROWS numbers, by addresses.")


class _TileCode:
    """Writes the code of a tile at the builder's place."""

    def __init__(self, builder, number, size):
        self.builder, self.number, self.size = builder, number, size
        self.vector = ir.VectorType(number, VECTOR // size)
        name = f"llvm.fmuladd.v{VECTOR // size}f{8 * size}"
        signature = ir.FunctionType(self.vector, [self.vector] * 3)
        self.fma = cgutils.get_or_insert_function(builder.module, signature, name)

    def emit(self, rows, k, a, a_row, a_step, b, c, c_row, more):
        builder = self.builder
        unrolled = -(-CHAINS // (2 * rows))
        a = [builder.add(a, builder.mul(a_row, WORD(i))) for i in range(rows)]
        results = [
            builder.add(c, builder.add(builder.mul(c_row, WORD(i)), WORD(j * VECTOR)))
            for i in range(rows)
            for j in (0, 1)
        ]
        self._fetch(results)
        sums = [ir.Constant(self.vector, None)] * (2 * rows * unrolled)
        whole = builder.sub(k, builder.srem(k, WORD(unrolled)))
        sums = self._loop(sums, unrolled, WORD(0), whole, a, a_step, b)
        if unrolled > 1:
            sums = self._loop(sums, 1, whole, k, a, a_step, b)
        old = self._old(results, more)
        for s, (address, x) in enumerate(old):
            for part in sums[s :: 2 * rows]:
                x = builder.fadd(x, part)
            self.store(x, address)

    def _loop(self, sums, unrolled, begin, end, a, a_step, b):
        """The sums after adding a[i, k] b[k] for begin <= k < end, `unrolled` of them at a time."""
        builder = self.builder
        before = builder.block
        head, body, after = (builder.append_basic_block(x) for x in ("k", "k_body", "k_end"))
        builder.branch(head)
        builder.position_at_end(head)
        k, *phis = (builder.phi(kind) for kind in [WORD] + [self.vector] * len(sums))
        builder.cbranch(builder.icmp_signed("<", k, end), body, after)

        builder.position_at_end(body)
        new = list(phis)
        for u in range(unrolled):
            step = builder.add(k, WORD(u))
            panel = builder.add(b, builder.mul(step, WORD(PANEL)))
            left, right = (self.load(self.vector, panel, j * VECTOR) for j in (0, 1))
            distance = builder.mul(step, a_step)
            for i, row in enumerate(a):
                x = self._spread(builder.add(row, distance))
                s = 2 * (u * len(a) + i)
                new[s] = builder.call(self.fma, [x, left, new[s]])
                new[s + 1] = builder.call(self.fma, [x, right, new[s + 1]])
        following = builder.add(k, WORD(unrolled))
        builder.branch(head)

        for phi, first, next_ in zip((k, *phis), (begin, *sums), (following, *new), strict=True):
            phi.add_incoming(first, before)
            phi.add_incoming(next_, body)
        builder.position_at_end(after)
        return phis

    def _fetch(self, addresses):
        """Have the caches fetch what will be written."""
        pointer, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        signature = ir.FunctionType(ir.VoidType(), [pointer] + [number] * 3)
        name = "llvm.prefetch.p0"
        fetch = cgutils.get_or_insert_function(self.builder.module, signature, name)
        for address in addresses:
            where = self.builder.inttoptr(address, pointer)
            self.builder.call(fetch, [where, number(1), number(3), number(1)])

    def _old(self, addresses, more):
        """(address, what is added to) of each vector of the result."""
        builder = self.builder
        zero = ir.Constant(self.vector, None)
        before = builder.block
        with builder.if_then(more):
            loaded = [self.load(self.vector, address) for address in addresses]
            inside = builder.block
        old = []
        for address, x in zip(addresses, loaded, strict=True):
            phi = builder.phi(self.vector)
            phi.add_incoming(zero, before)
            phi.add_incoming(x, inside)
            old.append((address, phi))
        return old

    def _spread(self, address):
        """The number at an address, in all lanes."""
        undefined = ir.Constant(self.vector, ir.Undefined)
        lane = ir.IntType(32)
        first = self.builder.insert_element(undefined, self.load(self.number, address), lane(0))
        lanes = ir.Constant(ir.VectorType(lane, self.vector.count), None)
        return self.builder.shuffle_vector(first, undefined, lanes)

    def load(self, kind, address, offset=0):
        pointer = self._pointer(kind, address, offset)
        return self.builder.load(pointer, align=self.size)

    def store(self, x, address, offset=0):
        self.builder.store(x, self._pointer(x.type, address, offset), align=self.size)

    def _pointer(self, kind, address, offset):
        address = self.builder.add(address, WORD(offset))
        return self.builder.inttoptr(address, kind.as_pointer())
