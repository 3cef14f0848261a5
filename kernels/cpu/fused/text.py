"""From a Loop to the text of its kernel: Python that numba compiles.

The text has a function for each pass over a row, which computes one element (or one vector of
them) from others, and a task that goes through its share of the rows. Of softmax's second pass:

    @exactly
    def pass1(like, x0, v0):
        v1 = x0 - v0
        v2 = exp(v1)
        return (v2,)

    @body
    def task_of(task, tasks, rows, ...):
        ...
        for first in range(0, count, RUN):
            last = min(first + RUN, count)
            sum_v3 = full(numbers, zero)
            ...
            for i in range(first, whole, size):
                v2, = pass1(numbers, load(a0, start + i), v0)
                store(kept, kept_v2 + i, v2)
                sum_v3 = sum_v3 + v2

There are two ways to write the innermost loop. By vectors, as above, where every step has a
function of vectors; else element by element, for LLVM to make vectors of where it can.
"""

from ...loop import COLUMN, COLUMNS, FULL, ROW, SCALAR, TOTAL, passes, row_steps_before

OPERATORS = {
    "add": "{} + {}",
    "subtract": "{} - {}",
    "multiply": "{} * {}",
    "divide": "{} / {}",
    "quotient": "{0} * scale_{1} * inverse_{1}",
    "negative": "-{}",
    "spread": "spread(like, {})",
}
FLUSH = 16  # rows that are added up in the precision of the elements


