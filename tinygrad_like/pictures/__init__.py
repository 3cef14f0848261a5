"""Pictures: of the graph, and of Tensors, Modules and Runs in a notebook. Loaded on use.

text.py      figures and names as text, and how wide it is
items.py     the boxes of a graph's picture, and the lines between them
memory.py    the memory that is kept for a backward pass
recorded.py  from the recorded graph to boxes
calls.py     a model that runs to be drawn: its calls, times, gradients
layers.py    in which row each box stands
places.py    where boxes and lines lie, given what is folded
colours.py   colours by the share of the time, the memory or the gradient
svg.py       the picture as SVG
page.py      the picture as a page, drawn by graph.js
graph.py     Graph, which `tensor.graph()` and `model.graph(x)` return
"""

from tinygrad_like.pictures.graph import Graph, of_model, of_tensor

__all__ = ["Graph", "of_model", "of_tensor"]
