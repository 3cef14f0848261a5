"""The tables of a profile: by op and by module."""

from dataclasses import dataclass
from typing import Any

from tinygrad_like.inspect.spans import Span, modules_around, own_seconds

PYTHON_INSIDE, PYTHON_ELSEWHERE = "Python in modules", "Python elsewhere"
MOST = 30  # rows of the shown table by op: the others are summed up in its last one


@dataclass
class Row:
    """The cost of all calls of an op in one phase, or the time of something else."""

    phase: str
    name: str
    calls: int = 0
    seconds: float = 0.0
    bytes: int = 0
    flops: int | None = 0  # None: some have no count


@dataclass
class ModuleRow:
    """The cost of a module, including the modules in it."""

    path: str
    layer: str
    calls: int = 0
    forward: float = 0.0  # seconds
    backward: float = 0.0  # seconds, with the second run of a checkpoint
    bytes: int = 0
    flops: int | None = 0  # of both


def rows_of(spans: list[Span]) -> list[Row]:
    """A Row for each phase and op, the longest first."""
    rows: dict[tuple[str, str], Row] = {}
    for span, seconds in own_seconds(spans).items():
        key = _key(span)
        row = rows.setdefault(key, Row(*key))
        row.calls += 1
        row.seconds += seconds
        row.bytes += span.bytes
        row.flops = _plus(row.flops, span.flops)
    return sorted(rows.values(), key=lambda row: -row.seconds)


def _key(span: Span) -> tuple[str, str]:
    if span.kind in ("op", "optimizer"):
        return span.phase, span.name
    if span.kind == "node":
        return "backward", span.name
    if span.kind in ("walk", "backward"):
        return "backward", "(order and sums)"
    if span.kind == "section":
        return "", f"section {span.name}"
    return "", PYTHON_INSIDE if span.kind == "module" else PYTHON_ELSEWHERE


def _plus(a: int | None, b: int | None) -> int | None:
    return None if a is None or b is None else a + b


def modules_of(spans: list[Span]) -> dict[str, ModuleRow]:
    """{path: ModuleRow} of the modules that were called, in the order of their first calls."""
    rows: dict[str, ModuleRow] = {}
    for span in spans:
        if span.kind == "module":
            row = rows.setdefault(span.path, ModuleRow(span.path, span.name))
            above = {outer.path for outer in modules_around(span.parent)}
            if span.phase in ("forward", "optimizer"):  # which LBFGS calls within its step
                row.calls += 1
                row.forward += 0 if span.path in above else span.seconds
            else:
                alone = not above  # then the modules around it are known by their paths alone
                for path, other in rows.items():
                    if path == span.path or (alone and span.path.startswith(f"{path}.")):
                        other.backward += 0 if span.path in above else span.seconds
    own = own_seconds(spans)
    for span in spans:
        if span.kind in ("op", "node"):
            around = modules_around(span.of if span.kind == "node" else span)
            for path in {module.path for module in around}:
                row = rows[path]
                row.bytes += span.bytes
                row.flops = _plus(row.flops, span.flops)
                row.backward += own[span] if span.kind == "node" else 0
    return rows


# Text


def text(profile: Any) -> str:
    """Both tables as text."""
    rows, modules, peak = profile.rows, profile.modules, profile.peak
    flops, seconds = profile.flops, profile.seconds
    head = f"{1e3 * seconds:.2f} ms, {_flops(flops)}FLOP"
    if seconds:
        head += f", {_flops(flops / seconds)}FLOP/s"
    if peak and seconds:
        head += f": {flops / seconds / peak:.0%} of the peak of {_flops(peak)}FLOP/s"
    parts = [head, _aligned(_op_lines(rows, seconds, peak), left=2)]
    uncounted = sorted({row.name for row in rows if row.flops is None})
    if uncounted:
        parts.append(f"?: no FLOPs are known of {', '.join(uncounted)}")
    if modules:
        parts.append(_aligned(_module_lines(modules, seconds), left=2))
    return "\n\n".join(parts)


def _op_lines(rows: list[Row], seconds: float, peak: float | None) -> list[list[str]]:
    lines = ["phase op calls ms share allocated FLOP FLOP/s of_peak".replace("_", "\0").split()]
    shown, rest = rows[:MOST], rows[MOST:]
    if len(rest) > 1:
        flops: int | None = 0
        for row in rest:
            flops = _plus(flops, row.flops)
        more = Row("", f"{len(rest)} more", sum(r.calls for r in rest))
        more.seconds, more.bytes = sum(r.seconds for r in rest), sum(r.bytes for r in rest)
        more.flops = flops
        shown, rest = [*shown, more], []
    for row in (*shown, *rest):
        line = [row.phase, row.name, f"{row.calls:,}", f"{1e3 * row.seconds:.3f}"]
        line += [_share(row.seconds, seconds), _bytes(row.bytes)]
        if row.flops and row.seconds:
            rate = row.flops / row.seconds
            line += [_flops(row.flops), _flops(rate), f"{rate / peak:.1%}" if peak else ""]
        else:
            line += ["?" if row.flops is None else "", "", ""]
        lines.append(line)
    total = sum(row.seconds for row in rows)
    lines.append(["", "sum", "", f"{1e3 * total:.3f}", _share(total, seconds), "", "", "", ""])
    return [[cell.replace("\0", " ") for cell in line] for line in lines]


def _module_lines(modules: dict[str, ModuleRow], seconds: float) -> list[list[str]]:
    lines = ["module layer calls forward backward share allocated FLOP".split()]
    lines[0][3:5] = "forward ms", "backward ms"
    for row in modules.values():
        line = [row.path, row.layer, f"{row.calls:,}"]
        line += [f"{1e3 * row.forward:.3f}", f"{1e3 * row.backward:.3f}"]
        line += [_share(row.forward + row.backward, seconds), _bytes(row.bytes)]
        lines.append([*line, "?" if row.flops is None else _flops(row.flops) if row.flops else ""])
    return lines


def _aligned(lines: list[list[str]], left: int) -> str:
    """Lines with aligned columns: the first `left` to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(w) if k < left else cell.rjust(w)
            for k, (cell, w) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.1%}" if whole else ""


def _flops(n: float) -> str:
    """A number with a prefix: `1.23 G`; a space follows a number without."""
    for limit, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if n >= limit:
            return f"{n / limit:.3g} {prefix}"
    return f"{n:.3g} "


def _bytes(n: int) -> str:
    for limit, unit in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if n >= limit:
            return f"{n / limit:.1f} {unit}"
    return f"{n} B" if n else ""
