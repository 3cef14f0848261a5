"""What a Module shows of itself: one line, and the table of a model."""

from typing import Any

from tinygrad_like.backend import INEXACT, Undoing
from tinygrad_like.engine import no_grad
from tinygrad_like.engine.containers import tensors_in
from tinygrad_like.engine.modes import Switch
from tinygrad_like.nn.base.undone import attributes_back, untouched

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
    seen, flops = _run(model, inputs) if inputs else ({}, {})
    counts = {path: 0 for path, _ in model.named_modules()}
    for path, p in model.named_parameters():
        while path not in counts:  # a.b.weight is of the nearest module: a.b, or a, or ""
            path = path.rpartition(".")[0]
        counts[path] += p.size
    rows = [["path", "layer", *(COLUMNS if inputs else ()), "parameters"]]
    for path, module in model.named_modules():
        row = [path or "(model)", type(module).__name__]
        if inputs:
            row += seen.get(path, ["not called", "", "", ""])
            row.append(flops.get(path, ""))
        rows.append([*row, f"{counts[path]:,}"])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    left = 3 if inputs else 2  # columns of text
    lines = [
        "  ".join(
            text.ljust(w) if k < left else text.rjust(w)
            for k, (text, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    buffers = sum(b.size for _, b in model.named_buffers())
    return "\n".join(
        [*lines, f"total: {model.num_parameters():,} parameters, {buffers:,} in buffers"]
    )


COLUMNS = "output shape", "mean", "std", "zeros", "FLOPs"


def _run(model: Any, inputs: tuple) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Of each module that is called when the model runs, by path.

    Returns:
        {path: [shape of the first output, mean, standard deviation, zeros of all outputs]}
        {path: FLOPs of all calls}
    """
    from tinygrad_like.inspect.profiler import profile
    from tinygrad_like.inspect.statistics import Statistics

    shapes: dict[str, str] = {}
    outputs: dict[str, Any] = {}

    def recording(path, forward):
        def run(*args, **kwargs):
            out = forward(*args, **kwargs)
            shapes.setdefault(path, _shape_text(out))
            passed = outputs.setdefault(path, Statistics())
            for x in tensors_in(out):
                if x.dtype.kind in INEXACT:
                    passed.add(x)
            return out

        return run

    back = attributes_back(model, "training", "forward")
    with (
        untouched(model),
        Undoing(back),
        no_grad(),
        Switch("profile", None),
        profile() as costs,
    ):
        for path, module in model.eval().named_modules():
            vars(module)["forward"] = recording(path, module.forward)
        model(*inputs)
    known = {path.partition(".")[2]: row.flops for path, row in costs.modules.items()}
    seen = {path: [shape, *_figures(outputs[path])] for path, shape in shapes.items()}
    return seen, {path: "?" if n is None else f"{n:,}" for path, n in known.items()}


def _figures(passed: Any) -> list[str]:
    """Mean, standard deviation and zeros; NaN and infinities are told where there are any."""
    if passed.nonfinite:
        return [f"{passed.nonfinite:,} not finite", "", ""]
    if not passed.count:
        return ["", "", ""]
    return [f"{passed.mean:.3g}", f"{passed.std:.3g}", f"{passed.zeros:.0%}"]


def _shape_text(out: Any) -> str:
    """The shape of an output, or the shapes in a tuple, list or dict of them."""
    if isinstance(out, dict):
        return "{" + ", ".join(f"{k}: {_shape_text(v)}" for k, v in out.items()) + "}"
    if isinstance(out, (tuple, list)):
        return "[" + ", ".join(map(_shape_text, out)) + "]"
    shape = getattr(out, "shape", None)
    return type(out).__name__ if shape is None else str(tuple(shape))
