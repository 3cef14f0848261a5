"""Which tile of our matrix products is the fastest, by shape, on a GPU.

    python -m bench tiles                          # the rule's, no GPU needed
    python -m bench tiles --device cuda [--write]  # timed

The shapes are squares, and the products of the GPT-2 124M step, each by the kernel that the GPU
takes for it. --write replaces the committed table, kernels/cuda/machine/tiles.json, which the
kernels read. Inputs are taken in turns, as by `python -m bench kernels`, after the result of each
tile was compared with the vendor's in float32.
"""

import argparse
import statistics
import sys
from functools import partial

import numpy as np

from bench import report
from bench.arena import OpponentError, check_agreement
from bench.cuda_kernels import Card, bfloat16_of, sets_of, time_of
from bench.kernel_figures import refusing, samples_of
from bench.workloads import GPTS

SQUARES = 1024, 2048, 4096, 8192
PARTS = 1, 2, 4, 8
# Of the largest element of a product, by source and dtype: linalg.cu alone does not round float32.
TOLERANCES = {
    ("linalg", "float32"): 2e-5,
    ("linalg_tensor", "float32"): 4e-3,
    ("linalg_tensor", "float16"): 4e-3,
    ("linalg_tensor", "bfloat16"): 3e-2,
    ("linalg_wgmma", "float16"): 4e-3,
    ("linalg_wgmma", "bfloat16"): 3e-2,
}


def products_of(sizes):
    """[(layout, m, n, k)] of what a GPT's step multiplies; layouts are those of tiles.Shape."""
    tokens, d, vocabulary = sizes.batch * sizes.context, sizes.width, sizes.vocabulary
    dense = [(d, d), (d, 4 * d), (4 * d, d)]
    found = []
    for given, made in dense:  # x W, and the gradients g W^T and x^T g
        found += [("nn", tokens, made, given), ("nt", tokens, given, made)]
        found.append(("tn", given, made, tokens))
    # The logits x W^T of the table W of tokens, and the gradients g W and x^T g
    found += [("nt", tokens, vocabulary, d), ("nn", tokens, d, vocabulary)]
    return [*found, ("tn", d, vocabulary, tokens)]


def shapes(xp, bfloat16, sizes):
    """The Shapes of the table, for a GPT of these sizes, on the device of the array module `xp`."""
    types = [(np.float32, False), (np.float32, True), (np.float16, False)]
    if bfloat16 is not None:
        types.append((bfloat16, False))
    products = [*(("nn", n, n, n) for n in SQUARES), *products_of(sizes)]
    every = [_shape(xp, np.dtype(dtype), tf32, *p) for dtype, tf32 in types for p in products]
    return list(dict.fromkeys(every))


def _shape(xp, dtype, tf32, layout, m, n, k):
    """The Shape of a product, with the source that multiplies it."""
    from tinygrad_like.kernels.cuda import linalg
    from tinygrad_like.kernels.cuda.machine.tiles import Shape

    aligned = xp.empty(1, dtype)  # stands for a whole operand: the choice reads no elements
    left = linalg.Operand(aligned, m, k, 0, layout[0] == "t")
    right = linalg.Operand(aligned, n, k, 0, layout[1] == "n")
    core = linalg.choose_core(left, right, dtype.name, tf32)
    return Shape(core.source.path.stem, dtype.name, layout, m, n, k)


