"""`tg.onnx.export`: a model as an ONNX file."""

import importlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tinygrad_like.engine import check_integer
from tinygrad_like.nn.base.module import Module
from tinygrad_like.onnx.export import (
    arithmetic,
    curves,
    images,
    layers,
    moves,
    places,
    reductions,
    refused,
    resizing,
    sequences,
)
from tinygrad_like.onnx.export.arguments import Arguments, dynamic
from tinygrad_like.onnx.export.emit import Emitter, Value
from tinygrad_like.onnx.export.errors import ExportError, UnknownSize
from tinygrad_like.onnx.export.merge import Array, merged
from tinygrad_like.onnx.export.sizes import Formula, Size, formula_of
from tinygrad_like.onnx.export.table import write
from tinygrad_like.onnx.export.trials import Trials

FAMILIES = (
    *(arithmetic, curves, images, layers, moves, places, reductions, refused, resizing),
    sequences,
)  # which enter their functions in the table as they are imported
OLDEST, USUAL = 17, 20
LARGEST_FILE = (1 << 31) - (1 << 24)  # bytes of weights; protobuf's files end at 2 GiB
EXTERNAL = 1024  # bytes from which a weight goes to the file of external data


def export(
    model: Callable,
    inputs: Any,
    path: str | os.PathLike,
    *,
    dynamic_axes: dict | None = None,
    opset: int = USUAL,
    output_names: Sequence[str] | None = None,
    external_above: int = LARGEST_FILE,
) -> None:
    """Write a model to an ONNX file, which ONNX Runtime and others run.

    The model is run on the example inputs, with other values and at other sizes, and the ops that
    it calls are written down. What is not the same in all runs (an `if` on values, a loop over a
    dynamic axis, random numbers) is refused, and so is an op that ONNX does not have. The file is
    checked by onnx's checker. Of an `if` on sizes only those count that are tried: lengths near
    the example's but 1, and one of three times as much. ONNX Runtime has convolutions, recurrent
    layers and erf of float32 only: a float64 model is a sound file that it may not run.

    Args:
        model: a Module in evaluation mode, or a function of Tensors.
        inputs: example inputs: a Tensor or array, a tuple of arguments, or a dict of keyword
            arguments. Small ones will do. They may be nested, and may be a KeyValueCache, whose
            keys and values become inputs, and once more, with the new positions, outputs
            `present.*`. Python numbers become constants.
        dynamic_axes: {name of an input: {axis: a name for its length}}, for axes whose lengths may
            differ from the example's; axes with the same name have the same length. The names of
            inputs are those of forward's parameters.
        opset: the version of ONNX's ops, from 17 up.
        output_names: by default `output`, or `output_0`, ..., or the keys of a dict.
        external_above: if the weights have more bytes than this, they go to a file beside it,
            named `<path>.data`. ONNX files cannot have 2 GiB.

    Parameters keep their paths as names of initializers; what is shared is stored once.

    Raises:
        ExportError: for a model in training mode, or one that cannot be exported, with the reason.
        ImportError: without the extra `onnx`.

    >>> import tinygrad_like as tg
    >>> model = tg.nn.Sequential(tg.nn.Dense(4, 8), tg.nn.ReLU(), tg.nn.Dense(8, 3)).eval()
    >>> tg.onnx.export(model, tg.ones((2, 4)), "mlp.onnx", dynamic_axes={"x": {0: "batch"}})
    """
    ir, onnx = _library("onnx_ir"), _library("onnx")
    newest = onnx.defs.onnx_opset_version()
    opset = check_integer("onnx.export", "opset", opset, OLDEST, newest)
    external_above = check_integer("onnx.export", "external_above", external_above, 0, LARGEST_FILE)
    _refuse_training(model)
    arguments = Arguments(model, inputs)
    leaves = _leaves(model)
    trials = Trials(arguments, dynamic(dynamic_axes, arguments.arrays), leaves)
    names = _output_names(output_names, trials, leaves)
    try:
        graph = _graph(ir, opset, trials, leaves, names)
    except UnknownSize:
        trials.look_further()
        graph = _graph(ir, opset, trials, leaves, names)
    version = onnx.helper.find_min_ir_version_for([onnx.helper.make_opsetid("", opset)])
    made = ir.Model(graph, ir_version=version, producer_name="tinygrad_like")
    _save(ir, made, Path(path), external_above)
    _check(onnx, Path(path))


