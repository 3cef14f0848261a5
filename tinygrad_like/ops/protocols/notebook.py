"""What a Tensor shows of itself: the picture of its graph, and its values in a notebook."""

from typing import Any


def graph(x: Any, model: Any = None) -> Any:
    """A picture of the graph that this tensor was computed by, see `tg.pictures.Graph`.

    It is taken at once, before `backward` frees the graph; the norms of gradients are noted when a
    backward pass goes through, and stand in what is saved or shown afterwards. Only recorded ops
    are in it: what needs no gradient is not recorded.

    Args:
        model: the Module whose parameters then have their names, and stand in the boxes of the ops
            that read them. `model.graph(x)` shows its modules, too, and times.

    Raises GraphError if there is no graph, or if a backward pass has freed it.

    >>> w = tg.Tensor([1.0, 2.0], requires_grad=True)
    >>> loss = (w * w).sum()
    >>> picture = loss.graph()
    >>> loss.backward()
    >>> picture.save("loss.html")
    """
    from tinygrad_like import pictures

    return pictures.of_tensor(x, model)


def html(x: Any) -> str:
    """The HTML that a notebook shows: values, shape and dtype, a small picture of a matrix."""
    from tinygrad_like.pictures import notebook

    return notebook.of_tensor(x)
