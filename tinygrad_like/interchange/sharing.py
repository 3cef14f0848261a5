"""Arrays that PyTorch and this library share, by DLPack."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_like.engine import Tensor
from tinygrad_like.ops.arrays.create import from_dlpack


def torch_for(name: str) -> Any:
    """PyTorch. Raises ImportError, in the name of a function, if it is not installed."""
    try:
        import torch
    except ImportError as error:
        raise ImportError(f"[{name}] needs PyTorch: pip install 'tinygrad-like[oracle]'") from error
    return torch


def has_gradients(t: Any) -> bool:
    """Whether the dtype of a tensor of PyTorch's is one that has gradients."""
    return t.is_floating_point() or t.is_complex()


def shared(t: Any) -> Tensor:
    """A Tensor on the memory of one of PyTorch's."""
    return from_dlpack(t.detach().resolve_conj().resolve_neg())


def shared_with_torch(torch: Any, x: Tensor) -> Any:
    """A tensor of PyTorch's on the memory of a Tensor, or on a copy if that runs backward."""
    x = x.detach()
    backward = any(stride < 0 for stride in getattr(x.data, "strides", ()))
    return torch.from_dlpack(x.copy() if backward else x)


def apart(x: Tensor, others: Sequence[Tensor]) -> Tensor:
    """`x` without its history, copied if it lies in the memory of one of the others."""
    x = x.detach()
    return x.copy() if any(np.may_share_memory(x, other) for other in others) else x
