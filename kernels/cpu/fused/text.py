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
            sum_v3_0 = full(numbers, zero)
            ...
            for i in range(done, last - rest, lanes_):
                r_v2, = pass1(numbers, load(a0, start + i), v0)
                store(kept, kept_v2 + i, r_v2)
                sum_v3_0 = sum_v3_0 + r_v2

There are two ways to write the innermost loop. By vectors, as above, where every step has a
function of vectors; else element by element, for LLVM to make vectors of where it can.
"""

from ...loop import CHEAP, COLUMN, COLUMNS, FULL, ROW, SCALAR, TOTAL, passes, row_steps_before

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
ABREAST = 4  # vectors at a time where a pass reduces more than it computes: they need not wait


class Text:
    """The text of one loop's kernel, as `str(Text(loop, vectors))`.

    `vectors` says whether the innermost loop is written by vectors.
    """

    def __init__(self, loop, vectors):
        self.loop, self.vectors = loop, vectors
        self.passes = passes(loop)
        self.kept_in = self._outputs_that_keep()
        kept = {value for each in self.passes for value in each.keeps}
        self.kept = sorted(kept - self.kept_in.keys())
        self.columns = [k for k, o in enumerate(loop.outputs) if o.form == COLUMNS]
        self.totals = [k for k, o in enumerate(loop.outputs) if o.form == TOTAL]
        self.fetching = self._fetching_pass()
        self.carrying = self._carrying_pass()
        self.lines: list[str] = []

    def _outputs_that_keep(self):
        """{a kept value: the output in whose memory it waits}: a later pass writes there anyway."""
        found = {}
        for value in sorted({value for each in self.passes for value in each.keeps}):
            last = max(n for n, each in enumerate(self.passes) if value in each.kept)
            for k, output in enumerate(self.loop.outputs):
                is_later = any(k in each.written for each in self.passes[last:])
                if output.form == FULL and is_later and k not in found.values():
                    found[value] = k
                    break
        return found

    def _fetching_pass(self):
        """The pass that fetches the memory of rows to come: one that computes enough meanwhile.

        None where there is but one pass, during which the processor fetches by itself.
        """
        if not self.vectors or len(self.passes) < 2 or FULL not in self.loop.inputs:
            return None
        keeping = [each for each in self.passes if each.keeps]
        return (keeping or self.passes)[-1]

    def _carrying_pass(self):
        """The pass that makes the first one's reductions, too: those of the second row ahead.

        So that row is loaded during arithmetic, and the next one need not wait for them. None if
        no pass computes enough for that, or the first one does more than to reduce whole arrays.
        """
        if not self.passes:  # all is computed of one value for each row
            return None
        first, *others = self.passes
        computing = [each for each in others if not self._is_cheap(each)]
        reads = {x for value in first.steps for x in self.loop.step(value).operands}
        reads |= {self.loop.step(value).operands[0] for value in first.reduced}
        of_rows = any(self.loop.place(x) == ROW for x in reads)
        if not (self.vectors and computing and first.reduced) or of_rows or first.written:
            return None
        return computing[0] if self._is_cheap(first) and not first.keeps else None

    def _is_cheap(self, each):
        return {self.loop.step(value).name for value in each.steps} <= CHEAP

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
            if step.name == "quotient":
                x, divisor = step.operands
                reads += [x, f"scale_{divisor}", f"inverse_{divisor}"]
            else:
                reads += step.operands
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
        if self.carrying is not None:
            self._first_rows()
        self._add(1, "for r in range(lo, hi):")
        self._row()

    def _first_rows(self):
        """What the first pass finds in the first two rows of a task, which no row carries."""
        first = self.passes[0]
        self._add(1, *(f"now_{value} = next_{value} = zero" for value in first.reduced))
        self._add(1, "for r in range(lo, min(lo + 2, hi)):")
        self._add(2, "start = r * columns", "count = columns")
        self._pass(0, first)
        self._add(
            2, *(f"now_{value}, next_{value} = next_{value}, {value}" for value in first.reduced)
        )
        self._add(1, "if hi - lo == 1:")
        self._add(2, *(f"now_{value} = next_{value}" for value in first.reduced))

    def _row(self):
        self._add(2, "start = r * columns", "count = min(columns, size - start)")
        if self.carrying is not None:
            self._add(2, "away = (min(r + 2, hi - 1) - r) * columns")
        for k, kind in enumerate(self.loop.inputs):
            if kind == ROW:
                self._add(2, f"x{k} = a{k}[r]")
                self._inverse(2, f"x{k}")
        self._row_call(2, "before", row_steps_before(self.loop))
        for number, each in enumerate(self.passes):
            if number == 0 and self.carrying is not None:
                for value in each.reduced:
                    self._add(2, f"{value}, now_{value} = now_{value}, next_{value}")
                    self._inverse(2, value)
            elif self._targets(each):
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
        written = [k for k in each.written if k in self.totals]
        totals = [(f"y{k}", f"r_{self.loop.outputs[k].value}") for k in written]
        return self._reductions(each, "sum") + totals

    def _greatest(self, each):
        return self._reductions(each, "max")

    def _reductions(self, each, kind):
        """(its name, what is reduced) for one kind of reductions; `next_v0` is of a row ahead."""
        steps = [(value, "r", self.loop.step(value)) for value in each.reduced]
        if each is self.carrying:
            first = self.passes[0].reduced
            steps += [(f"next_{value}", "ahead", self.loop.step(value)) for value in first]
        return [
            (name, f"{prefix}_{x}") for name, prefix, (found, (x,), _) in steps if found == kind
        ]

    def _abreast(self, each):
        """How many vectors a pass goes through at a time, each with reductions of its own."""
        reduces = self.vectors and (self._sums(each) or self._greatest(each))
        return ABREAST if reduces and self._is_cheap(each) else 1

    def _pass(self, number, each):
        abreast = self._abreast(each)
        for name, _ in self._sums(each):
            self._add(2, f"whole_{name} = 0.0")
        for name, _ in self._greatest(each):
            start = "full(numbers, least)" if self.vectors else "least"
            self._add(2, *(f"max_{name}_{k} = {start}" for k in range(abreast)))
        self._add(2, "for first in range(0, count, RUN):", "    last = min(first + RUN, count)")
        for name, _ in self._sums(each):
            start = "full(numbers, zero)" if self.vectors else "zero"
            self._add(3, *(f"sum_{name}_{k} = {start}" for k in range(abreast)))
        if self.vectors:
            self._all_vectors(number, each, abreast)
        else:
            self._scalars(number, each)
        for name, _ in self._sums(each):
            sums = " + ".join(f"sum_{name}_{k}" for k in range(abreast))
            self._add(3, f"whole_{name} += {f'total({sums})' if self.vectors else sums}")
        self._reduced(each, abreast)

    def _reduced(self, each, abreast):
        """The results of a pass's reductions."""
        for name, _ in self._sums(each):
            if name[0] == "y":
                at = f"task * {len(self.totals)} + {self.totals.index(int(name[1:]))}"
                self._add(2, f"totals[{at}] += whole_{name}")
            else:
                self._add(2, f"{name} = numbers.dtype.type(whole_{name})")
                self._inverse(2, name)
        for name, _ in self._greatest(each):
            greatest = f"max_{name}_0"
            for k in range(1, abreast):
                greatest = f"maximum_({greatest}, max_{name}_{k})"
            self._add(2, f"{name} = {f'greatest_of({greatest})' if self.vectors else greatest}")
            self._inverse(2, name)

    def _all_vectors(self, number, each, abreast):
        """The vectors of one piece of a row: some at a time, one by one, and the last elements."""
        self._add(3, "rest = (last - first) % lanes_")
        if abreast > 1:
            self._add(3, f"step = {abreast} * lanes_")
            self._add(3, "for block in range(first, last - step + 1, step):")
            for k in range(abreast):
                self._add(4, f"i = block + {k} * lanes_")
                self._vectors(4, number, each, k)
            self._add(3, "done = (last - first) // step * step + first")
        else:
            self._add(3, "done = first")
        self._add(3, "for i in range(done, last - rest, lanes_):")
        self._vectors(4, number, each, 0)
        self._add(3, "if rest:", "    i = last - rest")
        self._vectors(4, number, each, 0, rest=True)

    def _place(self, value):
        """(the array in which a value of a row lies, where the row begins there)."""
        if value[0] == "x":
            return f"a{value[1:]}", "start" if self.loop.place(value) == FULL else "0"
        if value in self.kept_in:
            return f"y{self.kept_in[value]}", "start"
        return "kept", f"kept_{value}"

    def _call(self, number, each, read, prefix="r"):
        """The call of a pass's formula, with `read` for what differs from element to element."""
        targets = self._targets(each)
        args = ["numbers"]
        for name in self._reads(each.steps, targets):
            if name[0] in "xv" and self._varies(name):
                args.append(read(*self._place(name)))
            else:
                args.append(name)
        results = ", ".join(f"{prefix}_{value}" for value in targets)
        return f"{results}, = pass{number}({', '.join(args)})"

    def _vectors(self, depth, number, each, k, rest=False):
        """The innermost loop's body: a whole vector, the k-th abreast, or the rest of a row."""
        if rest:
            read, write = "load_some({}, {} + i, 0, rest)", "store_some({}, {} + i, {}, 0, rest)"
            inside, among = "first_lanes({}, rest)", "lanes_or({}, rest, {})"
        else:
            read, write = "load({}, {} + i)", "store({}, {} + i, {})"
            inside, among = "{}", "{}"
        if each is self.fetching and not rest:
            self._add(depth, "if far:", *self._fetched(each))
        self._add(depth, self._call(number, each, read.format))
        if each is self.carrying:
            self._add(depth, self._call_ahead(read))
        for value in each.keeps:
            self._add(depth, write.format(*self._place(value), f"r_{value}"))
        for name, value in self._greatest(each):
            most = f"max_{name}_{k}"
            self._add(depth, f"{most} = maximum_({among.format(value, most)}, {most})")
        for name, value in self._sums(each):
            self._add(depth, f"sum_{name}_{k} = sum_{name}_{k} + {inside.format(value)}")
        for k in each.written:
            form, value = self.loop.outputs[k]
            if form == FULL:
                self._add(depth, write.format(f"y{k}", "start", f"r_{value}"))
            elif form == COLUMNS:
                found = read.format("parts", f"part_{k}")
                self._add(depth, write.format("parts", f"part_{k}", f"{found} + r_{value}"))

    def _call_ahead(self, read):
        """The call of the first pass's formula for the same place of the second row ahead."""

        def read_ahead(array, begin):
            return read.format(array, f"{begin} + away" if begin == "start" else begin)

        return self._call(0, self.passes[0], read_ahead, "ahead")

    def _fetched(self, each):
        inputs = [f"a{k}" for k, kind in enumerate(self.loop.inputs) if kind == FULL]
        outputs = [f"y{k}" for k, o in enumerate(self.loop.outputs) if o.form == FULL]
        away = " + away" if each is self.carrying else ""
        read = [f"    prefetch({name}, start + i{away} + far)" for name in inputs]
        return read + [f"    prefetch({name}, start + i + far)" for name in outputs]

    def _scalars(self, number, each):
        """The innermost loop, element by element of slices: so LLVM sees that they do not wrap."""
        slices = {}

        def part_of(array, begin):
            name = f"at_{array}" if begin in ("start", "0") else f"at_{begin}"
            slices[name] = f"{array}[{begin} + first : {begin} + last]"
            return f"{name}[i]"

        body = [self._call(number, each, part_of)]
        body += [f"{part_of(*self._place(value))} = r_{value}" for value in each.keeps]
        for name, value in self._greatest(each):
            body.append(f"max_{name}_0 = maximum_({value}, max_{name}_0)")
        for name, value in self._sums(each):
            body.append(f"sum_{name}_0 += {value}")
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
