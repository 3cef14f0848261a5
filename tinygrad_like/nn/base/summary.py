"""What a Module shows of itself: one line, and the table of a model."""

from typing import Any

from tinygrad_like.backend import Undoing
from tinygrad_like.engine import no_grad
from tinygrad_like.nn.base.undone import attributes_back

SETTINGS = (bool, int, float, str, type(None))  # attributes that a module's repr shows


def head(module: Any) -> str:
    """`Dense(n_in=4, n_out=2)`: the class, and the attributes that are plain settings."""
    shown = (f"{k}={v!r}" for k, v in vars(module).items() if k != "training" and _is_setting(v))
    return f"{type(module).__name__}({', '.join(shown)})"


def _is_setting(value: Any) -> bool:
    if type(value) is tuple:
        return all(map(_is_setting, value))
    return type(value) in SETTINGS


def table(model: Any, inputs: tuple) -> str:
    """The text of `Module.summary`."""
    shapes = _output_shapes(model, inputs) if inputs else {}
    counts = {path: 0 for path, _ in model.named_modules()}
    for path, p in model.named_parameters():
        while path not in counts:  # a.b.weight is of the nearest module: a.b, or a, or ""
            path = path.rpartition(".")[0]
        counts[path] += p.size
    rows = [["path", "layer", "output shape", "parameters"]]
    for path, module in model.named_modules():
        shape = shapes.get(path, "not called")
        rows.append([path or "(model)", type(module).__name__, shape, f"{counts[path]:,}"])
    if not inputs:
        rows = [[path, layer, count] for path, layer, _, count in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for *texts, count in rows:
        padded = [text.ljust(w) for text, w in zip(texts, widths, strict=False)]
        lines.append("  ".join([*padded, count.rjust(widths[-1])]))
    buffers = sum(b.size for _, b in model.named_buffers())
    return "\n".join(
        [*lines, f"total: {model.num_parameters():,} parameters, {buffers:,} in buffers"]
    )


def _output_shapes(model: Any, inputs: tuple) -> dict[str, str]:
    """{path: shape of the first output} of the modules that are called when the model runs."""
    shapes: dict[str, str] = {}

    def recording(path, forward):
        def run(*args, **kwargs):
            out = forward(*args, **kwargs)
            shapes.setdefault(path, _shape_text(out))
            return out

        return run

    with Undoing(attributes_back(model, "training", "forward")), no_grad():
        for path, module in model.eval().named_modules():
            vars(module)["forward"] = recording(path, module.forward)
        model(*inputs)
    return shapes


def _shape_text(out: Any) -> str:
    """The shape of an output, or the shapes in a tuple, list or dict of them."""
    if isinstance(out, dict):
        return "{" + ", ".join(f"{k}: {_shape_text(v)}" for k, v in out.items()) + "}"
    if isinstance(out, (tuple, list)):
        return "[" + ", ".join(map(_shape_text, out)) + "]"
    shape = getattr(out, "shape", None)
    return type(out).__name__ if shape is None else str(tuple(shape))
