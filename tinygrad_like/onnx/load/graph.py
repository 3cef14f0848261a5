"""A graph as a sequence of steps, and how it runs.

Values are Tensors, or NumPy arrays: those that are known without the inputs' elements (integer
initializers, constants, shapes). An op all of whose inputs are such arrays returns such arrays, so
that the arithmetic of shapes stays on the host, also where the Tensors are on a GPU.

A call of a function (one of the model, or an op that ONNX defines by others and that the table
does not have) is a step that runs the graph of the function's body.
"""

from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

import numpy as np

from tinygrad_like.engine import Tensor, mode, wrap
from tinygrad_like.engine.modes import Switch
from tinygrad_like.onnx.load.dtypes import CODES, dtype_of
from tinygrad_like.onnx.load.errors import OnnxError, Refused
from tinygrad_like.onnx.load.table import NEWEST, Entry, Host, Raw, find

FAULTS = (
    *(ValueError, TypeError, LookupError, ArithmeticError, AttributeError, AssertionError),
    *(MemoryError, RuntimeError),
)


@dataclass
class Step:
    """One node: its function, the names of its inputs and outputs, its attributes."""

    op: str
    name: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]
    call: Callable[["Step", list, Mapping, Mapping], Sequence]
    entry: Entry | None = None
    drops: list[str] = field(default_factory=list)  # values that no later step reads

    def __call__(self, scope: Mapping[str, Any], state: Mapping[str, Any]) -> Sequence:
        """The outputs, in a scope {name: value}, with the Tensors of the model {path: Tensor}."""
        values = [scope[name] if name else None for name in self.inputs]
        try:
            return self.call(self, values, scope, state)
        except FAULTS as error:
            where = f"in node {self.name!r}, op {self.op}" if self.name else f"in op {self.op}"
            if str(error).startswith("[") and len(error.args) == 1:  # it says what is wrong
                error.args = (f"{error.args[0]} ({where})",)
                raise
            given = ", ".join(map(_shown, values))
            raise OnnxError(
                f"[onnx] {self.op} of {given}: {type(error).__name__}: {error} ({where})"
            ) from error


@dataclass
class Graph:
    """Steps in an order in which each finds its inputs."""

    name: str
    inputs: list[str]
    outputs: list[str]
    steps: list[Step]
    constants: dict[str, np.ndarray]
    state: dict[str, str]  # {name: its path in the model} of parameters and buffers

    def run(self, inputs: Sequence, state: Mapping, outer: Any = None) -> list:
        """The outputs, for inputs in their order; `outer` is the scope around a subgraph."""
        own: dict[str, Any] = dict(self.constants)
        own.update((name, state[path]) for name, path in self.state.items())
        own.update(zip(self.inputs, inputs, strict=False))  # a function's last ones may be left out
        own.update((name, None) for name in self.inputs[len(inputs) :])
        scope = own if outer is None else ChainMap(own, outer)
        for step in self.steps:
            found = step(scope, state)
            own.update((n, y) for n, y in zip(step.outputs, found, strict=False) if n)
            for name in step.drops:
                del own[name]
        missing = [name for name in self.outputs if name and name not in scope]
        if missing:
            raise OnnxError(f"[onnx] nothing in {self.name!r} computes {', '.join(missing)}")
        return [scope[name] if name else None for name in self.outputs]


def _shown(value):
    """A value as errors show it."""
    if isinstance(value, (Tensor, np.ndarray)):
        return f"{value.dtype} {tuple(value.shape)}"
    return "nothing" if value is None else f"a {type(value).__name__}"


# How a step runs


