"""What the tables of ops write with: nodes, constants and sizes of an ONNX graph.

g.Add(x, 1.0)        a node of ONNX's op Add; a number has the dtype of the first Value
g.cast(x, dtype)     a Cast, if x has another dtype
g.integers(sizes)    a list of integers, of which some may follow the dynamic axes
"""

import functools
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tinygrad_like.onnx.export.errors import ExportError, UnknownSize
from tinygrad_like.onnx.export.merge import Array
from tinygrad_like.onnx.export.patterns import Band, Ramp, Uniform
from tinygrad_like.onnx.export.record import INPUTS, Leaf, Ref
from tinygrad_like.onnx.export.sizes import Formula, Size, formula_of

BOOLEAN = frozenset(
    "Equal Less LessOrEqual Greater GreaterOrEqual And Or Xor Not IsNaN IsInf".split()
)
INTEGER = frozenset("Shape Size ArgMax ArgMin NonZero".split())
BOOL, INT64 = np.dtype(bool), np.dtype(np.int64)


class Value(NamedTuple):
    """A value of the graph, with its dtype and, where it is known, its shape."""

    value: Any  # an onnx_ir.Value
    dtype: np.dtype
    shape: tuple | None = None

    @property
    def ndim(self) -> int:
        assert self.shape is not None
        return len(self.shape)


class Symbol(NamedTuple):
    """A dynamic axis: its name, its length in each run, and an input that has it."""

    name: str
    values: tuple[int, ...]
    place: int
    axis: int


