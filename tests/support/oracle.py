"""PyTorch, the oracle of many tests: `torch` and `F` are None where it is not installed."""

import pytest
from needed import missing

try:
    import torch
    import torch.nn.functional as F
except ImportError:
    torch = F = None

needs_torch = pytest.mark.skipif(torch is None, reason=missing("torch"))