def run_entry(step: Step, values: list, scope: Mapping, state: Mapping) -> Sequence:
    """Run the function of the table."""
    entry = step.entry
    assert entry is not None
    tensor = next((v for v in values if isinstance(v, Tensor)), None)
    device = None if tensor is None else tensor.device
    inputs = [_as_kind(v, entry.kind(i), device) for i, v in enumerate(values)]
    options = {
        name: partial(_subgraph, value, scope, state) if isinstance(value, Graph) else value
        for name, value in step.attributes.items()
    }
    if entry.counts:
        options["outputs"] = len(step.outputs)
    on_host = tensor is None and values and entry.kind(0) is not Raw
    # Arithmetic of shapes is Python's, of which `tg.onnx.export` writes down no calls.
    with Switch("trace", None) if on_host and "trace" in mode.changed else nullcontext():
        found = entry.function(*inputs, **options)
    found = found if isinstance(found, tuple) else (found,)
    if len(found) < len(step.outputs):
        raise Refused(f"[onnx] {step.op} with {len(step.outputs)} outputs")
    if on_host:
        return [y.data if isinstance(y, Tensor) else y for y in found]
    return found


def _subgraph(graph, scope, state, *inputs):
    return graph.run(inputs, state, scope)


def _as_kind(value, kind, device):
    """An input as the function takes it."""
    if value is None or kind is Raw:
        return value
    if kind is Host:
        return value.numpy() if isinstance(value, Tensor) else value
    return lifted(value, device)


def lifted(value: Any, device: Any = None) -> Any:
    """A NumPy array as a Tensor on a device (None: the host); anything else unchanged."""
    if not isinstance(value, np.ndarray):
        return value
    return wrap(value) if device in (None, "cpu") else Tensor(value, device=device)


def run_body(step: Step, values: list, scope: Mapping, state: Mapping) -> Sequence:
    """Run the body of a function, whose graph the step holds."""
    return step.attributes["body"].run(values, state)


def run_expansion(step: Step, values: list, scope: Mapping, state: Mapping) -> Sequence:
    """Run the body of an op whose definition by other ops depends on the types of its inputs."""
    types = tuple(_type_of(v) for v in values)
    opset = step.attributes["opset"]
    body = _expansion(step.attributes["node"], opset, types)
    return body.run(values, state)


def _type_of(value):
    """(the code of a dtype, a shape) of an input, None for one that is left out or a sequence."""
    if isinstance(value, (Tensor, np.ndarray)):
        return CODES[np.dtype(value.dtype)], tuple(value.shape)
    return None


@lru_cache(256)
def _expansion(node_bytes, opset, types):
    """The graph by which ONNX defines a node with inputs of these types."""
    import onnx

    node = onnx.NodeProto.FromString(node_bytes)
    schema: Any = onnx.defs.get_schema(node.op_type, opset, node.domain)
    protos = [
        onnx.TypeProto() if t is None else onnx.helper.make_tensor_type_proto(*t) for t in types
    ]
    given = [proto.SerializeToString() for proto in protos]
    versions = schema.context_dependent_function_opset_versions
    version = max((v for v in versions if v <= opset), default=min(versions))
    text = schema.get_context_dependent_function_with_opset_version(version, node_bytes, given)
    if not text:
        raise Refused(f"[onnx] {node.op_type} has no definition for inputs of these types: {types}")
    return Builder({}, {node.domain: opset}).body(onnx.FunctionProto.FromString(text), node, schema)


# How a graph is built


