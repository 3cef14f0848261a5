"""Rows for ops/neural/recurrent.py: one line a row, see case.py."""

import numpy as np
from case import Case, F, N, U, torch

import tinygrad_like as tg

BLOCKS = {"rnn": (1, 1), "gru": (3, 4), "lstm": (4, 4)}  # of H columns, in weights and in bias


def reordered(kind, weight, recurrent, bias):
    """Our weights as torch's weight_ih, weight_hh, bias_ih, bias_hh; differentiable."""
    h = recurrent.shape[0]
    none = torch.zeros_like(bias[:h])
    if kind == "rnn":
        return weight.T, recurrent.T, bias, none
    if kind == "gru":
        return weight.T, recurrent.T, bias[: 3 * h], torch.cat([none, none, bias[3 * h :]])
    order = torch.tensor([k * h + j for k in (0, 1, 3, 2) for j in range(h)])  # i, f, g, o
    return weight.T[order], recurrent.T[order], bias[order], torch.zeros_like(bias)


def by_torch(kind, lengths=None, reverse=False, nonlinearity="tanh"):
    """The oracle: torch's own layer, each sequence by itself and cut to its length."""
    function = getattr(torch._VF, f"rnn_{nonlinearity}" if kind == "rnn" else kind)

    def one(x, flat, states):
        """(out, *states) of one sequence."""
        if not x.shape[1]:
            return x.new_zeros(1, 0, states[0].shape[-1]), *states
        start = states if kind == "lstm" else states[0]
        return function(x, start, flat, True, 1, 0.0, True, False, True)

    def oracle(x, weight, recurrent, bias, *given):
        flat = reordered(kind, weight, recurrent, bias)
        zeros = x.new_zeros(len(x), len(recurrent))
        states = [*given, zeros, zeros][: 2 if kind == "lstm" else 1]
        outs, ends = [], []
        for n, steps in enumerate(lengths or [x.shape[1]] * len(x)):
            sequence = x[n : n + 1, :steps]
            sequence = sequence.flip(1) if reverse else sequence
            out, *end = one(sequence, flat, tuple(s[None, n : n + 1] for s in states))
            out = out.flip(1) if reverse else out
            outs.append(F.pad(out, (0, 0, 0, x.shape[1] - steps)))
            ends.append(end)
        return torch.cat(outs), *(torch.cat(s, 1)[0] for s in zip(*ends, strict=True))

    return oracle


def row(kind, *, n=3, t=2, d=1, h=2, states=0, empty=True, **attributes):
    """A call with x (n, t, d), h units, and as many first states.

    Numbers inside (-1, 1): float16 keeps few digits of the slope of a tanh that is close to 1.
    """
    gates, biases = BLOCKS[kind]
    return Case(
        getattr(tg, kind),
        *(U(n, t, d), U(d, gates * h), U(h, gates * h), U(biases * h)),
        *[U(n, h)] * states,
        torch=by_torch(kind, **attributes) if torch else kind,
        empty=empty,
        **attributes,
    )


def no_steps(kind, states):
    """Sequences of no steps end as they began."""
    gates, biases = BLOCKS[kind]
    return Case(
        getattr(tg, kind),
        *(N(3, 0, 1), N(1, gates * 2), N(2, gates * 2), N(biases * 2)),
        *[N(3, 2)] * states,
        numpy=lambda x, w, u, b, *given: (
            np.zeros((len(x), 0, 2)),
            *(given or [np.zeros((len(x), 2))] * (2 if kind == "lstm" else 1)),
        ),
    )


CASES = [
    row("rnn"),
    row("rnn", t=3, d=2, h=2, states=1, reverse=True),
    row("rnn", n=4, d=2, states=1, lengths=[2, 0, 1, 1], empty=False),
    row("rnn", states=1, nonlinearity="relu"),
    row("gru"),
    row("gru", n=1, t=3, d=2, states=1),
    row("gru", d=2, states=1, reverse=True, lengths=[1, 2, 0], empty=False),
    row("lstm"),
    row("lstm", n=1, t=3, d=2, states=2),
    row("lstm", d=2, states=1),
    row("lstm", states=2, reverse=True, lengths=[2, 0, 1], empty=False),
    row("lstm", t=1, h=1, states=2, lengths=[1, 0, 1], empty=False),
    no_steps("rnn", 1),
    no_steps("gru", 0),
    no_steps("lstm", 2),
    # Not all outputs are used.
    Case(lambda *inputs: tg.lstm(*inputs)[1:], N(3, 2, 1), N(1, 8), N(2, 8), N(8),
         torch=lambda *inputs: by_torch("lstm")(*inputs)[1:], name="lstm()[1:]"),
    Case(lambda *inputs: tg.gru(*inputs)[0], N(3, 2, 1), N(1, 6), N(2, 6), N(8),
         torch=lambda *inputs: by_torch("gru")(*inputs)[0], name="gru()[0]"),
]  # fmt: skip
