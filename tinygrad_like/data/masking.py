"""Masked tokens: what a BERT sees of a text, and the places at which it has to say what was there.

Source: Devlin et al. 2019, "BERT: pre-training of deep bidirectional transformers for language
understanding", section 3.1 and appendix A.1.
"""

from typing import TYPE_CHECKING

import numpy as np

from tinygrad_like.engine import check_number

if TYPE_CHECKING:
    from numpy.random import Generator  # which NumPy loads on use


def mask_tokens(
    ids: np.ndarray,
    eligible: np.ndarray,
    random: "Generator",
    *,
    mask: int,
    size: int,
    rate: float = 0.15,
) -> tuple[np.ndarray, np.ndarray]:
    """Hide some tokens of a batch: of those chosen 80 % are masked, 10 % random, 10 % kept.

    Args:
        ids: integers of any shape, left unchanged.
        eligible: booleans of the same shape, False for padding and special tokens.
        random: draws the places and the random tokens.
        mask: the number of the token "[MASK]".
        size: of the vocabulary; random tokens are from 0 to size - 1.
        rate: the share of the eligible tokens that are chosen. At least one of a batch is.

    Returns:
        (ids to read, places): at `places`, booleans, the model has to predict `ids`.

    Raises ValueError for shapes that differ, a rate that is not in [0, 1], and a batch in which no
    token is eligible.

    >>> ids = np.arange(5, 105).reshape(10, 10)
    >>> seen, places = mask_tokens(ids, ids > 9, np.random.default_rng(0), mask=4, size=105)
    >>> seen.shape, bool((seen == ids)[~places].all()), bool(places[ids <= 9].any())
    ((10, 10), True, False)
    """
    ids, eligible = np.asarray(ids), np.asarray(eligible, bool)
    check_number("mask_tokens", "rate", rate, 0, 1)
    if ids.shape != eligible.shape:
        raise ValueError(f"[mask_tokens] eligible is {eligible.shape}, ids are {ids.shape}")
    candidates = np.flatnonzero(eligible)
    if not candidates.size:
        raise ValueError("[mask_tokens] no token is eligible, expected at least one in a batch")
    places = eligible & (random.random(ids.shape) < rate)
    if not places.any():
        places.flat[random.choice(candidates)] = True
    draw = random.random(ids.shape)
    seen = np.where(places & (draw < 0.8), mask, ids)
    return np.where(places & (draw >= 0.9), random.integers(size, size=ids.shape), seen), places