class Emitter:
    """A graph that grows.

    Args:
        opset: the version of ONNX's ops.
        symbols: the dynamic axes.
        inputs: the graph's inputs, as Values.
        leaves: {path: Tensor}.
        reserved: names that the outputs will have.
    """

    def __init__(
        self,
        opset: int,
        symbols: list[Symbol],
        inputs: list[Value],
        leaves: dict[str, Any],
        reserved: Iterable[str] = (),
    ):
        import onnx_ir

        self.ir = onnx_ir
        self.opset, self.symbols, self.inputs, self.leaves = opset, symbols, inputs, leaves
        self.runs = len(symbols[0].values) if symbols else 2
        self.nodes: list = []
        self.initializers: dict[str, Any] = {}
        self.made: dict[Ref, Value] = {}
        self._constants: dict[tuple, Value] = {}
        self._sizes: dict[Any, Value] = {}
        self._count = 0
        self._taken = {*leaves, *reserved, *(x.value.name for x in inputs)}
        self.outputs: tuple[Array, ...] = ()  # those of the step that is being written

    # Nodes

    def __getattr__(self, kind: str) -> Any:
        if not kind[0].isupper():
            raise AttributeError(kind)
        return functools.partial(self.node, kind)

    def node(
        self, kind: str, *inputs: Any, outputs: int = 1, dtype: Any = None, **attributes: Any
    ) -> Any:
        """A node: its output as a Value, or a tuple of them if there are several.

        Its inputs are Values, None for one that is left out, and numbers. `dtype` is that of the
        outputs: by default that of the first Value, or what ONNX says of the op.
        """
        data = inputs[1:] if kind == "Where" else inputs
        first = next((x for x in data if isinstance(x, Value)), None)
        if dtype is None:
            dtype = BOOL if kind in BOOLEAN else INT64 if kind in INTEGER else None
        if dtype is None:
            assert first is not None
            dtype = first.dtype
        given = [self._input(x, first) for x in inputs]
        while given[-1] is None:  # what is left out at the end is not written
            given.pop()
        names = [self.fresh(kind) for _ in range(outputs)]
        values = [self.ir.Value(name=name) for name in names]
        made = self.ir.node(kind, given, attributes, outputs=values, name=names[0])
        self.nodes.append(made)
        found = tuple(Value(v, np.dtype(dtype)) for v in values)
        return found if outputs > 1 else found[0]

    def _input(self, x: Any, like: Value | None) -> Any:
        """What a node is given: a number becomes a constant of the dtype of `like`."""
        if x is None or isinstance(x, Value):
            return None if x is None else x.value
        assert like is not None
        return self.number(x, like.dtype).value

    def fresh(self, kind: str) -> str:
        """A name that no other value has."""
        self._count += 1
        name = f"{kind}_{self._count}"
        return self.fresh(kind) if name in self._taken else name

    def cast(self, x: Value, dtype: Any) -> Value:
        """x in a dtype."""
        dtype = np.dtype(dtype)
        if x.dtype == dtype:
            return x
        y = self.node("Cast", x, dtype=dtype, to=self.data_type(dtype))
        return y._replace(shape=x.shape)

    def data_type(self, dtype: np.dtype) -> Any:
        """ONNX's name of a dtype; ExportError for complex numbers."""
        if dtype.kind == "c":
            raise ExportError(
                f"[onnx.export] {dtype}: ONNX's ops do not compute with complex numbers; compute "
                "with real and imaginary parts"
            )
        return self.ir.DataType.from_numpy(dtype)

    # Constants

    def constant(self, array: Any, dtype: Any = None, name: str | None = None) -> Value:
        """An array, stored once however often it is asked for."""
        array = np.asarray(array, dtype)
        key = (name,) if name else (array.shape, array.dtype, array.tobytes())
        if key not in self._constants:
            self.data_type(array.dtype)
            name = name or self.fresh("constant")
            tensor = self.ir.tensor(np.ascontiguousarray(array).reshape(array.shape), name=name)
            value = self.ir.Value(
                name=name,
                const_value=tensor,
                shape=self.ir.Shape(array.shape),
                type=self.ir.TensorType(tensor.dtype),
            )
            self.initializers[name] = value
            self._constants[key] = Value(value, array.dtype, array.shape)
        return self._constants[key]

    def number(self, x: Any, dtype: Any) -> Value:
        """A number, or a Size, as a 0-d value."""
        if isinstance(x, Size):
            return self.cast(self.Reshape(self.size(x), self.constant([], INT64)), dtype)
        return self.constant(x, dtype)

    def array(self, x: Array) -> Value:
        """An Array of the program."""
        made = self._source(x)._replace(shape=x.shape)
        return self.cast(made, x.dtype)

    def _source(self, x: Array) -> Value:
        """The value of an Array's source, perhaps of another dtype than the Array's."""
        source = x.source
        if isinstance(source, Ref):
            return self.inputs[source.place] if source.call == INPUTS else self.made[source]
        if isinstance(source, Leaf):
            return self.constant(self.leaves[source.path].numpy(), name=source.path)
        if isinstance(source, np.ndarray):
            return self.constant(source)
        shape = self.integers(x.shape)
        if isinstance(source, Uniform):
            return self.Expand(self.constant(source.value, x.dtype), shape)
        if isinstance(source, Ramp):
            return self.Expand(self.cast(self._ramp(source, x.shape), x.dtype), shape)
        return self.Expand(self._band(source, x.shape, x.dtype), shape)

    def _ramp(self, ramp: Ramp, shape: tuple) -> Value:
        """A Ramp, with axes of length 1 where it does not rise."""
        total = self.number(ramp.start, INT64)
        for axis, (n, step) in enumerate(zip(shape, ramp.steps, strict=True)):
            if step:
                lengths = [-1 if i == axis else 1 for i in range(len(shape))]
                line = self.Mul(self.range(n), self.number(step, INT64))
                total = self.Add(total, self.Reshape(line, self.integers(lengths)))
        return total if ramp.divisor == 1 else self.Div(total, self.number(ramp.divisor, INT64))

    def _band(self, band: Band, shape: tuple, dtype: Any) -> Value:
        """A Band of a matrix, or of several that are alike."""
        diagonal = self.diagonals(*shape[-2:])
        seen = None
        for bound, compare in ((band.low, "GreaterOrEqual"), (band.high, "LessOrEqual")):
            if bound is not None:
                here = self.node(compare, diagonal, self.number(bound, INT64))
                seen = here if seen is None else self.And(seen, here)
        assert seen is not None
        if dtype == BOOL:
            return seen if band.inside else self.Not(seen)
        inside, outside = (self.constant(v, dtype) for v in (band.inside, band.outside))
        return self.Where(seen, inside, outside)

    def range(self, n: Any) -> Value:
        """0, 1, ..., n - 1."""
        if isinstance(n, int):
            return self.constant(np.arange(n), INT64)
        zero, one = self.constant(0, INT64), self.constant(1, INT64)
        return self.Range(zero, self.number(n, INT64), one)

    def diagonals(self, rows: Any, columns: Any) -> Value:
        """column - row at each place of a matrix."""
        return self.Sub(self.range(columns), self.Unsqueeze(self.range(rows), self.constant([1])))

    # Sizes

    def integers(self, sizes: Sequence[Any], near: Sequence[Value] = ()) -> Value:
        """A list of integers as a 1-d value; `near` are Values whose lengths they may follow."""
        if all(isinstance(n, int) for n in sizes):
            return self.constant(np.array([*sizes], np.int64))
        parts = [self.size(n, near) if isinstance(n, Size) else [n] for n in sizes]
        joined: list = []
        for part in parts:  # neighbours that are known make one constant
            if isinstance(part, list) and joined and isinstance(joined[-1], list):
                joined[-1] += part
            else:
                joined.append(part)
        values = [self.constant(p, INT64) if isinstance(p, list) else p for p in joined]
        return values[0] if len(values) == 1 else self.Concat(*values, axis=0)

    def size(self, n: Any, near: Sequence[Value] = ()) -> Value:
        """An integer as a 1-d value of one element.

        Raises UnknownSize if it follows neither the dynamic axes nor the lengths of `near`.
        """
        if isinstance(n, int):
            return self.constant([n], INT64)
        found = self._formula(n, near)
        if found is None:
            raise UnknownSize(
                "[onnx.export] an integer that follows the sizes of the inputs was not understood: "
                f"it is {', '.join(map(str, sorted(set(n.values))))}; make fewer axes dynamic"
            )
        formula, lengths = found
        return self._written(formula, [self._length(x, axis) for x, axis in lengths])

    def follows(self, n: Any, near: Sequence[Value] = ()) -> bool:
        """Whether an integer is known, or follows the dynamic axes or the lengths of `near`."""
        return isinstance(n, int) or self._formula(n, near) is not None

    def _formula(self, n: Size, near: Sequence[Value]) -> tuple[Formula, list] | None:
        """A formula of an integer, and the (Value, axis) whose lengths are its symbols."""
        of_inputs = [(self.inputs[s.place], s.axis) for s in self.symbols]
        sources = [(of_inputs, tuple(s.values for s in self.symbols))]
        for x in near:
            own = [(i, m.values) for i, m in enumerate(x.shape or ()) if isinstance(m, Size)]
            sources.append(([(x, i) for i, _ in own], tuple(values for _, values in own)))
        for lengths, symbols in sources:
            formula = formula_of(n.values, symbols)
            if formula is not None:
                return formula, lengths
        return None

    def _length(self, x: Value, axis: int) -> Value:
        """The length of an axis of a value, asked for once."""
        key = x.value.name, axis
        if key not in self._sizes:
            if key[0] not in self._sizes:
                self._sizes[key[0]] = self.Shape(x)
            shape = self._sizes[key[0]]
            self._sizes[key] = self.Gather(shape, self.constant([axis], INT64), axis=0)
        return self._sizes[key]

    def _written(self, formula: Formula, symbols: list[Value]) -> Value:
        """A Formula of lengths, computed once."""
        key = formula, tuple(s.value.name for s in symbols)
        if key not in self._sizes:
            total: Any = None
            for c, which in formula.terms:
                term: Any = None
                for i in which:
                    term = symbols[i] if term is None else self.Mul(term, symbols[i])
                if term is None:
                    term = self.constant([c], INT64)
                elif c != 1:
                    term = self.Mul(term, self.constant([c], INT64))
                total = term if total is None else self.Add(total, term)
            if formula.divisor != 1:
                total = self.Div(total, self.constant([formula.divisor], INT64))
            self._sizes[key] = total
        return self._sizes[key]

    # What ONNX changed between versions

    def reduce(self, kind: str, x: Value, axes: Sequence[int], keepdims: bool = True) -> Value:
        """A node such as ReduceMax: until opset 17 its axes are an attribute, of sums an input."""
        axes = [int(a) for a in axes]
        if not axes:
            return self.Identity(x)
        if self.opset >= 18 or kind == "ReduceSum":
            given = self.constant(np.array(axes, np.int64))
            return self.node(kind, x, given, keepdims=int(keepdims))
        return self.node(kind, x, axes=axes, keepdims=int(keepdims))

    def unsqueeze(self, x: Value, *axes: int) -> Value:
        """x with axes of length 1 inserted."""
        return self.Unsqueeze(x, self.constant(np.array(axes, np.int64)))

    def slice(self, x: Value, axis: int, start: Any, stop: Any, step: int = 1) -> Value:
        """A slice of one axis."""
        bounds = (self.integers([n], [x]) for n in (start, stop))
        return self.Slice(x, *bounds, self.integers([axis]), self.integers([step]))

    def reshape(self, x: Value, shape: Sequence[Any]) -> Value:
        """x in another shape, in which one length may be left to ONNX to work out."""
        unknown = [i for i, n in enumerate(shape) if not self.follows(n, [x])]
        if len(unknown) == 1 and 0 not in shape:
            shape = [-1 if i == unknown[0] else n for i, n in enumerate(shape)]
        y = self.Reshape(x, self.integers(shape, [x]), allowzero=int(-1 not in shape))
        return y._replace(shape=tuple(shape))