@dataclass
class Builder:
    """Makes Graphs of protos. `refused` collects what the table does not have."""

    functions: dict[tuple[str, str, str], Any]  # those of the model
    opsets: dict[str, int]
    given: dict[str, Any] = field(default_factory=dict)  # attributes of the function around
    refused: list[str] | None = None  # None: the first one is raised
    initial: Any = None  # takes (name, array) of an initializer, returns its path or None
    folder: str = ""  # where external data lie

    def graph(self, proto: Any) -> Graph:
        """The Graph of a GraphProto."""
        constants, state = {}, {}
        for tensor in [*proto.initializer, *proto.sparse_initializer]:
            sparse = not hasattr(tensor, "name")
            name = tensor.values.name if sparse else tensor.name
            array = dense(tensor) if sparse else self.array(tensor, f"initializer {name!r}")
            path = self.initial(name, array) if self.initial else None
            if path is None:
                constants[name] = array
            else:
                state[name] = path
        inputs = [x.name for x in proto.input if x.name not in constants and x.name not in state]
        outputs = [y.name for y in proto.output]
        return self.steps(proto.name, inputs, outputs, proto.node, constants, state)

    def steps(self, name, inputs, outputs, nodes, constants, state) -> Graph:
        """The Graph of nodes; what follows from constants alone is computed here."""
        pairs = [(self.step(node), node) for node in needed(nodes, outputs)]
        pairs = [pair for pair in pairs if not _folded(pair[0], constants)]
        steps, left = [step for step, _ in pairs], [node for _, node in pairs]
        read = _note_last_uses(steps, left, outputs)
        constants = {n: array for n, array in constants.items() if n in read}
        return Graph(name, inputs, outputs, steps, constants, state)

    def body(self, function: Any, node: Any, schema: Any = None) -> Graph:
        """The Graph of a FunctionProto, for a node that calls it; `schema` of an op of ONNX."""
        given = {a.name: a for a in function.attribute_proto}
        if schema is not None:
            defaults = {name: a.default_value for name, a in schema.attributes.items()}
            given |= {name: a for name, a in defaults.items() if a.name}
        given |= {a.name: self.resolved(a) for a in node.attribute}
        inner = Builder(
            self.functions,
            {plain_domain(o.domain): o.version for o in function.opset_import},
            {name: a for name, a in given.items() if a is not None},
            self.refused,
            self.initial,
            self.folder,
        )
        wanted = [*node.output, *[""] * len(function.output)]
        outputs = [name if of else "" for name, of in zip(function.output, wanted, strict=False)]
        return inner.steps(function.name, list(function.input), outputs, function.node, {}, {})

    def resolved(self, attribute: Any) -> Any:
        """An AttributeProto, or what it refers to of the function around; None: left out."""
        if not attribute.ref_attr_name:
            return attribute
        of = self.given.get(attribute.ref_attr_name)
        if of is None:
            return None
        named = type(of)()
        named.CopyFrom(of)
        named.name = attribute.name
        return named

    def step(self, node: Any) -> Step:
        """The Step of a NodeProto."""
        domain = plain_domain(node.domain)
        base = {
            "op": node.op_type,
            "name": node.name,
            "inputs": list(node.input),
            "outputs": list(node.output),
        }
        function = self.functions.get((domain, node.op_type, node.overload))
        try:
            if function is not None:
                return Step(**base, attributes={"body": self.body(function, node)}, call=run_body)
            return self._step_of_schema(base, node, domain)
        except Refused as error:
            if self.refused is None:
                raise
            self.refused.append(str(error).removeprefix("[onnx] "))
            return Step(**base, attributes={}, call=run_entry)

    def _step_of_schema(self, base, node, domain):
        import onnx

        shown = ".".join(filter(None, [domain, node.op_type]))
        opset = self.opsets.get(domain)
        if opset is None:
            raise Refused(f"[onnx] {shown}: the model imports no opset of the domain {domain!r}")
        if opset > NEWEST.get(domain, opset):
            raise Refused(f"[onnx] {shown} of opset {opset}, expected at most {NEWEST[domain]}")
        try:
            schema: Any = onnx.defs.get_schema(node.op_type, opset, domain)
        except onnx.defs.SchemaError:
            raise Refused(f"[onnx] {shown} of opset {opset}, which ONNX does not define") from None
        entry = find(domain, node.op_type, schema.since_version)
        if entry is not None:
            attributes = self.attributes(node)
            for name in attributes.keys() - entry.names:
                raise Refused(f"[onnx] {shown} of opset {opset} with the attribute {name!r}")
            return Step(**base, attributes=attributes, call=run_entry, entry=entry)
        if schema.has_function:
            versions = schema.function_opset_versions
            version = max((v for v in versions if v <= opset), default=min(versions))
            text = schema.get_function_with_opset_version(version)
            body = self.body(onnx.FunctionProto.FromString(text), node, schema)
            return Step(**base, attributes={"body": body}, call=run_body)
        if schema.has_context_dependent_function:
            alone = onnx.NodeProto()
            alone.CopyFrom(node)
            del alone.attribute[:]
            alone.attribute.extend(filter(None, map(self.resolved, node.attribute)))
            options = {"node": alone.SerializeToString(), "opset": opset}
            return Step(**base, attributes=options, call=run_expansion)
        raise Refused(f"[onnx] {shown} of opset {opset}")

    def attributes(self, node: Any) -> dict[str, Any]:
        """{name: value} of a node's attributes: numbers, strings, lists, arrays, Graphs."""
        found = {}
        for attribute in node.attribute:
            of = self.resolved(attribute)
            if of is not None:
                what = f"attribute {attribute.name!r} of {node.op_type}"
                found[attribute.name] = self.value(of, what)
        return found

    def value(self, attribute: Any, what: str) -> Any:
        """The value of an AttributeProto."""
        import onnx

        value = onnx.helper.get_attribute_value(attribute)
        if isinstance(value, bytes):
            return value.decode()
        if isinstance(value, onnx.GraphProto):
            return self.graph(value)
        if isinstance(value, onnx.TensorProto):
            return self.array(value, what)
        if isinstance(value, onnx.SparseTensorProto):
            return dense(value)
        if isinstance(value, (int, float, onnx.TypeProto)):
            return value
        if attribute.type == onnx.AttributeProto.STRINGS:
            return [each.decode() for each in value]
        if attribute.type in (onnx.AttributeProto.INTS, onnx.AttributeProto.FLOATS):
            return list(value)
        raise Refused(f"[onnx] {what}, a list of graphs or tensors")

    def array(self, tensor: Any, what: str) -> np.ndarray:
        """A TensorProto as a NumPy array."""
        import onnx

        dtype_of(tensor.data_type, what)
        try:
            return onnx.numpy_helper.to_array(tensor, self.folder)
        except (ValueError, TypeError) as error:
            raise OnnxError(f"[onnx] {what} is damaged: {error}") from error


