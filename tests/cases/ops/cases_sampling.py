"""Rows for sampling in ops/neural, lengths in ops/matrices, and what they are made of."""

import numpy as np
from case import Apart, Case, F, N, P, U, Values, torch

import tinygrad_like as tg

# Inside of an image of 3 x 2 and beyond each of its edges, away from where neighbours change.
AROUND = Values([[[[-0.83, 0.27], [0.31, -0.52]], [[1.24, -0.1], [-0.22, 1.9]]]])
IN_VOLUME = Values([[[[[-0.83, 0.27, 0.4], [1.15, -0.52, -1.2]]]]])


def sampled(shape, grid, **options):
    oracle = (lambda x, grid: F.grid_sample(x, grid, **options)) if F else None
    return Case(tg.grid_sample, N(*shape), grid, torch=oracle, **options)


SAMPLED = [
    sampled((1, 2, 3, 2), AROUND, align_corners=False),
    sampled((1, 1, 3, 2), AROUND, padding_mode="border", align_corners=True),
    sampled((1, 1, 3, 2), AROUND, mode="bicubic", padding_mode="reflection", align_corners=False),
    sampled((1, 1, 2, 3, 2), IN_VOLUME, padding_mode="reflection", align_corners=True),
    Case(lambda x: tg.grid_sample(x, x[:, :, :1] * 0 + 0.4, mode="nearest"), N(2, 2, 3, 2),
         torch=lambda x: x[:, :, 2:, 1:].expand(-1, -1, 2, 1), name="grid_sample.nearest"),
    Case(tg.affine_grid, N(2, 2, 3), size=(2, 1, 2, 3), empty=False,
         torch=lambda theta: F.affine_grid(theta, (2, 1, 2, 3), align_corners=False)),
    Case(tg.affine_grid, N(1, 3, 4), size=(1, 1, 2, 2, 3), align_corners=True, empty=False,
         torch=lambda theta: F.affine_grid(theta, (1, 1, 2, 2, 3), align_corners=True)),
]  # fmt: skip


def shortened(x, p, axis, max_norm):
    """Without the 1e-7 that PyTorch adds to the norm."""
    others = [a for a in range(x.ndim) if a != axis]
    lengths = torch.linalg.vector_norm(x, p, others, keepdim=True)
    return x * (max_norm / lengths).clamp(max=1)


LENGTHS = [
    Case(tg.cdist, N(2, 3), N(4, 3), empty=False),
    Case(tg.cdist, N(2, 1, 3, 2), N(2, 2, 2), p=1.0, empty=False,
         torch=lambda a, b: torch.cdist(a.expand(2, 2, 3, 2), b.expand(2, 2, 2, 2), 1.0)),
    Case(tg.pdist, N(4, 2), empty=False),
    Case(tg.pdist, P(3, 2), p=3.0, empty=False),
    Case(tg.pdist, Values(np.array([[0], [255], [3]], np.uint8)), grad=False, empty=False,
         numpy=lambda x: np.float32([255, 3, 252])),
    Case(tg.renorm, U(3, 2), p=2, axis=0, max_norm=0.5, torch=lambda x: shortened(x, 2, 0, 0.5)),
    Case(tg.renorm, Apart(2, 3), p=1, axis=-1, max_norm=0.6,
         torch=lambda x: shortened(x, 1, 1, 0.6)),
]  # fmt: skip

CASES = SAMPLED + LENGTHS
