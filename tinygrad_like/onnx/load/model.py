"""load: a file of ONNX as a Module."""

import os
from collections.abc import Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinygrad_like.engine import Tensor
from tinygrad_like.nn.base.module import Module
from tinygrad_like.onnx.load import (
    casts,
    control,
    elements,
    norms,
    places,
    products,
    quantized,
    recurrent,
    reductions,
    resize,
    shapes,
    signals,
    vision,
    windows,
)
from tinygrad_like.onnx.load.dtypes import Declared, check, declared
from tinygrad_like.onnx.load.errors import OnnxError, Refused
from tinygrad_like.onnx.load.graph import Builder, Graph, plain_domain
from tinygrad_like.onnx.load.table import Host, find

FAMILIES = (
    *(casts, control, elements, norms, places, products, quantized, recurrent, reductions),
    *(resize, shapes, signals, vision, windows),
)  # which enter their functions in the table as they are imported


OWN = "_graph", "_paths", "inputs", "outputs"  # attributes of a Model that are not state


class Model(Module):
    """A graph of ONNX; made by `tg.onnx.load`.

    Its state has the names that the file gives it.

    Attributes:
        inputs, outputs: their declared types, as `Declared` (name, kind, dtype, shape).
    """

    inputs: tuple[Declared, ...]
    outputs: tuple[Declared, ...]

    def __init__(self, graph: Graph, state: Mapping[str, Tensor], inputs: Any, outputs: Any):
        self._graph = graph
        self._paths = tuple(state)
        self.inputs, self.outputs = tuple(inputs), tuple(outputs)
        for path, x in state.items():
            setattr(self, path, x)

    def forward(self, *args: Any, **named: Any) -> Any:
        """Run the graph on its inputs, given in their order or by name.

        Returns:
            The output, or a tuple of them.

        Raises:
            OnnxError: for inputs that do not have the declared names, dtypes or shapes.
        """
        state = {path: getattr(self, path) for path in self._paths}
        values = self._checked(args, named, state)
        found = [_public(y) for y in self._graph.run(values, state)]
        return found[0] if len(found) == 1 else tuple(found)

    def _checked(self, args, named, state):
        """The inputs in their order, as the graph takes them; arrays go to the model's device."""
        names = [x.name for x in self.inputs]
        if len(args) > len(names):
            raise OnnxError(f"[onnx] {len(args)} inputs, expected {len(names)}: {names}")
        given = dict(zip(names, args, strict=False))
        for name, value in named.items():
            if name not in names or name in given:
                twice = "is given twice" if name in given else f"is unknown, expected {names}"
                raise OnnxError(f"[onnx] input {name!r} {twice}")
            given[name] = value
        lengths: dict[str, int] = {}
        floating = next((p.dtype for p in state.values() if p.dtype.kind == "f"), None)
        device = next((p.device for p in state.values()), None)
        values = []
        for x in self.inputs:
            if x.name not in given and x.kind != "optional":
                raise OnnxError(f"[onnx] input {x.name!r} is missing, expected {names}")
            values.append(_taken(given.get(x.name), x, lengths, floating, device))
        return values

    def __repr__(self) -> str:
        shown = ", ".join(f"{x.name}: {x}" for x in self.inputs)
        results = ", ".join(f"{y.name}: {y}" for y in self.outputs)
        return f"onnx.Model({self._graph.name!r}: {shown} -> {results})"


def _taken(value, x, lengths, floating, device):
    """An input as a Tensor, or a list of them, that has the declared type."""
    if x.kind == "sequence" or (isinstance(value, (list, tuple)) and x.kind == "optional"):
        if not isinstance(value, (list, tuple)):
            raise OnnxError(f"[onnx] input {x.name!r} is {type(value).__name__}, expected a list")
        return [v if isinstance(v, Tensor) else Tensor(v, device=device) for v in value]
    if value is None:
        if x.kind == "optional":
            return None
        raise OnnxError(f"[onnx] input {x.name!r} is None, expected {x}")
    if not isinstance(value, Tensor):
        try:
            value = Tensor(value, device=device)
        except (TypeError, ValueError) as error:
            raise OnnxError(f"[onnx] input {x.name!r}: {error}") from error
    if x.kind == "tensor":
        check(value, x, lengths, floating)
    return value


def _public(y):
    """An output as a user gets it."""
    if isinstance(y, list):
        return [_public(each) for each in y]
    return Tensor(y) if isinstance(y, np.ndarray) else y


def load(source: Any) -> Model:
    """A model of ONNX as a Module that runs, trains and is saved as any other.

    Floating initializers with at least one axis become parameters, under the names that the file
    gives them (with a `.` for each `/`); single numbers, the running statistics of batch norm, and
    masks (what holds infinities) become buffers; integers and what only decides shapes are
    constants. Anything else that the exporter folded into an initializer becomes a parameter,
    too: `model.freeze("name")` keeps it from training. (`torch.onnx.export(..., optimize=False)`
    folds nothing, and keeps all of PyTorch's names.)

    Dropout and batch norm do what the graph says, also after `model.train()`: an exported graph is
    usually that of evaluation. Opsets to 28 of the standard domain are known; functions of the
    model, and ops that ONNX defines by others, are run as what they consist of.

    Args:
        source: the path of a file, its bytes, or an `onnx.ModelProto`.

    Returns:
        The Model. It is called with the graph's inputs in their order, or by their names.

    Raises:
        ImportError: without the package `onnx`.
        FileNotFoundError: for a path, or a file of external data, that does not exist.
        OnnxError: for a file that is damaged or no model of ONNX.
        Refused: an OnnxError that names all ops, attributes and dtypes of the model that this
            library does not run. (The value of an attribute is refused when its node runs.)

    >>> import tinygrad_like as tg
    >>> model = tg.onnx.load("resnet18.onnx")  # doctest: +SKIP
    >>> model(tg.zeros((1, 3, 224, 224))).shape  # doctest: +SKIP
    (1, 1000)
    """
    proto, folder = _read(source)
    refused: list[str] = []
    inputs = [_declared(x, refused) for x in proto.graph.input]
    outputs = [_declared(y, refused) for y in proto.graph.output]
    state = _State(proto)
    functions = {(plain_domain(f.domain), f.name, f.overload): f for f in proto.functions}
    builder = Builder(functions, state.opsets, {}, refused, state.path_of, folder)
    try:
        graph = builder.graph(proto.graph)
    except Refused as error:
        refused.append(str(error).removeprefix("[onnx] "))
    if refused:
        raise Refused("[onnx] this library does not run: " + "; ".join(dict.fromkeys(refused)))
    return Model(graph, state.found, [x for x in inputs if x.name in graph.inputs], outputs)


