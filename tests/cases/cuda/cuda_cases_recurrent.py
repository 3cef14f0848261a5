"""Cases of recurrent.cu."""

import numpy as np
from cuda_case import Case

SEQUENCES, STEPS, INPUTS, UNITS = 4, 3, 5, 6
BLOCKS = {"rnn": 1, "gru": 3, "lstm": 4}


def _layer(kind, *how, lengths=False, reverse=False, start=True, needs=True, shape=None):
    """Forward and backward of a layer."""
    n, steps, inputs, units = shape or (SEQUENCES, STEPS, INPUTS, UNITS)
    blocks, states = BLOCKS[kind], 2 if kind == "lstm" else 1
    given = [(n, units)] * states if start else []

    def make(rng):
        shapes = [
            (n, steps, inputs),
            (inputs, blocks * units),
            (units, blocks * units),
            ((4 if kind == "gru" else blocks) * units,),
            (n, steps, units),
            *[(n, units)] * states,
            *given,
        ]
        cut = np.array([2, 0, 3, 1] * n)[:n] if lengths else None
        return [cut, *(rng.standard_normal(s) for s in shapes)]

    def call(k, cut, x, weight, recurrent, bias, dout, *rest):
        gradients, first = rest[:states], [*rest[states:], *[None] * states][:states]
        forward, backward = getattr(k, kind), getattr(k, f"{kind}_backward")
        out, *more = forward(x, weight, recurrent, bias, *first, cut, reverse, *how)
        last, saved = more[:states], more[states:]
        wanted = (needs,) * (4 + states)
        grads = backward(
            *(dout, *gradients, x, weight, recurrent, *first, out, *saved, cut, reverse, *how),
            wanted,
        )
        return out, *last, *grads

    options = [
        *how,
        lengths and "lengths",
        reverse and "reverse",
        start or "zeros",
        needs or "none",
    ]
    label = "-".join(str(o) for o in (kind, *options, *(shape or ())) if o not in (False, True))
    return Case(label, "recurrent.cu", call, make, bound=32)


CASES = [
    *(_layer("rnn", how) for how in ("tanh", "relu")),
    _layer("rnn", "tanh", lengths=True, reverse=True),
    _layer("rnn", "relu", lengths=True, start=False),
    _layer("rnn", "tanh", needs=False),
    *(_layer(kind) for kind in ("gru", "lstm")),
    *(_layer(kind, lengths=True) for kind in ("gru", "lstm")),
    *(_layer(kind, reverse=True, start=False) for kind in ("gru", "lstm")),
    *(_layer(kind, lengths=True, reverse=True) for kind in ("gru", "lstm")),
    *(_layer(kind, needs=False) for kind in ("gru", "lstm")),
    *(_layer(kind, shape=(33, 2, 3, 4)) for kind in ("gru", "lstm")),
    _layer("lstm", shape=(0, 2, 3, 4)),
]
