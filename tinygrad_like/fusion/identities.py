"""Identities: gradients of rows that sum to 1, in their shortest form.

Take a softmax written out: y = e / s with s = sum(e) and e = exp(x - max(x)). The rules of its ops
give a right gradient, but a long one, because no single op knows that y sums to 1. Two identities
shorten it:

    e (g / s + sum(-g y / s)) = y (g - sum(g y))      as e / s = y
    sum(y (g - sum(g y)))     = 0                     so the maximum has no gradient

Both are equal for all numbers, whatever e is. What is left has fewer roundings, two passes and no
exponential, as in kernels/cpu/softmax.py.
"""

from collections.abc import Callable
from typing import Any

from tinygrad_like.fusion.terms import FULL, ROW, Term


def simplified(terms, term):
    """The Term with both identities applied wherever they hold, and without sums with 0."""
    known: dict[Term, Term] = {}
    waiting = [term]
    while waiting:
        top = waiting[-1]
        unknown = [x for x in top.operands if x not in known]
        if unknown:
            waiting += unknown
            continue
        waiting.pop()
        operands = [known[x] for x in top.operands]
        same = all(a is b for a, b in zip(operands, top.operands, strict=True))
        made = top if same else terms.make(top.name, *operands, place=top.place, detail=top.detail)
        known[top] = _shorter(terms, made)
    return term if _is_zero(known[term]) else known[term]


def _shorter(terms, term):
    """A Term whose operands are simplified already, by the rule for its name if that fits."""
    rule = _RULES.get(term.name)
    return (rule and rule(terms, *term.operands)) or term


def _either_way(a, b):
    return (a, b), (b, a)


def _zero(terms, place):
    """A sum that is known to be 0, which is no zero of the function: its 0 / x stays what it is."""
    return terms.make("number", place=place, detail="0.0")


def _is_zero(term):
    return term.name == "number" and term.place in (FULL, ROW)


def _gradient_through_share(terms, a, b):
    """e (g / s + sum(-g y / s)) = y (g - sum(g y)) for y = e / s, s = sum(e)."""
    for e, factor in _either_way(a, b):
        if factor.name != "add":
            continue
        for quotient, rest in _either_way(*factor.operands):
            if quotient.name != "divide" or rest.name != "spread":
                continue
            g, s = quotient.operands
            y = terms.make("divide", e, s, place=FULL)
            minus_g = terms.make("negative", g, place=g.place)
            product = terms.make("multiply", minus_g, y, place=FULL)
            share = terms.make("divide", product, s, place=FULL)
            if _is_sum(s, e) and _is_sum(rest.operands[0], share):
                total = terms.make("sum", terms.make("multiply", g, y, place=FULL), place=s.place)
                spread = terms.make("spread", total, place=FULL)
                centred = terms.make("subtract", g, spread, place=FULL)
                return terms.make("multiply", y, centred, place=FULL)
    return None


def _is_sum(term, of):
    return term.name == "sum" and term.operands == (of,)


def _sum_of_centred(terms, x):
    """sum(y (g - sum(g y))) = 0 for y = e / sum(e), with either sign."""
    while x.name == "negative":
        (x,) = x.operands
    if x.name != "multiply" or x.operands[1].name != "subtract":
        return None
    y, (g, total) = x.operands[0], x.operands[1].operands
    if y.name != "divide" or not _is_sum(y.operands[1], y.operands[0]) or total.name != "spread":
        return None
    product = terms.make("multiply", g, y, place=FULL)
    return _zero(terms, ROW) if _is_sum(total.operands[0], product) else None


def _of_zero(terms, x, *others):
    """Such a 0 stays one: the gradient of a maximum divides it by the number of ties."""
    return x if _is_zero(x) else None


def _spread_zero(terms, x):
    return _zero(terms, FULL) if _is_zero(x) else None


def _chosen_zero(terms, condition, a, b):
    """Where not the 0, the number 0 is chosen."""
    return _zero(terms, FULL) if _is_zero(a) and b is terms.number(0) else None


def _plus_zero(terms, a, b):
    return a if _is_zero(b) else b if _is_zero(a) else None


_RULES: dict[str, Callable[..., Any]] = {
    "multiply": _gradient_through_share,
    "sum": _sum_of_centred,
    "divide": _of_zero,
    "spread": _spread_zero,
    "negative": _of_zero,
    "where": _chosen_zero,
    "add": _plus_zero,
}
