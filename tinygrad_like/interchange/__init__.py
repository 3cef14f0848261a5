"""Between PyTorch and this library: weights, models, and functions with their gradients.

    load_torch, to_torch        PyTorch's weights in our layers, and ours in PyTorch's
    load_bert, load_gpt2        those of BERT and of GPT-2 in Hugging Face's layout
    from_torch                  a PyTorch model made again of our layers
    as_torch                    a function or model of ours, in a PyTorch program
    from_torch_function         a function or model of PyTorch's, in a program of ours

    weights.py            what is the same in both, layer by layer
    hugging_face.py       load_bert, load_gpt2
    models.py             from_torch
    calls_from_torch.py   as_torch
    calls_to_torch.py     from_torch_function
    sharing.py            arrays that both share

`torch.from_dlpack(t)` and `tg.from_dlpack(tensor)` share the memory of single arrays.
"""

from tinygrad_like.interchange.calls_from_torch import as_torch
from tinygrad_like.interchange.calls_to_torch import from_torch_function
from tinygrad_like.interchange.hugging_face import load_bert, load_gpt2
from tinygrad_like.interchange.models import from_torch
from tinygrad_like.interchange.weights import (
    LINKS,
    Link,
    below,
    links_of,
    load_torch,
    to_torch,
)

__all__ = [
    "LINKS",
    "Link",
    "as_torch",
    "below",
    "from_torch",
    "from_torch_function",
    "links_of",
    "load_bert",
    "load_gpt2",
    "load_torch",
    "to_torch",
]
