"""Losses: what to minimise. Each compares predictions with targets and reduces to one number.

    numbers        mse  l1  huber  smooth_l1  gaussian_nll  poisson_nll        one shape for both
    yes or no      binary_cross_entropy  .._with_logits
                   binary_focal_with_logits  dice                              one shape for both
                   hinge  soft_margin (targets 1 and -1)                       one shape for both
    one of c       cross_entropy  nll  focal  multi_margin     (..., c) and labels (...)
    some of c      multilabel_margin  multilabel_soft_margin                   (..., c) for both
    distributions  cross_entropy (with probabilities)  kl_divergence  entropy  perplexity
                   wasserstein  sinkhorn
    vectors        cosine_similarity  pairwise_distance  cosine_embedding  hinge_embedding
                   margin_ranking  triplet_margin  info_nce
    sequences      ctc

`reduction` is "mean", "sum" or "none" (the losses one by one). Shapes must match exactly: a target
(n,) against a prediction (n, 1) would broadcast to (n, n), train, and learn nothing. A target takes
the dtype of the prediction, and gets a gradient if it is a Tensor that requires one. NaN is let
through, so that it shows in the loss.

checks.py holds what they share: the checks of targets, weights, and the reduction.
"""

from tinygrad_like.losses.binary import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    binary_focal_with_logits,
    dice,
)
from tinygrad_like.losses.classes import cross_entropy, focal, nll
from tinygrad_like.losses.ctc import ctc
from tinygrad_like.losses.divergences import entropy, kl_divergence, perplexity
from tinygrad_like.losses.margins import (
    hinge,
    multi_margin,
    multilabel_margin,
    multilabel_soft_margin,
    soft_margin,
)
from tinygrad_like.losses.regression import gaussian_nll, huber, l1, mse, poisson_nll, smooth_l1
from tinygrad_like.losses.transport import sinkhorn, wasserstein
from tinygrad_like.losses.vectors import (
    cosine_embedding,
    cosine_similarity,
    hinge_embedding,
    info_nce,
    margin_ranking,
    pairwise_distance,
    triplet_margin,
)