def _library(name: str) -> Any:
    """A library of the extra `onnx`. Raises ImportError, which names the extra."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"[onnx.export] {error}; pip install 'tinygrad-like[onnx]' brings it"
        ) from error


def _refuse_training(model: Any) -> None:
    for path, module in model.named_modules() if isinstance(model, Module) else ():
        if module.training:
            where = f" ({path})" if path else ""
            raise ExportError(
                f"[onnx.export] {type(module).__name__}{where} is in training mode, where Dropout "
                "draws and BatchNorm changes its state, and a graph can do neither: call "
                "model.eval() first"
            )


def _leaves(model: Any) -> dict[str, Any]:
    """{path: Tensor} of the parameters and buffers, which have to be on the CPU."""
    leaves = dict(model._named_leaves()) if isinstance(model, Module) else {}
    for path, x in leaves.items():
        if x.device != "cpu":
            raise ValueError(
                f"[onnx.export] {path} is on {x.device}: move the model first, model.to('cpu')"
            )
    return leaves


def _output_names(given: Sequence[str] | None, trials: Trials, leaves: dict) -> list[str]:
    """The names of the outputs, checked: no two values of a graph have one name."""
    names = [*trials.names] if given is None else [*given]
    if isinstance(given, str) or not all(isinstance(n, str) and n for n in names):
        raise TypeError(f"[onnx.export] output_names is {given!r}, expected a list of names")
    if len(names) != len(trials.names):
        raise ValueError(
            f"[onnx.export] output_names are {names}, expected {len(trials.names)}, for "
            f"{trials.names}"
        )
    every = [*names, *trials.inputs, *leaves]
    twice = {name for name in every if every.count(name) > 1}
    if twice:
        raise ValueError(
            f"[onnx.export] {', '.join(sorted(twice))}: an input, an output (output_names) and a "
            "parameter need different names"
        )
    return names


def _graph(ir: Any, opset: int, trials: Trials, leaves: dict, names: list[str]) -> Any:
    """The graph of what the runs have in common."""
    symbols = trials.symbols()
    program = merged(trials.runs, trials.alike, leaves)
    inputs = []
    for name, x in trials.inputs.items():
        axes = trials.axes.get(name, {})
        shape = [axes.get(axis, n) for axis, n in enumerate(x.shape)]
        lengths = tuple(
            Size(next(s.values for s in symbols if s.name == n)) if isinstance(n, str) else n
            for n in shape
        )
        value = ir.val(name, ir.DataType.from_numpy(x.dtype), shape)
        inputs.append(Value(value, x.dtype, lengths))
    g = Emitter(opset, symbols, inputs, leaves, names)
    for number, step in program.steps.items():
        write(g, number, step)
    outputs = [_output(g, y, name) for y, name in zip(program.outputs, names, strict=True)]
    return ir.Graph(
        [x.value for x in inputs],
        outputs,
        nodes=g.nodes,
        initializers=list(g.initializers.values()),
        opset_imports={"": opset},
        name="model",
    )


def _output(g: Emitter, y: Array, name: str) -> Any:
    """An output of the graph, by name."""
    value = g.Identity(g.array(y)).value
    value.name = name
    value.dtype = g.data_type(y.dtype)
    value.shape = g.ir.Shape([_shown(g, n) for n in y.shape])
    return value


def _shown(g: Emitter, n: "int | Size") -> "int | str | None":
    """A length as the shape of an output shows it: `batch`, or `past + length`."""
    if isinstance(n, int):
        return n
    formula = formula_of(n.values, tuple(s.values for s in g.symbols))
    return None if formula is None else _text(formula, [s.name for s in g.symbols])


def _text(formula: Formula, names: list[str]) -> str:
    """A formula as shapes show it."""
    terms = []
    for c, which in sorted(formula.terms, key=lambda term: -len(term[1])):
        factors = [str(c)] if c != 1 or not which else []
        terms.append("*".join([*factors, *(names[i] for i in which)]))
    total = " + ".join(terms)
    return total if formula.divisor == 1 else f"({total})//{formula.divisor}"


def _check(onnx: Any, path: Path) -> None:
    """Check a file with onnx's checker; remove what it refuses, such as dtypes that an op lacks."""
    try:
        onnx.checker.check_model(os.fspath(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        for each in (path, _beside(path)):
            each.unlink(missing_ok=True)
        raise ExportError(
            f"[onnx.export] onnx's checker refuses the model: {error} (an op that lacks a dtype "
            "takes what is cast to float32 or int64)"
        ) from error


def _beside(path: Path) -> Path:
    """The file of the weights that lie beside a model."""
    return path.with_name(path.name + ".data")


def _save(ir: Any, model: Any, path: Path, external_above: int) -> None:
    """Write a model to a file, large weights to a second one."""
    size = sum(x.const_value.nbytes for x in model.graph.initializers.values())
    if size <= external_above:
        ir.save(model, path)
        return
    data = _beside(path)
    data.unlink(missing_ok=True)
    ir.save(model, path, external_data=data.name, size_threshold_bytes=EXTERNAL)
