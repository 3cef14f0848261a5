"""A Module in a notebook: a tree of what it holds, folded and unfolded by click."""

from html import escape
from typing import Any

from tinygrad_like.engine import Tensor, is_parameter
from tinygrad_like.nn.base.holder import held
from tinygrad_like.nn.base.summary import head
from tinygrad_like.pictures import text

OPEN = 2  # levels that are unfolded at first
MOST = 1000  # modules that are shown
LINE = 'style="padding-left: 1.2em; font-family: monospace"'


def html(module: Any) -> str:
    """The HTML of a Module. No values are read, so nothing waits for a device."""
    seen: set[int] = set()
    return f'<div style="line-height: 1.5">{_tree("", module, 0, seen)}</div>'


def _tree(name: str, module: Any, depth: int, seen: set[int]) -> str:
    title = escape(text.shortened(f"{name}: {head(module)}" if name else head(module), 200))
    if id(module) in seen:
        return f"<div {LINE}>{title} (shared, see above)</div>"
    if len(seen) >= MOST:
        return f"<div {LINE}>{title} …</div>"
    seen.add(id(module))
    count = f'<span style="color: #57606a"> {module.num_parameters():,} parameters</span>'
    lines = []
    for path, x in held(module):
        if not isinstance(x, Tensor):
            lines.append(_tree(path, x, depth + 1, seen))
        elif id(x) not in seen:
            lines.append(f"<div {LINE}>{escape(_tensor(path, x))}</div>")
    if not lines:
        return f"<div {LINE}>{title}</div>"
    is_open = " open" if depth < OPEN else ""
    indent = ' style="padding-left: 1.2em"' if depth else ""
    return (
        f'<details{is_open}{indent}><summary style="font-family: monospace">{title}{count}'
        f"</summary>{''.join(lines)}</details>"
    )


def _tensor(path: str, x: Any) -> str:
    notes = [text.of_array(x.shape, x.dtype)]
    if x.device != "cpu":
        notes.append(x.device)
    if not is_parameter(x):
        notes.append("buffer")
    elif not x.requires_grad:
        notes.append("frozen")
    return text.shortened(f"{path} {', '.join(notes)}", 200)
