"""FLOPs of products of matrices, einsum, distances, sampling, and systems of equations."""

from math import prod

import numpy as np

from tinygrad_like.inspect.flops.rules import Cost


def _matmul(call):
    n = 2 * prod(call.out) * call.shapes[0][-1]
    return Cost(n, n)


def _linear(call):
    n = 2 * prod(call.out) * call.shapes[0][-1]
    return Cost(n, (n, n, 0))


def _distances(call):
    """A difference, and what it adds to a norm; as much again for each gradient."""
    n = 3 * prod(call.out) * call.shapes[0][-1]
    return Cost(n, n)


def _sampled(call):
    """A product and a sum for each neighbour that an output reads."""
    along = {"nearest": 1, "bilinear": 2, "bicubic": 4}[call.attributes["mode"]]
    n = 2 * prod(call.out) * along ** (len(call.out) - 2)
    return Cost(n, n)


def _sizes(terms, shapes):
    sizes: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        for letter, size in zip(term, shape, strict=True):
            sizes[letter] = max(size, sizes.get(letter, 1))
    return sizes


def _of_pairs(terms, target, shapes):
    """The FLOPs of an Einstein sum, two operands at a time."""
    sizes = _sizes(terms, shapes)
    total, left = 0, list(terms)
    if len(terms) < 2:
        return prod(sizes.values()) if set(terms[0]) - set(target) else 0
    order = [(0, 1)]
    if len(terms) > 2:
        stand_ins = [np.broadcast_to(np.float32(), shape) for shape in shapes]
        text = f"{','.join(terms)}->{target}"
        order = np.einsum_path(text, *stand_ins, optimize="greedy")[0][1:]
        if any(len(step) > 2 for step in order):
            order = [(0, 1)] * (len(terms) - 1)
    for step in order:
        pair = [left.pop(i) for i in sorted(step, reverse=True)]
        seen = dict.fromkeys("".join(pair))
        kept = [c for c in seen if c in target or any(c in other for other in left)]
        total += (2 if len(kept) < len(seen) else 1) * prod(sizes[c] for c in seen)
        left.append("".join(kept))
    return total


def _einsum(call):
    sources, target = call.attributes["subscripts"].split("->")
    terms = sources.split(",")
    sizes, each = _sizes(terms, call.shapes), []
    for i, term in enumerate(terms):
        others = [target, *(t for j, t in enumerate(terms) if j != i)]
        shapes = [tuple(sizes[c] for c in t) for t in others]
        seen = "".join(c for c in term if c in "".join(others))
        each.append(_of_pairs(others, seen, shapes) if len(terms) > 1 else 0)
    return Cost(_of_pairs(terms, target, call.shapes), each)


def _expert_matmul(call):
    n = 2 * prod(call.out) * call.shapes[0][-1]
    return Cost(n, n)


def _expert_outer(call):
    rows, k = call.shapes[0]
    n = 2 * rows * k * call.shapes[1][-1]
    return Cost(n, n)


def _of_matrices(cubes):
    """The rule of a factorisation of n x n matrices in `cubes` n^3; its gradient has no count."""

    def rule(call):
        *batch, n, _ = call.shapes[0]
        return Cost(round(prod(batch) * cubes * n**3), None)

    return rule


def _solve_triangular(call):
    n = call.shapes[0][-1]
    return Cost(prod(call.out) * n, prod(call.out) * n)


def _solve(call):
    *batch, n, _ = call.shapes[0]
    return Cost(round(prod(batch) * 2 / 3 * n**3) + 2 * n * prod(call.out), None)


PRODUCTS = {
    "matmul": _matmul,
    "linear": _linear,
    "einsum": _einsum,
    "distances": _distances,
    "sample": _sampled,
    "expert_matmul": _expert_matmul,
    "expert_outer": _expert_outer,
    "inv": _of_matrices(2),
    "det": _of_matrices(2 / 3),
    "slogdet": _of_matrices(2 / 3),
    "cholesky": _of_matrices(1 / 3),
    "lu": _of_matrices(2 / 3),
    "solve": _solve,
    "solve_triangular": _solve_triangular,
}
