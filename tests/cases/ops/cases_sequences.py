"""Rows of losses of sequences."""

import numpy as np
from case import Case, N, Values
from oracle import F, torch

from tinygrad_like.ops.neural.ctc import ctc_of_states

# Two sequences with the labels 1 2 and 2 2, and 0 as blank.
STATES = np.array([[0, 1, 0, 2, 0], [0, 2, 0, 2, 0]])
SKIPS = np.array([[False] * 3 + [True, False], [False] * 5])
ENDS = np.array([[False] * 3 + [True] * 2] * 2)
FRAMES = np.array([4, 3])


def torch_ctc(x, *_):
    """PyTorch's gradient takes its input for the output of log_softmax, which has to be there."""
    rest = x - x.logsumexp(-1, keepdim=True)  # this part is linear in the loss of each frame
    lengths = torch.tensor(FRAMES)
    shares = (x - rest)[..., 0]
    extra = torch.stack([row[:n].sum() for row, n in zip(shares, FRAMES, strict=True)])
    labels = torch.tensor(STATES[:, 1::2])
    twos = torch.full((len(x),), 2)
    return F.ctc_loss(rest.swapaxes(0, 1), labels, lengths, twos, reduction="none") - extra


CASES = [
    Case(
        ctc_of_states,
        N(2, 4, 3),
        *(Values(x) for x in (STATES, SKIPS, ENDS, FRAMES)),
        torch=torch_ctc,
        name="ctc_of_states",
        empty=False,
    )
]
