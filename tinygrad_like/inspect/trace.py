"""A profile as a Chrome trace: JSON that Perfetto (https://ui.perfetto.dev) and Chrome open.

Format: Duval, "Trace Event Format" (2016): complete events ("X"), in microseconds.
"""

import json
import os
import threading
from typing import Any

from tinygrad_like.inspect.spans import Span


def text(profile: Any) -> str:
    """The trace: an event for each span, on one track, where they nest by their times."""
    begin = profile.spans[0].start if profile.seconds else 0.0
    place = {"pid": os.getpid(), "tid": threading.get_native_id()}
    events: list[dict[str, Any]] = [
        {"ph": "M", "name": "process_name", "args": {"name": "tinygrad_like"}, **place},
        {"ph": "M", "name": "thread_name", "args": {"name": "profile"}, **place},
    ]
    for span in profile.spans:
        event = {"ph": "X", "name": label(span), "cat": span.phase, **place}
        event |= {"ts": 1e6 * (span.start - begin), "dur": 1e6 * span.seconds}
        events.append({**event, "args": details(span)})
    return json.dumps({"traceEvents": events, "displayTimeUnit": "ms"})


def label(span: Span) -> str:
    """What a span is called in pictures."""
    if span.kind == "module":
        return f"{span.path.rpartition('.')[2]} ({span.name})" if "." in span.path else span.path
    return span.name or {"block": "profile", "walk": "walk"}.get(span.kind, span.kind)


def details(span: Span) -> dict[str, Any]:
    """What else is known of a span."""
    found: dict[str, Any] = {"phase": span.phase, "kind": span.kind}
    if span.path:
        found["module"] = span.path
    if span.shapes:
        found["inputs"] = [list(shape) for shape in span.shapes]
    if span.kind in ("op", "node"):
        found["output"] = str(span.out)
    if span.bytes:
        found["allocated"] = span.bytes
    if span.flops is None:
        found["flops"] = "unknown"
    elif span.flops:
        found["flops"] = span.flops
        if span.seconds > 0:
            found["GFLOP/s"] = round(span.flops / span.seconds / 1e9, 3)
    return found
