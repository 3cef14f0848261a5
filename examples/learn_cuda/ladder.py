"""Climb from a naive matrix product to tensor cores and flash attention, one idea a step.

    python examples/learn_cuda/ladder.py                 # all steps, in the emulator: no GPU needed
    python examples/learn_cuda/ladder.py 3 4             # some
    python examples/learn_cuda/ladder.py --chart climb.png
    python examples/learn_cuda/ladder.py --device cuda   # timed on a GPU, by CuPy

Each step is a `.cu` file beside this one. It is run on a small problem with every access to memory
watched, compared with NumPy in float64, and what it moved is counted. On a GPU it is run on a large
problem, compared in one row of 61, and timed only if it is right.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
from tinygrad_like.kernels.cuda import emulator
from tinygrad_like.kernels.cuda.machine import Source, TensorView

HERE = Path(__file__).parent
N = 128  # of the products: n x n
ROWS, COLUMNS = 16, 1024  # of softmax
KEYS, WIDTH = 128, 32  # of attention
LARGE = {"n": 4096, "rows": 8192, "columns": 1024, "keys": 4096}  # on a GPU
LONGER = 32  # its sums are this many times as long, and may have errors as many times as large
EVERY = 61  # every 61st row is compared: together they meet every place in a tile
COUNTED = "global_loads load_sectors store_sectors shared_loads wavefronts conflicts".split()


class Step(NamedTuple):
    """A file of the ladder and how its kernels are launched."""

    file: str
    make: Callable  # (rng, sizes) -> inputs
    launch: Callable  # (source, xp, inputs) -> the result
    exact: Callable  # (inputs in float64) -> the result
    dtype: str = "float32"
    bound: float = 1e-5  # of the error, by the largest number

    @property
    def number(self):
        return int(self.file[:2])

    @property
    def family(self):
        return "product" if self.number < 13 else "softmax" if self.number < 16 else "attention"

    @property
    def idea(self):
        """The first sentence of the file."""
        text = (HERE / self.file).read_text(encoding="utf-8").split(": ", 1)[1]
        return text.replace("\n// ", " ").split(". ")[0].split(".\n")[0]


def _matrices(rng, sizes):
    return [rng.standard_normal((sizes["n"], sizes["n"])) for _ in range(2)]


def _product(grid, block, shared=0, maps=None):
    """Launch `matmul`; grid(n) and block, bytes of shared memory, boxes of tensor maps."""

    def launch(source, xp, inputs):
        a, b = inputs
        n = len(a)
        c = xp.empty((n, n), dtype=np.float32)
        if maps:
            a, b = (TensorView(x, (n, n, 1), (1, n, n * n), maps) for x in (a, b))
        source.kernel("matmul", a.dtype if not maps else a.array.dtype)(
            grid(n), block, c, a, b, n, shared=shared
        )
        return c

    return launch


def _step(file, grid, block, **options):
    half = int(file[:2]) >= 9
    dtype = "float16" if half else "float32"
    launch = _product(grid, block, **options)
    return Step(file, _matrices, launch, lambda a, b: a @ b, dtype)


def _rows(rng, sizes):
    return [rng.standard_normal((sizes["rows"], sizes["columns"]))]


def _softmax(source, xp, inputs):
    (x,) = inputs
    y = xp.empty_like(x)
    source.kernel("softmax", "float32")(len(x), 128, y, x, x.shape[1])
    return y


def _exact_softmax(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def _heads(rng, sizes):
    return [rng.standard_normal((sizes["keys"], WIDTH)) for _ in range(3)]


def _textbook(source, xp, inputs):
    q, k, v = inputs
    n = len(q)
    s, out = xp.empty((n, n), dtype=np.float32), xp.empty_like(q)
    source.kernel("scores", "float32")((n // 128, n), 128, s, q, k, n)
    source.kernel("weights", "float32")(n, 128, s, n)
    source.kernel("mix", "float32")(n, WIDTH, out, s, v, n)
    return out


def _flash(source, xp, inputs):
    q, k, v = inputs
    out = xp.empty_like(q)
    source.kernel("attention", "float32")(len(q) // 32, 256, out, q, k, v, len(q))
    return out


def _exact_attention(q, k, v):
    return _exact_softmax(q @ k.T / np.sqrt(WIDTH)) @ v


def _tiles(n):
    return n // 64, n // 64


STEPS = [
    _step("01_naive.cu", lambda n: (n // 32, n // 4), (32, 4)),
    _step("02_coalesced.cu", lambda n: (n // 32, n // 4), (32, 4)),
    _step("03_shared_tiles.cu", lambda n: (n // 32, n // 32), (32, 32)),
    _step("04_register_tiles.cu", _tiles, 256),
    _step("05_vector_loads.cu", _tiles, 256),
    _step("06_double_buffering.cu", _tiles, 256),
    _step("07_swizzle.cu", _tiles, 256),
    _step("08_warp_tiles.cu", _tiles, 128),
    _step("09_mma.cu", _tiles, 128),
    _step("10_ldmatrix.cu", _tiles, 128, shared=2 * 64 * 64 * 2),
    _step("11_cp_async.cu", _tiles, 128, shared=3 * 2 * 64 * 64 * 2),
    _step(
        "12_wgmma.cu",
        lambda n: (n // 128, n // 64),
        160,
        shared=2 * 3 * 64 * 64 * 2 + 2 * 2 * 8,
        maps=(64, 64, 1),
    ),
    Step("13_softmax_three_passes.cu", _rows, _softmax, _exact_softmax),
    Step("14_softmax_two_passes.cu", _rows, _softmax, _exact_softmax),
    Step("15_softmax_one_pass.cu", _rows, _softmax, _exact_softmax),
    Step("16_attention_textbook.cu", _heads, _textbook, _exact_attention),
    Step("17_flash_attention.cu", _heads, _flash, _exact_attention),
]


def source_of(step):
    """The kernels of a step."""
    return Source(
        HERE / step.file,
        (step.dtype,),
        architecture="sm_90a" if step.file.startswith("12") else None,
    )


def inputs_of(step, **sizes):
    """Random inputs, in the step's dtype."""
    drawn = step.make(np.random.default_rng(0), sizes)
    return [x.astype(step.dtype) for x in drawn]


