"""What a notebook shows of an object, or its plain repr where something does not let it."""

from typing import Any

from tinygrad_like.pictures import curves, module, tensor, text


def of_tensor(x: Any) -> str:
    """The HTML of a Tensor."""
    return _shown(tensor.html, x)


def of_module(x: Any) -> str:
    """The HTML of a Module."""
    return _shown(module.html, x)


def of_run(x: Any) -> str:
    """The HTML of a Run."""
    return _shown(curves.html, x)


def _shown(html: Any, x: Any) -> str:
    try:
        return html(x)
    except Exception:  # of whatever a user's object does: a cell shows the rest of its output, too
        return text.preformatted(x)
