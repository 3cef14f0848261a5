"""Each kernel against NumPy, PyTorch and the limit of the machine.

NumPy is `kernels.reference`. The limit is the rate of a large matrix product, or the bandwidth of
copying (or, for what is only read or only written, of reading or filling). The faster of NumPy and
PyTorch gives it, in the same race; shares of it, like ratios, are of bouts that lie side by side.
It does not hold for what may lie in a cache: "cache" in the table.
Convolutions count the products of the direct algorithm, of which Winograd's needs fewer.
"""

import argparse
import statistics
import sys
from contextlib import ExitStack
from pathlib import Path

from bench import limits, report
from bench.arena import check_agreement, opponents, race
from bench.kernel_figures import HEAD, Places, figures_of, refusing, samples_of, text_of
from bench.kernel_rows import ROWS

NAMES = "numpy", "ours", "torch"


def prepare(name, workload):
    """(step, samples of what it computed) of a row in one library.

    The arrays lie where the library lays its own results: where they begin in a page counts.
    """
    import numpy as np

    row = ROWS[workload]
    arrays = row.arrays(np.random.default_rng(0))
    if name == "torch":
        import torch

        torch.set_grad_enabled(False)
        step = row.torch(torch, *(torch.from_numpy(array).clone() for array in arrays))
        return step, samples_of(_as_outputs(step())) if row.same_numbers else []
    if name == "numpy":
        from tinygrad_like.kernels import reference

        k = Places(reference, np)
    else:
        import tinygrad_like as tg
        from tinygrad_like.backend import CPU

        k = Places(CPU.k, tg)
        arrays = [_as_a_result(array) for array in arrays]
    step = row.kernel(k, *arrays)
    return step, samples_of(_as_outputs(step()))


def _as_a_result(array):
    """A copy in memory of the kind that our results get."""
    from tinygrad_like.kernels.cpu.machine import memory

    result = memory.empty(array.shape, array.dtype)
    result[...] = array
    return result


def _as_outputs(result):
    return result if isinstance(result, tuple | list) else (result,)


def last_level_cache():
    """Bytes of the largest cache; 32 MB where the system does not say."""
    sizes = [
        int(path.read_text().strip().rstrip("K")) << 10
        for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")
    ]
    return max(sizes, default=1 << 25)


def kinds_of(row):
    """The limits of a row: none where part of what it moves may be in a cache already."""
    moved = row.work.read + row.work.written
    return row.work.kinds() if row.work.flops or moved >= 2 * last_level_cache() else ()


def measure(row, libraries, machine, bouts):
    """The figures of a row; raises ImpossibleFigure for one that beats the machine."""
    checks = {library: entrant.prepare(row.name) for library, entrant in libraries.items()}
    check_agreement(row.name, checks, row.tolerance)
    kinds = kinds_of(row)
    times = race(libraries | machine.entrants(kinds), bouts, seldom=("numpy",))
    rates = machine.rates(times)
    if kinds:
        cache = last_level_cache()
        for library in NAMES:
            what, seconds = f"{row.name} by {library}", statistics.median(times[library])
            limits.refuse_the_impossible(what, seconds, row.work, machine.best, cache)
    at_limit = machine.seconds(row.work, times) if kinds else []
    of_limit = {
        library: report.ratios(at_limit, times[library]) if kinds else None
        for library in ("ours", "torch")
    }
    ms = {library: [1e3 * seconds for seconds in times[library]] for library in NAMES}
    return figures_of(row, ms, rates, of_limit)


def main():
    parser = argparse.ArgumentParser(prog="python -m bench kernels", description=__doc__)
    parser.add_argument("names", nargs="*", help="rows that begin so (all); --list lists them")
    parser.add_argument("--list", action="store_true", help="list the rows")
    parser.add_argument("--bouts", type=int, default=5, help="bouts of each library")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--save", action="store_true", help="write JSON and PNG to bench/results/")
    args = parser.parse_args()
    if args.device == "cuda":
        from bench import cuda_kernels

        return cuda_kernels.main(args)
    chosen = [name for name in ROWS if name.startswith(tuple(args.names) or "")]
    if args.list or not chosen:
        sys.exit("\n".join(ROWS) if args.list else f"no row begins with any of {args.names}")
    rows, refused = [], []
    with ExitStack() as stack:
        kinds = {kind for name in chosen for kind in kinds_of(ROWS[name])}
        machine = limits.Limits(stack, sorted(kinds))
        libraries = stack.enter_context(opponents("bench.kernels", NAMES))
        widths = report.print_head(HEAD, [max(map(len, chosen)), 9, 9, 9, 16, 7, 14, 12])
        for name in chosen:
            with refusing(name, refused):
                rows.append(measure(ROWS[name], libraries, machine, args.bouts))
                report.print_row(text_of(rows[-1]), widths)
    if args.save:
        report.save("kernels", rows, "Kernels: our time by PyTorch's")
    if refused:
        sys.exit(f"{len(refused)} of {len(chosen)} figures refused: {', '.join(refused)}")


if __name__ == "__main__":
    main()
