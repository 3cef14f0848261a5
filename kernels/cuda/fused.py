"""The kernel of fused loops (kernels/loop.py): for each loop a text in CUDA C++, compiled once.

A block works on a row at a time, and its threads on every 256th element or so. A pass over a row
computes anew what earlier passes knew: on a GPU that is quicker than storing it. Of softmax, the
second pass is

    LongSum sum_v3;
    for (int i = threadIdx.x; i < count; i += blockDim.x) {
        const acc_t x0 = widen(a0[start + i]);
        const acc_t v1 = x0 - v0;
        const acc_t v2 = step_exp(v1);
        sum_v3.add(v2);
    }
    const acc_t v3 = block_reduce<Sum>(sum_v3.value(), scratch);

Sums over rows are added up by each block for itself, in double, and then those of all blocks. No
order of additions is left to chance: equal inputs give equal bits.
"""

import functools
import hashlib

import numpy as np

from ..loop import COLUMN, COLUMNS, FULL, ROW, SCALAR, TOTAL, passes, row_steps_before
from .machine.dtypes import dtype_name
from .machine.flat import threads_for_row
from .machine.kernel import complete_kernel, contiguous
from .machine.launcher import Source

BLOCKS = 264  # two for each multiprocessor of an H100
FLAT = 2048  # elements of a row, where rows may be cut anywhere
OPERATORS = {
    "add": "{} + {}",
    "subtract": "{} - {}",
    "multiply": "{} * {}",
    "divide": "{} / {}",
    "quotient": "{} / {}",
    "negative": "-{}",
    "spread": "{}",
}


@complete_kernel
def fused(loop, inputs, numbers, rows, columns, shapes):
    """The outputs of a loop, a list of arrays: see kernels/reference/fused.py."""
    first, size = inputs[0], rows * columns
    if loop.is_flat:
        columns = min(FLAT, size)
        rows = -(-size // columns)
    blocks = min(rows, BLOCKS)
    counts = {FULL: size, ROW: rows, COLUMNS: blocks * columns, TOTAL: blocks}
    outputs = [
        np.empty_like(first, shape=(counts[form],))
        if form in (FULL, ROW)
        else np.zeros_like(first, shape=(counts[form],), dtype=np.float64)
        for form, _ in loop.outputs
    ]
    arrays = [contiguous(x).reshape(-1) for x in inputs]
    kernel = _kernel(loop, dtype_name(first.dtype))
    threads = threads_for_row(columns)
    kernel(blocks, threads, *outputs, *arrays, *numbers[: loop.numbers], rows, columns, size)
    found = [
        y.reshape(blocks, -1).sum(axis=0).astype(first.dtype) if form in (COLUMNS, TOTAL) else y
        for y, (form, _) in zip(outputs, loop.outputs, strict=True)
    ]
    return [y.reshape(shape) for y, shape in zip(found, shapes, strict=True)]


@functools.cache
def _kernel(loop, dtype):
    return _source(str(Text(loop))).kernel("fused_loop", dtype)


@functools.cache
def _source(text):
    name = hashlib.sha256(text.encode()).hexdigest()[:12]
    return Source(f"generated/fused_{name}.cu", ("float32", "float64"), text=text)


class Text:
    """The text of one loop's kernel, as `str(Text(loop))`."""

    def __init__(self, loop):
        self.loop, self.lines = loop, []

    def __str__(self):
        self._add(0, '#include "steps.cuh"', "", f"{self._signature()} {{")
        self._add(1, "__shared__ acc_t scratch[WARP];", "__shared__ double wide_scratch[WARP];")
        for k, kind in enumerate(self.loop.inputs):
            if kind == SCALAR:
                self._add(1, f"const acc_t x{k} = widen(a{k}[0]);")
        totals = [k for k, output in enumerate(self.loop.outputs) if output.form == TOTAL]
        for k in totals:
            self._add(1, f"double total_y{k} = 0;")
        self._add(1, "for (long long r = blockIdx.x; r < rows; r += gridDim.x) {")
        self._row()
        self._add(1, "}")
        for k in totals:
            self._add(1, f"total_y{k} = block_reduce<Sum>(total_y{k}, wide_scratch);")
            self._add(1, f"if (threadIdx.x == 0) y{k}[blockIdx.x] = total_y{k};")
        self._add(0, "}")
        return "\n".join(self.lines) + "\n"

    def _add(self, depth, *lines):
        self.lines += ["    " * depth + line for line in lines]

    def _signature(self):
        parameters = [
            f"{'scalar_t' if form in (FULL, ROW) else 'double'}* y{k}"
            for k, (form, _) in enumerate(self.loop.outputs)
        ]
        parameters += [f"const scalar_t* a{k}" for k in range(len(self.loop.inputs))]
        parameters += [f"acc_t c{k}" for k in range(self.loop.numbers)]
        parameters += ["long long rows", "int columns", "long long size"]
        return f'extern "C" __global__ void fused_loop({", ".join(parameters)})'

    def _row(self):
        self._add(2, "const long long start = r * columns;")
        self._add(2, "const int count = (int)(size - start < columns ? size - start : columns);")
        for k, kind in enumerate(self.loop.inputs):
            if kind == ROW:
                self._add(2, f"const acc_t x{k} = widen(a{k}[r]);")
        self._steps(2, row_steps_before(self.loop))
        for each in passes(self.loop, keeping=False):
            self._pass(each)
            self._steps(2, each.row_steps)
        for k, (form, value) in enumerate(self.loop.outputs):
            if form == ROW:
                self._add(2, f"if (threadIdx.x == 0) y{k}[r] = narrow({value});")

    def _steps(self, depth, steps):
        for value in steps:
            name, operands, _ = self.loop.step(value)
            formula = OPERATORS.get(name, f"step_{name}({', '.join(['{}'] * len(operands))})")
            self._add(depth, f"const acc_t {value} = {formula.format(*operands)};")

    def _pass(self, each):
        reduced = [(value, *self.loop.step(value)[:2]) for value in each.reduced]
        if not reduced and not each.written:
            return
        for value, name, _ in reduced:
            start = f"LongSum sum_{value};" if name == "sum" else f"acc_t {value} = Max::start();"
            self._add(2, start)
        self._add(2, "for (int i = threadIdx.x; i < count; i += blockDim.x) {")
        wanted = [operands[0] for _, _, operands in reduced]
        wanted += [self.loop.outputs[k].value for k in each.written]
        read = {x for value in each.steps for x in self.loop.step(value).operands} | set(wanted)
        for k, kind in enumerate(self.loop.inputs):
            if f"x{k}" in read and kind in (FULL, COLUMN):
                at = "start + i" if kind == FULL else "i"
                self._add(3, f"const acc_t x{k} = widen(a{k}[{at}]);")
        self._steps(3, each.steps)
        for value, name, (operand,) in reduced:
            add = f"sum_{value}.add({operand});" if name == "sum" else None
            self._add(3, add or f"{value} = Max::of({value}, {operand});")
        for k in each.written:
            self._add(3, self._written(k))
        self._add(2, "}")
        for value, name, _ in reduced:
            if name == "sum":
                found = f"block_reduce<Sum>(sum_{value}.value(), scratch)"
                self._add(2, f"const acc_t {value} = {found};")
            else:
                self._add(2, f"{value} = block_reduce<Max>({value}, scratch);")

    def _written(self, k):
        form, value = self.loop.outputs[k]
        if form == FULL:
            return f"y{k}[start + i] = narrow({value});"
        if form == COLUMNS:
            return f"y{k}[(long long)blockIdx.x * columns + i] += {value};"
        return f"total_y{k} += {value};"