def error_of(step, found, inputs, every=1):
    """The error in one row of `every`, by the largest number.

    Row i of a result is made of row i of the first input and of all of the others.
    """
    first, *others = (x.astype(np.float64) for x in inputs)
    exact = step.exact(first[::every], *others)
    return np.abs(found[::every] - exact).max() / np.abs(exact).max()


def require(step, error, bound):
    if not error <= bound:
        sys.exit(f"{step.file} is wrong: error {error:.1e}, at most {bound:.0e} allowed")


def climb(step, schedule=0):
    """Run a step in the emulator: (error by the largest number, its counters)."""
    inputs = inputs_of(step, n=N, rows=ROWS, columns=COLUMNS, keys=KEYS)
    counters, xp = emulator.Counters(), emulator.xp
    with emulator.run(schedule, checked=True, counters=counters):
        found = step.launch(source_of(step), xp, [xp.asarray(x) for x in inputs])
    return error_of(step, xp.asnumpy(found), inputs), counters


def milliseconds(step):
    """The median time of a step on the GPU, on a large problem. Exits if the result is wrong."""
    import cupy

    drawn, source = inputs_of(step, **LARGE), source_of(step)
    inputs = [cupy.asarray(x) for x in drawn]
    # Memory that is used again may hold the right result of the step before.
    unwritten = SimpleNamespace(
        empty=lambda shape, dtype: cupy.full(shape, np.nan, dtype),
        empty_like=lambda x: cupy.full_like(x, np.nan),
    )
    found = cupy.asnumpy(step.launch(source, unwritten, inputs))
    require(step, error_of(step, found, drawn, EVERY), step.bound * LONGER)
    times = []
    for _ in range(12):
        start, stop = cupy.cuda.Event(), cupy.cuda.Event()
        start.record()
        step.launch(source, cupy, inputs)
        stop.record()
        stop.synchronize()
        times.append(cupy.cuda.get_elapsed_time(start, stop))
    return float(np.median(times[2:]))


def draw(climbed, path):
    """The sectors and wavefronts of each step, as bars."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = [step.file[:-3].replace("_", " ") for step, _ in climbed]
    figure, panels = plt.subplots(1, 2, figsize=(11, 0.4 * len(names) + 1.5), sharey=True)
    for panel, what, title in zip(
        panels,
        ("load_sectors", "wavefronts"),
        ("32-byte sectors loaded from global memory", "wavefronts of shared memory"),
        strict=True,
    ):
        values = [getattr(counters, what) for _, counters in climbed]
        panel.barh(names, values, color="#4878a8")
        panel.set_title(title, fontsize=10)
        panel.set_xscale("symlog", linthresh=100)
        panel.set_xlim(left=0)
        for row, value in enumerate(values):
            panel.text(value, row, f" {value:,}", va="center", fontsize=8)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].invert_yaxis()
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("steps", nargs="*", type=int, help="numbers; all by default")
    parser.add_argument("--device", choices=("emulator", "cuda"), default="emulator")
    parser.add_argument("--chart", help="where to draw what each step moves")
    args = parser.parse_args(arguments)
    chosen = [s for s in STEPS if not args.steps or s.number in args.steps]
    if not chosen:
        parser.error(f"no such step: {args.steps}; there are 1 to {len(STEPS)}")
    if args.device == "cuda":
        for step in chosen:
            print(f"{step.file:<28} {milliseconds(step):9.3f} ms   {step.idea}")
        return 0
    problem = emulator.problem()
    if problem:
        sys.exit(problem)
    print(f"{'':<28}" + "".join(f"{name.replace('_', ' '):>15}" for name in COUNTED))
    climbed = []
    for step in chosen:
        start = time.perf_counter()
        error, counters = climb(step)
        seconds = time.perf_counter() - start
        climbed.append((step, counters))
        counts = counters.as_dict()
        print(f"{step.file:<28}" + "".join(f"{counts[name]:>15,}" for name in COUNTED), flush=True)
        print(f"    {step.idea}; error {error:.1e}, {seconds:.1f} s")
        require(step, error, step.bound)
    if args.chart:
        draw(climbed, args.chart)
    return 0


if __name__ == "__main__":
    sys.exit(main())