def candidates(shape):
    """The tiles and parts that are tried for a shape, the rule's first."""
    from tinygrad_like.kernels.cuda import linalg
    from tinygrad_like.kernels.cuda.machine.tiles import Choice

    first = linalg.by_rule(shape)
    most = max(1, shape.k // linalg.SPLIT)
    every = [Choice(tile, parts) for tile in linalg.CORES[shape.source].tiles for parts in PARTS]
    return [first, *(c for c in every if c != first and c.parts <= most)]


def operands(card, shape):
    """[(a, b)] in the layout of the shape: as many pairs as fill the cache twice."""
    import ml_dtypes

    dtype = np.dtype(ml_dtypes.bfloat16 if shape.dtype == "bfloat16" else shape.dtype)
    m, n, k = shape.m, shape.n, shape.k
    sizes = [
        size[::-1] if which == "t" else size
        for size, which in zip(((m, k), (k, n)), shape.layout, strict=True)
    ]
    pairs = []
    for seed in range(sets_of(card, (m * k + k * n + m * n) * dtype.itemsize)):
        rng = np.random.default_rng(seed)
        pair = (card.asarray(rng.standard_normal(size, np.float32).astype(dtype)) for size in sizes)
        pairs.append([x.T if t == "t" else x for x, t in zip(pair, shape.layout, strict=True)])
    return pairs


def fastest(card, shape, bouts):
    """(the best Choice, its milliseconds, those of the rule)."""
    from tinygrad_like.kernels import reference
    from tinygrad_like.kernels.cuda import linalg

    tried, pairs, core = candidates(shape), operands(card, shape), linalg.CORES[shape.source]
    gemms = [partial(linalg.gemm, core=core, tile=tile, parts=parts) for tile, parts in tried]
    wide = (x.astype(np.float32) for x in pairs[0])
    results = {"the vendor": samples_of([card.to_host(reference.matmul(*wide))])}
    for choice, gemm in zip(tried, gemms, strict=True):
        results[text_of(choice)] = samples_of([card.to_host(gemm(*pairs[0]))])
    check_agreement(text_of(shape), results, TOLERANCES[shape.source, shape.dtype])
    times = [
        statistics.median(time_of(card, [partial(gemm, *pair) for pair in pairs], bouts))
        for gemm in gemms
    ]
    best = min(range(len(times)), key=times.__getitem__)
    return tried[best], times[best], times[0]


def text_of(row):
    """A Shape or a Choice in one line."""
    return " ".join(map(str, row))


def timed(card, wanted, bouts, refused):
    """{Shape: Choice} of the fastest tiles, printed as they are found; `refused` are named."""
    from tinygrad_like.kernels.cuda.machine.signature import LaunchError

    widths = report.print_head(["product", "best", "ms", "rule's ms"], [46, 64, 9, 9])
    found = {}
    for shape in wanted:
        name = text_of(shape)
        with refusing(name, refused):
            try:
                found[shape], best, rule = fastest(card, shape, bouts)
            except (LaunchError, MemoryError) as error:
                raise OpponentError(f"{name}: {error}") from error
            row = [name, text_of(found[shape]), f"{best:.3f}", f"{rule:.3f}"]
            report.print_row(row, widths)
    return found


def main():
    from tinygrad_like.kernels.cuda import emulator, linalg
    from tinygrad_like.kernels.cuda.machine import tiles
    from tinygrad_like.kernels.cuda.machine.launcher import capability_of

    from tinygrad_like import backend

    parser = argparse.ArgumentParser(prog="python -m bench tiles", description=__doc__)
    parser.add_argument("--device", choices=("cuda",), help="time them there")
    parser.add_argument("--bouts", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="replace the committed table")
    args = parser.parse_args()
    timed_on, refused = None, []
    if args.device:
        problem = backend.cuda_problem()
        if problem is not None:
            sys.exit(f"no figures: {problem}")
        card = Card()
        timed_on = {"device": card.name, "capability": capability_of(card.asarray(np.zeros(1)))}
        found = timed(card, shapes(card.xp, bfloat16_of("cuda"), GPTS["gpt2"]), args.bouts, refused)
    else:
        wanted = shapes(emulator.xp, bfloat16_of("cuda-emulator"), GPTS["gpt2"])
        found = {shape: linalg.by_rule(shape) for shape in wanted}
        for row in found.items():
            print(*map(text_of, row))
    if args.write:
        tiles.write(timed_on, found)
    if refused:
        sys.exit(f"{len(refused)} products refused: {', '.join(refused)}")