class Text:
    """The text of one loop's kernel, as `str(Text(loop, vectors))`.

    `vectors` says whether the innermost loop is written by vectors.
    """

    def __init__(self, loop, vectors):
        self.loop, self.vectors = loop, vectors
        self.passes = passes(loop)
        self.kept = sorted({value for each in self.passes for value in each.keeps})
        self.columns = [k for k, o in enumerate(loop.outputs) if o.form == COLUMNS]
        self.totals = [k for k, o in enumerate(loop.outputs) if o.form == TOTAL]
        self.fetching = self._fetching_pass()
        self.lines: list[str] = []

    def _fetching_pass(self):
        """The pass that fetches the memory of rows to come: one that computes enough meanwhile.

        None where there is but one pass, during which the processor fetches by itself.
        """
        if not self.vectors or len(self.passes) < 2 or FULL not in self.loop.inputs:
            return None
        keeping = [each for each in self.passes if each.keeps]
        return (keeping or self.passes)[-1]

    def __str__(self):
        for number, each in enumerate(self.passes):
            self._pass_function(number, each)
        self._row_function("before", row_steps_before(self.loop))
        for number, each in enumerate(self.passes):
            self._row_function(f"after{number}", each.row_steps)
        self._task()
        self._driver()
        return "\n".join(self.lines) + "\n"

    def _add(self, depth, *lines):
        self.lines += ["    " * depth + line for line in lines]

    # Formulas

    def _formula(self, value):
        name, operands, place = self.loop.step(value)
        if name == "spread" and place == ROW:
            return operands[0]
        if name in OPERATORS:
            return OPERATORS[name].format(*operands)
        if place == FULL and self.vectors and len(operands) < 3:
            operands = [x if self._varies(x) else f"spread(like, {x})" for x in operands]
        return f"{name}_({', '.join(operands)})"

    def _varies(self, value):
        """Whether a value differs from element to element of a row."""
        return self.loop.place(value) in (FULL, COLUMN)

    def _reads(self, steps, targets):
        """The parameters of a function of these steps: what they read and do not compute."""
        reads = []
        for value in steps:
            step = self.loop.step(value)
            reads += step.operands
            if step.name == "quotient":
                divisor = step.operands[1]
                reads = [x for x in reads if x != divisor]
                reads += [f"scale_{divisor}", f"inverse_{divisor}"]
        return sorted({*reads, *targets} - set(steps))

    def _function(self, name, steps, results):
        self._add(
            0, "@exactly", f"def {name}({', '.join(['like', *self._reads(steps, results)])}):"
        )
        for value in steps:
            self._add(1, f"{value} = {self._formula(value)}")
        self._add(1, f"return ({', '.join(results)},)", "", "")

    def _targets(self, each):
        """The values that one pass takes from its formula."""
        reduced = [self.loop.step(value).operands[0] for value in each.reduced]
        written = [self.loop.outputs[k].value for k in each.written]
        return list(dict.fromkeys([*reduced, *each.keeps, *written]))

    def _pass_function(self, number, each):
        if self._targets(each):
            self._function(f"pass{number}", each.steps, self._targets(each))

    def _row_function(self, name, steps):
        if steps:
            self._function(name, steps, steps)

    def _row_call(self, depth, name, steps):
        if steps:
            args = ", ".join(["numbers", *self._reads(steps, steps)])
            self._add(depth, f"{', '.join(steps)}, = {name}({args})")
        for value in steps:
            self._inverse(depth, value)

    def _inverse(self, depth, value):
        """What a division by a value that a whole row shares is made of, if there is one."""
        divided = [s for s in self.loop.steps if s.name == "quotient" and s.operands[1] == value]
        if divided:
            self._add(depth, f"scale_{value}, inverse_{value} = inverse_of({value})")

    # The task

    def _arguments(self):
        inputs = [f"a{k}" for k in range(len(self.loop.inputs))]
        return ", ".join([*inputs, *(f"y{k}" for k in range(len(self.loop.outputs)))])

    def _given(self):
        """The parameters of a task, between its number and the arrays."""
        buffers = ["kept"] if self.kept else []
        buffers += ["parts", "wide"] if self.columns else []
        buffers += ["totals"] if self.totals else []
        return ", ".join(["rows, columns, size, numbers", *buffers, self._arguments()])

    def _task(self):
        given = self._given()
        self._add(0, "@body", f"def task_of(task, tasks, {given}):")
        self._add(1, "lo, hi = share(task, tasks, rows)", "lanes_ = lanes(numbers)")
        if self.fetching is not None:
            whole = next(k for k, kind in enumerate(self.loop.inputs) if kind == FULL)
            self._add(1, f"far = ahead_of(a{whole})")
        self._add(1, "zero, least = numbers.dtype.type(0), numbers.dtype.type(-inf)")
        for k in range(self.loop.numbers):
            self._add(1, f"c{k} = numbers[{k}]")
            self._inverse(1, f"c{k}")
        for k, kind in enumerate(self.loop.inputs):
            if kind == SCALAR:
                self._add(1, f"x{k} = a{k}[0]")
                self._inverse(1, f"x{k}")
        for j, value in enumerate(self.kept):
            self._add(1, f"kept_{value} = (task * {len(self.kept)} + {j}) * columns")
        for j, k in enumerate(self.columns):
            self._add(1, f"part_{k} = (task * {len(self.columns)} + {j}) * columns")
        self._add(1, "for r in range(lo, hi):")
        self._row()

    def _row(self):
        self._add(2, "start = r * columns", "count = min(columns, size - start)")
        for k, kind in enumerate(self.loop.inputs):
            if kind == ROW:
                self._add(2, f"x{k} = a{k}[r]")
                self._inverse(2, f"x{k}")
        self._row_call(2, "before", row_steps_before(self.loop))
        for number, each in enumerate(self.passes):
            if self._targets(each):
                self._pass(number, each)
            self._row_call(2, f"after{number}", each.row_steps)
        for k, output in enumerate(self.loop.outputs):
            if output.form == ROW:
                self._add(2, f"y{k}[r] = {output.value}")
        if self.columns:
            self._add(2, f"if (r - lo) % {FLUSH} == {FLUSH - 1} or r == hi - 1:")
            for k in self.columns:
                self._add(3, f"flush(parts, wide, part_{k}, columns)")
        self._add(0, "", "")

    def _sums(self, each):
        """(name of a sum, its value) for the sums of one pass, over a row and over all."""
        rows = [
            (value, self.loop.step(value).operands[0])
            for value in each.reduced
            if self.loop.step(value).name == "sum"
        ]
        totals = [(f"y{k}", self.loop.outputs[k].value) for k in each.written if k in self.totals]
        return rows + totals

    def _greatest(self, each):
        return [
            (value, self.loop.step(value).operands[0])
            for value in each.reduced
            if self.loop.step(value).name == "max"
        ]

    def _pass(self, number, each):
        for name, _ in self._sums(each):
            self._add(2, f"whole_{name} = 0.0")
        for name, _ in self._greatest(each):
            start = "full(numbers, least)" if self.vectors else "least"
            self._add(2, f"max_{name} = {start}")
        self._add(2, "for first in range(0, count, RUN):", "    last = min(first + RUN, count)")
        for name, _ in self._sums(each):
            self._add(3, f"sum_{name} = {'full(numbers, zero)' if self.vectors else 'zero'}")
        if self.vectors:
            self._add(
                3, "rest = (last - first) % lanes_", "for i in range(first, last - rest, lanes_):"
            )
            self._vectors(4, number, each, rest=False)
            self._add(3, "if rest:", "    i = last - rest")
            self._vectors(4, number, each, rest=True)
        else:
            self._scalars(number, each)
        for name, _ in self._sums(each):
            self._add(
                3, f"whole_{name} += {f'total(sum_{name})' if self.vectors else f'sum_{name}'}"
            )
        for name, _ in self._sums(each):
            if name[0] == "y":
                at = f"task * {len(self.totals)} + {self.totals.index(int(name[1:]))}"
                self._add(2, f"totals[{at}] += whole_{name}")
            else:
                self._add(2, f"{name} = numbers.dtype.type(whole_{name})")
                self._inverse(2, name)
        for name, _ in self._greatest(each):
            self._add(
                2, f"{name} = {f'greatest_of(max_{name})' if self.vectors else f'max_{name}'}"
            )
            self._inverse(2, name)

    def _place(self, value):
        """(the array in which a value of a row lies, where the row begins there)."""
        if value[0] == "x":
            return f"a{value[1:]}", "start" if self.loop.place(value) == FULL else "0"
        return "kept", f"kept_{value}"

    def _call(self, number, each, read):
        """The call of a pass's formula, with `read` for what differs from element to element."""
        targets = self._targets(each)
        args = ["numbers"]
        for name in self._reads(each.steps, targets):
            if name[0] in "xv" and self._varies(name):
                args.append(read(*self._place(name)))
            else:
                args.append(name)
        return f"{', '.join(f'r_{value}' for value in targets)}, = pass{number}({', '.join(args)})"

    def _vectors(self, depth, number, each, rest):
        """The innermost loop's body, of whole vectors or of the rest of a row."""
        if rest:
            read, write = "load_some({}, {} + i, 0, rest)", "store_some({}, {} + i, {}, 0, rest)"
            inside, among = "first_lanes(r_{}, rest)", "lanes_or(r_{}, rest, max_{})"
        else:
            read, write = "load({}, {} + i)", "store({}, {} + i, {})"
            inside, among = "r_{}", "r_{}"
        if each is self.fetching and not rest:
            inputs = [f"a{k}" for k, kind in enumerate(self.loop.inputs) if kind == FULL]
            outputs = [f"y{k}" for k, o in enumerate(self.loop.outputs) if o.form == FULL]
            fetched = [f"    prefetch({name}, start + i + far)" for name in inputs + outputs]
            self._add(depth, "if far:", *fetched)
        self._add(depth, self._call(number, each, read.format))
        for value in each.keeps:
            self._add(depth, write.format("kept", f"kept_{value}", f"r_{value}"))
        for name, value in self._greatest(each):
            self._add(depth, f"max_{name} = maximum_({among.format(value, name)}, max_{name})")
        for name, value in self._sums(each):
            self._add(depth, f"sum_{name} = sum_{name} + {inside.format(value)}")
        for k in each.written:
            form, value = self.loop.outputs[k]
            if form == FULL:
                self._add(depth, write.format(f"y{k}", "start", f"r_{value}"))
            elif form == COLUMNS:
                found = read.format("parts", f"part_{k}")
                self._add(depth, write.format("parts", f"part_{k}", f"{found} + r_{value}"))

    def _scalars(self, number, each):
        """The innermost loop, element by element of slices: so LLVM sees that they do not wrap."""
        slices = {}

        def part_of(array, begin):
            name = f"at_{array}" if begin in ("start", "0") else f"at_{begin}"
            slices[name] = f"{array}[{begin} + first : {begin} + last]"
            return f"{name}[i]"

        body = [self._call(number, each, part_of)]
        body += [f"{part_of('kept', f'kept_{value}')} = r_{value}" for value in each.keeps]
        for name, value in self._greatest(each):
            body.append(f"max_{name} = maximum_(r_{value}, max_{name})")
        for name, value in self._sums(each):
            body.append(f"sum_{name} += r_{value}")
        for k in each.written:
            form, value = self.loop.outputs[k]
            if form == FULL:
                body.append(f"{part_of(f'y{k}', 'start')} = r_{value}")
            elif form == COLUMNS:
                body.append(f"{part_of('parts', f'part_{k}')} += r_{value}")
        self._add(3, *(f"{name} = {text}" for name, text in slices.items()))
        count = f"{next(iter(slices))}.size" if slices else "last - first"
        self._add(3, f"for i in range({count}):")
        self._add(4, *body)

    # What Python calls

    def _driver(self):
        kept, columns, totals = map(len, (self.kept, self.columns, self.totals))
        self._add(0, "@jit", f"def loop(pool, rows, columns, size, numbers, {self._arguments()}):")
        self._add(1, "tasks = max(1, min(tasks_for(pool, size, TASK), rows))")
        if kept:
            self._add(1, f"kept = np.empty(tasks * {kept} * columns, numbers.dtype)")
        if columns:
            self._add(1, f"parts = np.zeros(tasks * {columns} * columns, numbers.dtype)")
            self._add(1, f"wide = np.zeros(tasks * {columns} * columns)")
        if totals:
            self._add(1, f"totals = np.zeros(tasks * {totals})")
        self._add(1, f"run(pool, task_of, ({self._given()}), tasks)")
        for j, k in enumerate(self.columns):
            self._add(1, f"add_up(wide, {j} * columns, {columns} * columns, columns, y{k})")
        for j, k in enumerate(self.totals):
            self._add(1, f"add_up(totals, {j}, {totals}, 1, y{k})")
