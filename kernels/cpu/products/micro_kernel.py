"""The micro-kernel: code for the product of a few rows of A and a few vectors of columns of B.

    block = Block(builder, vector, rows=2, vectors=3)
    block.clear()
    add_products(builder, [block], count, operands)
    block.store(places(builder, c, c_row, vector))

The block of sums stays in registers throughout the product. Each step loads the vectors of one row
of B and one element of each row of A, spreads that element over a vector, and adds its products
with the vectors to the sums. LLVM does not find this code by itself, so we generate it.

Products differ in where their operands lie, which they say by functions that return addresses:

tile.py        B in panels, A at any distance between rows and steps
block_gemm.py  rows of B from a table, A at any distance between rows and steps
strip.py       rows of A that overlap, from a table of steps; B in planes, a vector wide
"""

from llvmlite import ir
from numba.core import cgutils

from ..machine.simd import FLAGS, WORD, load_at, multiply_add, spread, store_at


class Block:
    """A block of sums, `rows` rows of `vectors` vectors each, in the registers of compiled code.

    Its methods generate code by `builder`. Their argument `at` is a function of (row, vector) that
    returns the address of a vector.
    """

    def __init__(self, builder, vector, rows, vectors):
        self.builder, self.vector, self.rows, self.vectors = builder, vector, rows, vectors
        # LLVM keeps these variables in registers.
        self.variables = {
            (r, v): cgutils.alloca_once(builder, vector)
            for r in range(rows)
            for v in range(vectors)
        }

    def clear(self):
        """Set all sums to zero."""
        for variable in self.variables.values():
            self.builder.store(ir.Constant(self.vector, None), variable)

    def load(self, at):
        """Load all sums from memory."""
        for place, variable in self.variables.items():
            self.builder.store(load_at(self.builder, at(*place), self.vector), variable)

    def store(self, at):
        """Store all sums to memory."""
        for place, variable in self.variables.items():
            store_at(self.builder, self.builder.load(variable), at(*place))

    def add(self, other):
        """Add another block of the same shape."""
        for place, variable in self.variables.items():
            self._add(variable, self.builder.load(other.variables[place]))

    def add_from(self, at):
        """Add a block of the same shape that lies in memory."""
        for place, variable in self.variables.items():
            self._add(variable, load_at(self.builder, at(*place), self.vector))

    def _add(self, variable, value):
        # An instruction without flags would get those of compile.FASTMATH. LLVM might then reorder
        # these sums, differently in each function that the code becomes part of.
        total = self.builder.fadd(self.builder.load(variable), value, flags=FLAGS)
        self.builder.store(total, variable)

    def add_step(self, a, b):
        """Add one step of a product.

        a: {row: the address of its element of A}; rows that are missing are left as they are.
        b: the addresses of the vectors of the row of B.
        """
        builder = self.builder
        b = [load_at(builder, at, self.vector) for at in b]
        for r, at in a.items():
            element = spread(builder, builder.load(at), self.vector.count)
            for v in range(self.vectors):
                variable = self.variables[r, v]
                value = multiply_add(builder, element, b[v], builder.load(variable))
                builder.store(value, variable)


def add_products(builder, blocks, count, operands):
    """Add the steps k < count of a product to some blocks, whose sum is then the product.

    The blocks take turns, so that with several of them a step need not wait for the multiply-adds
    of the one before. operands(k) returns the arguments of `Block.add_step` for step k.
    """
    rest = WORD(0)
    if len(blocks) > 1:
        turns = builder.udiv(count, WORD(len(blocks)))
        with cgutils.for_range(builder, turns, intp=WORD) as loop:
            first = builder.mul(loop.index, WORD(len(blocks)))
            for n, block in enumerate(blocks):
                block.add_step(*operands(builder.add(first, WORD(n))))
        rest = builder.mul(turns, WORD(len(blocks)))
    with cgutils.for_range(builder, count, rest, intp=WORD) as loop:
        blocks[0].add_step(*operands(loop.index))


def places(builder, start, row, vector):
    """The function of (r, v) that returns the address of vector v of row r of a block in memory.

    The block begins at `start`, and from one row to the next there are `row` elements.
    """

    def at(r, v):
        there = builder.add(builder.mul(row, WORD(r)), WORD(v * vector.count))
        return builder.gep(start, [there])

    return at
