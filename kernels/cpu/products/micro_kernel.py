"""The micro-kernel: code for the product of a few rows of A and a few vectors of columns of B.

    block = Block(builder, vector, rows=2, vectors=3)
    block.clear()
    add_products(builder, [block], count, operands)
    block.store(places(builder, c, c_row, vector))

The block of sums stays in registers while the steps of the product go by. In each step the vectors
of one row of B are loaded, and one element of each row of A, which is spread over a vector and
multiplied by them. LLVM does not find this code by itself, so it is written in LLVM's language.

Products differ in where their operands lie, and say so by functions that give addresses:

tile.py        B in panels, A at any distance between rows and steps
block_gemm.py  rows of B from a table, A at any distance between rows and steps
strip.py       rows of A that overlap, from a table of steps; B in planes, a vector wide
"""

from llvmlite import ir
from numba.core import cgutils

from ..machine.simd import FLAGS, WORD, load_at, multiply_add, spread, store_at


class Block:
    """Registers that hold some rows of some vectors each, in compiled code.

    `builder` writes the code that uses them; `at` are functions of (row, vector) that give the
    address of each vector.
    """

    def __init__(self, builder, vector, rows, vectors):
        self.builder, self.vector, self.rows, self.vectors = builder, vector, rows, vectors
        # LLVM keeps in registers what is stored in such variables.
        self.variables = {
            (r, v): cgutils.alloca_once(builder, vector)
            for r in range(rows)
            for v in range(vectors)
        }

    def clear(self):
        for variable in self.variables.values():
            self.builder.store(ir.Constant(self.vector, None), variable)

    def load(self, at):
        for place, variable in self.variables.items():
            self.builder.store(load_at(self.builder, at(*place), self.vector), variable)

    def store(self, at):
        for place, variable in self.variables.items():
            store_at(self.builder, self.builder.load(variable), at(*place))

    def add(self, other):
        """Add another block of the same shape."""
        for place, variable in self.variables.items():
            value = self.builder.load(other.variables[place])
            self._add(variable, value)

    def add_from(self, at):
        """Add what lies in memory."""
        for place, variable in self.variables.items():
            self._add(variable, load_at(self.builder, at(*place), self.vector))

    def _add(self, variable, value):
        # An instruction without flags gets those of compile.FASTMATH: LLVM may then reorder these
        # sums, and does so differently in each function that the code becomes part of.
        total = self.builder.fadd(self.builder.load(variable), value, flags=FLAGS)
        self.builder.store(total, variable)

    def add_step(self, a, b):
        """Add one step of a product: a gives the address of an element of A for each row that it
        has, b those of the vectors of B."""
        builder = self.builder
        b = [load_at(builder, at, self.vector) for at in b]
        for r, at in a.items():
            element = spread(builder, builder.load(at), self.vector.count)
            for v in range(self.vectors):
                variable = self.variables[r, v]
                value = multiply_add(builder, element, b[v], builder.load(variable))
                builder.store(value, variable)


def add_products(builder, blocks, count, operands):
    """Add the steps k < count of a product to blocks, step k to block k % len(blocks).

    With several blocks a step need not wait for the multiply-adds of the one before; their sum is
    the product. operands(k) returns what `Block.add_step` takes.
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
    """The addresses of the vectors of a block whose rows lie at a distance of `row` elements."""

    def at(r, v):
        there = builder.add(builder.mul(row, WORD(r)), WORD(v * vector.count))
        return builder.gep(start, [there])

    return at
