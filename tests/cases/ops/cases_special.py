"""Rows for ops/elements/special.py: one line a row, see case.py."""

import scipy.special
from case import Case, N, P, U, Values, torch

import tinygrad_like as tg
from tinygrad_like.ops.elements.special import _polygamma_rise, betaln

digamma = scipy.special.digamma

OFF_POLES = Values([[-2.6, -0.3, 0.4], [1.0, 3.7, 24.0]])

GAMMA = [
    Case(tg.lgamma, OFF_POLES),
    Case(tg.digamma, OFF_POLES, numpy=digamma),  # torch's gradient has 9 digits
    *(
        Case(
            lambda x, n=n: tg.polygamma(n, x),
            P(2, 3),
            numpy=lambda x, n=n: scipy.special.polygamma(n, x),
            name=f"polygamma {n}",
        )
        for n in (0, 1, 2)
    ),
    Case(betaln, P(2, 3), P(3), numpy=scipy.special.betaln),
    Case(betaln, Values([0.5, 30.0]), Values([[2.0], [400.0]]), numpy=scipy.special.betaln),
    Case(_polygamma_rise, P(3), P(2, 1), numpy=lambda x, d: digamma(x + d) - digamma(x), n=0),
]

ERROR_FUNCTION = [
    Case(tg.erfc, N(2, 3)),
    Case(tg.erfc, Values([-5.0, 0.0, 2.0, 5.0])),
    Case(tg.erfinv, U(2, 3)),
]

LOGARITHMS = [
    Case(tg.logit, Values([[0.1, 0.5, 0.501], [0.9, 0.03, 0.7]])),
    Case(tg.logit, P(2, 3), torch=lambda x: torch.logit(x, 0.35), eps=0.35),
    Case(tg.xlogy, N(2, 3), P(3)),
    Case(lambda x: tg.xlogy(3, x), P(2, 3), torch=lambda x: torch.xlogy(3, x), name="xlogy(3, x)"),
    Case(lambda x: tg.xlogy(x, 3), P(2, 3), torch=lambda x: torch.xlogy(x, 3), name="xlogy(x, 3)"),
]

CASES = GAMMA + ERROR_FUNCTION + LOGARITHMS