def _declared(value, refused):
    """The declared type of an input or output; None, and a note, if it is refused."""
    try:
        return declared(value)
    except Refused as error:
        refused.append(str(error).removeprefix("[onnx] "))
        return None


def _read(source):
    """(ModelProto, the folder of its external data), checked by onnx's checker."""
    try:
        import onnx
    except ImportError as error:
        raise ImportError(
            f"[onnx] the package onnx cannot be imported ({error}): "
            "pip install 'tinygrad-like[onnx]'"
        ) from error
    from google.protobuf.message import DecodeError

    folder, name = "", "the model"
    try:
        if isinstance(source, onnx.ModelProto):
            proto = source
        elif isinstance(source, (bytes, bytearray, memoryview)):
            proto = onnx.load_model_from_string(bytes(source))
        elif not isinstance(source, (str, os.PathLike)):
            raise TypeError(
                f"[onnx] source is a {type(source).__name__}, expected a path, the bytes of a "
                "file, or an onnx.ModelProto"
            )
        else:
            name = os.fspath(source)
            folder = os.path.dirname(os.path.abspath(name))
            proto = onnx.load(name, load_external_data=False)
            _refuse_missing_data(proto, name, folder)
            onnx.load_external_data_for_model(proto, folder)
        if not folder:
            _refuse_data_elsewhere(proto)
        with _ranks_left_open(proto):
            onnx.checker.check_model(proto if proto.ByteSize() < 1 << 30 else name)
    except DecodeError as error:
        raise OnnxError(f"[onnx] {name} is damaged, or no model of ONNX: {error}") from error
    except (onnx.checker.ValidationError, ValueError) as error:
        raise OnnxError(f"[onnx] {name} is not a sound model: {error}") from error
    return proto, folder


def _masks(array):
    """Whether an array holds infinities, or the greatest numbers in place of them: it is a mask."""
    return array.size > 0 and not np.abs(array).max() < np.finfo(array.dtype).max / 2


def _refuse_missing_data(proto, name, folder):
    """Raise FileNotFoundError if a file beside the model, which holds weights, does not exist."""
    for tensor in proto.graph.initializer:
        for entry in tensor.external_data:
            path = os.path.join(folder, entry.value)
            if entry.key == "location" and not os.path.isfile(path):
                raise FileNotFoundError(
                    f"[onnx] {name} has the data of {tensor.name!r} in {path}, which does not exist"
                )


def _refuse_data_elsewhere(proto):
    """Raise OnnxError for a model without a path whose weights lie in files beside it."""
    for tensor in proto.graph.initializer:
        if tensor.data_location == tensor.EXTERNAL:
            raise OnnxError(
                f"[onnx] the data of {tensor.name!r} lie in a file beside the model: give load the "
                "path of the model"
            )


@contextmanager
def _ranks_left_open(proto):
    """For onnx's checker, which wants a shape of every input and output, also of unknown rank."""
    types = [x.type.tensor_type for x in [*proto.graph.input, *proto.graph.output]
             if x.type.HasField("tensor_type")]  # fmt: skip
    shapeless = [of for of in types if not of.HasField("shape")]
    for of in shapeless:
        of.shape.SetInParent()
    try:
        yield
    finally:
        for of in shapeless:
            of.ClearField("shape")


class _State:
    """Which initializers are state, and under which paths."""

    def __init__(self, proto: Any):
        self.opsets = {plain_domain(o.domain): o.version for o in proto.opset_import}
        self.found: dict[str, Tensor] = {}
        self._constants: set[str] = set()
        self._statistics: set[str] = set()
        self._note(proto.graph)

    def _note(self, graph):
        """Note what is read on the host only, and what batch norm takes for its statistics."""
        for node in graph.node:
            domain = plain_domain(node.domain)
            entry = find(domain, node.op_type, self.opsets.get(domain, 0))
            for i, name in enumerate(node.input):
                if entry is not None and entry.kind(i) is Host:
                    self._constants.add(name)
                if node.op_type == "BatchNormalization" and i > 2:
                    self._statistics.add(name)
            for attribute in node.attribute:
                for inner in [attribute.g, *attribute.graphs]:
                    self._note(inner)

    def path_of(self, name: str, array: np.ndarray) -> str | None:
        """The path of an initializer that is state, which is noted; None for a constant."""
        if array.dtype.kind not in "fc" or name in self._constants:
            return None
        path = name.replace("/", ".")  # which files of weights do not take in names
        while hasattr(Model, path) or path in OWN or path in self.found:
            path += "_"
        learns = array.ndim > 0 and name not in self._statistics and not _masks(array)
        self.found[path] = Tensor(array, requires_grad=learns)
        return path
