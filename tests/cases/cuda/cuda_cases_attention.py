"""Cases of attention.cu and attention_tensor.cu."""

import numpy as np
from cuda_case import Case, misaligned

SEED, OFFSET = 7, 2**32 - 5


def _attention(
    name,
    t,
    s,
    d,
    dv=None,
    heads=1,
    key_heads=None,
    mask=None,
    causal=False,
    batch=1,
    p=0.0,
    needs=(1, 1, 1, 0),
    tensor=False,
    shifted="",
):
    """Forward and backward; `mask` draws it, of booleans or of numbers.

    `shifted` names those of q, k, v and the gradient g that begin at no multiple of 16 bytes.
    """
    key_heads, dv = key_heads or heads, dv or d
    options = causal, 0.3, p, SEED, OFFSET

    def make(rng):
        query, key = (batch, heads, t), (batch, key_heads, s)
        shapes = (*query, d), (*key, d), (*key, dv), (*query, dv)
        return [*(rng.standard_normal(x) for x in shapes), None if mask is None else mask(rng)]

    def call(k, *arrays):
        *numbers, mask = arrays
        q, key, value, g = (
            misaligned(x) if name in shifted else x for name, x in zip("qkvg", numbers, strict=True)
        )
        out, sums = k.attention(q, key, value, mask, *options)
        wanted = tuple(map(bool, needs))
        return out, sums, *k.attention_backward(g, q, key, value, out, sums, mask, *options, wanted)

    if tensor:
        dtypes = ("float16", "bfloat16")
        return Case(f"flash-{name}", "attention_tensor.cu", call, make, 32, dtypes)
    return Case(f"attention-{name}", "attention.cu", call, make, bound=32)


def _seen(*shape):
    """Booleans, with a query that sees nothing where there are queries."""

    def draw(rng):
        mask = rng.random(shape) < 0.7
        if shape[2] > 1:
            mask[:, :, 1] = False
        return mask

    return draw


def _added(*shape):
    def draw(rng):
        mask = rng.standard_normal(shape)
        mask[..., 0] = -np.inf
        return mask

    return draw


TWO = {"batch": 2, "heads": 2}
CASES = [
    _attention("small", 5, 7, 2, 3, **TWO),
    _attention("tiles", 33, 34, 16),
    _attention("causal", 34, 34, 8, causal=True),
    _attention("causal, more keys", 5, 40, 8, causal=True),
    _attention("causal, more queries", 40, 5, 8, causal=True),
    _attention("grouped heads", 9, 11, 5, batch=2, heads=4, key_heads=2),
    _attention("seen", 5, 11, 4, mask=_seen(2, 2, 5, 11), **TWO),
    _attention("seen by all heads", 5, 11, 4, mask=_seen(2, 1, 1, 11), **TWO),
    _attention("added", 5, 11, 4, mask=_added(1, 2, 5, 11), needs=(1, 1, 1, 1), **TWO),
    _attention("added for all", 5, 6, 4, mask=_added(2, 1, 5, 1), batch=2, heads=2, key_heads=1),
    _attention("dropout", 5, 37, 6, p=0.3, heads=2),
    _attention("dropout of all", 5, 6, 4, p=1.0, causal=True),
    _attention("head of 64", 3, 5, 33, 64),
    _attention("head of 128", 3, 5, 100, 65),
    _attention("head of 130", 3, 4, 130),
    _attention("no queries", 0, 4, 8),
    *(
        _attention(f"needs {needs}", 5, 6, 4, needs=needs)
        for needs in ((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 0))
    ),
    *(
        _attention(*sizes, tensor=True, **options)
        for sizes, options in (
            (("small", 5, 7, 2, 3), TWO),
            (("tiles", 66, 130, 16), {}),
            (("whole tiles", 64, 128, 32), {"causal": True}),
            (("causal", 70, 70, 40), {"causal": True, "batch": 2}),
            (("causal, more keys", 5, 140, 8), {"causal": True}),
            (("causal, more queries", 140, 5, 8), {"causal": True}),
            (("grouped heads", 67, 65, 24), {"heads": 4, "key_heads": 2}),
            (("seen", 66, 67, 8), {"mask": _seen(1, 2, 66, 67), "heads": 2}),
            (("added", 66, 67, 8), {"mask": _added(1, 1, 66, 67)}),
            (("dropout", 65, 71, 33), {"p": 0.3, "heads": 2}),
            (("misaligned", 66, 130, 16), {"shifted": "qkvg"}),
            *(((f"misaligned {x}", 66, 70, 24), {"shifted": x}) for x in "qkvg"),
            (("misaligned heads", 34, 40, 128), {"shifted": "qkvg", "heads": 2, "key_heads": 1}),
            (("head of 64", 66, 33, 64, 57), {}),
            (("head of 128", 40, 68, 128), {"causal": True}),
            (("head of 100", 34, 66, 100, 120), {}),
        )
    ),
]
