"""Which tile of our matrix products is the fastest, by shape, on a GPU.

    python -m bench tiles                          # the rule's, no GPU needed
    python -m bench tiles --device cuda [--write]  # timed

--write replaces the committed table, kernels/cuda/tiles.json, which the kernels read. The results
of all tiles are compared before any is timed.
"""

import argparse
import statistics
import sys
from functools import partial

import numpy as np

from bench import report
from bench.arena import check_agreement
from bench.cuda_kernels import Card, time_of
from bench.kernels import samples_of

SQUARES = 1024, 2048, 4096, 8192
TOKENS, WIDTH, VOCABULARY = 8192, 768, 50257  # of the GPT-2 124M step
PARTS = 1, 2, 4, 8


def shapes():
    """The products whose tiles are in the table: squares, and those of a GPT-2 step."""
    from tinygrad_like.kernels.cuda.tiles import Shape

    layers = [(WIDTH, 3 * WIDTH), (WIDTH, WIDTH), (WIDTH, 4 * WIDTH), (4 * WIDTH, WIDTH)]
    sizes = [(n, n, n) for n in SQUARES]
    for given, made in (*layers, (WIDTH, VOCABULARY)):  # forward, and the gradients of both factors
        sizes += [(TOKENS, made, given), (TOKENS, given, made), (given, made, TOKENS)]
    types = {
        "matmul": ("float32",),
        "tensor_matmul": ("float16", "bfloat16", "float32"),
        "wgmma_matmul": ("float16", "bfloat16"),
    }
    every = [
        Shape(s, dtype, *size) for s, names in types.items() for dtype in names for size in sizes
    ]
    return list(dict.fromkeys(every))


def candidates(shape):
    """The tiles and parts that are tried for a shape, the rule's first."""
    from tinygrad_like.kernels.cuda import linalg
    from tinygrad_like.kernels.cuda.tiles import Choice

    core = linalg.CORES[shape.source]
    first = linalg.by_rule(core, *shape[1:])
    every = [Choice(tile, parts) for tile in core.tiles for parts in PARTS]
    return [
        first,
        *(c for c in every if c != first and c.parts * linalg.SPLIT <= max(shape.k, 256)),
    ]


def fastest(card, shape, bouts):
    """(the best Choice, its milliseconds, those of the rule)."""
    from tinygrad_like.kernels.cuda import linalg

    rng = np.random.default_rng(0)
    a, b = (
        card.asarray(rng.standard_normal(size, np.float32)).astype(dtype_of(shape))
        for size in ((shape.m, shape.k), (shape.k, shape.n))
    )
    steps = {}
    for tile, parts in candidates(shape):
        how = {"core": linalg.CORES[shape.source], "tile": tile, "parts": parts}
        steps[repr((tile, parts))] = partial(linalg.gemm, a, b, **how)
    results = {name: samples_of([card.to_host(step())]) for name, step in steps.items()}
    check_agreement(" ".join(map(str, shape)), results, 4e-2 if shape.dtype != "float32" else 4e-3)
    times = [statistics.median(time_of(card, [step], bouts)) for step in steps.values()]
    best = min(range(len(times)), key=times.__getitem__)
    return candidates(shape)[best], times[best], times[0]


def dtype_of(shape):
    """The dtype of a shape's arrays; bfloat16 is ml_dtypes'."""
    import ml_dtypes

    return np.dtype(ml_dtypes.bfloat16 if shape.dtype == "bfloat16" else shape.dtype)


def timed(card, wanted, bouts):
    """{Shape: Choice} of the fastest tiles, printed as they are found."""
    widths = report.print_head(["product", "best", "ms", "rule's ms"], [44, 64, 9, 9])
    found = {}
    for shape in wanted:
        found[shape], best, rule = fastest(card, shape, bouts)
        row = [" ".join(map(str, shape)), str(tuple(found[shape])), f"{best:.3f}", f"{rule:.3f}"]
        report.print_row(row, widths)
    return found


def main():
    from tinygrad_like.kernels.cuda import tiles

    from tinygrad_like import backend

    parser = argparse.ArgumentParser(prog="python -m bench tiles", description=__doc__)
    parser.add_argument("--device", choices=("cuda",), help="time them there")
    parser.add_argument("--bouts", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="replace the committed table")
    args = parser.parse_args()
    name = None
    if args.device:
        problem = backend.cuda_problem()
        if problem is not None:
            sys.exit(f"no figures: {problem}")
        card = Card()
        name, found = card.name, timed(card, shapes(), args.bouts)
    else:
        found = {shape: candidates(shape)[0] for shape in shapes()}
        for shape, choice in found.items():
            print(*shape, *choice)
    if args.write:
        tiles.write(name, found)