def dense(sparse: Any) -> np.ndarray:
    """A SparseTensorProto as an array."""
    import onnx

    values = onnx.numpy_helper.to_array(sparse.values)
    places = onnx.numpy_helper.to_array(sparse.indices)
    out = np.zeros(tuple(sparse.dims), values.dtype)
    if places.ndim == 1:
        out.reshape(-1)[places] = values
    else:
        out[tuple(places.T)] = values
    return out


def plain_domain(domain: str) -> str:
    """The name of a domain; the standard one has two, of which it is the empty one."""
    return "" if domain == "ai.onnx" else domain


def needed(nodes: Sequence, outputs: Sequence[str]) -> list:
    """The nodes on which outputs depend."""
    read, found = set(outputs) - {""}, []
    for node in reversed(nodes):
        if read.intersection(node.output):
            read |= _read_by(node) - {""}
            found.append(node)
    return found[::-1]


# Not to be computed once and for all.
RANDOM = (
    *("Bernoulli", "Dropout", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform"),
    "RandomUniformLike",
)
LARGEST = 1 << 20  # elements of what is computed as a model is loaded


def _folded(step, constants):
    """Whether a step needs nothing but constants, to which its outputs have been added."""
    known = all(name in constants or not name for name in step.inputs)
    graphs = any(isinstance(value, Graph) for value in step.attributes.values())
    if step.entry is None or not known or graphs or step.op in RANDOM:
        return False
    try:
        found = step(constants, {})
    except FAULTS:
        return False  # it is raised where the step runs
    if not all(isinstance(y, np.ndarray) and y.size <= LARGEST for y in found):
        return False
    constants.update((n, y) for n, y in zip(step.outputs, found, strict=False) if n)
    return True


def _note_last_uses(steps, nodes, outputs):
    """Note in each step which values no later one reads: they are dropped after it.

    Returns the names of all that is read.
    """
    seen = set(outputs)
    made = {name for step in steps for name in step.outputs}
    for step, node in zip(reversed(steps), reversed(nodes), strict=True):
        read = {*_read_by(node), *step.outputs}
        step.drops = sorted(name for name in read - seen if name in made and name)
        seen |= read
    return seen


def _read_by(node):
    """The names that a node reads, also in its subgraphs."""
    found = set(node.input)
    for attribute in node.attribute:
        for graph in [attribute.g, *attribute.graphs]:
            for inner in graph.node:
                found |= _read_by(inner)
            found.update(y.name for y in graph.output)
    return found
