"""Each CUDA kernel against the vendor's, PyTorch and the limits of the same card, in one run.

    python -m bench kernels --device cuda [NAME ...] [--save]

The vendor is the reference on CuPy's arrays: cuBLAS for products, CuPy's own kernels elsewhere.
Limits are the rates of cuBLAS on a large product, in float32, float16 and tf32, and the bandwidth
of copying. Rows are in float32, without TF32 in PyTorch either, unless they are named after another
type; the vendor's products stay float32 in those of tf32. Inputs are random and are taken in turns,
more of them than the cache holds; what is timed is a row of launches between two CUDA events, after
the results were compared.
"""

import itertools
import statistics
import sys
from functools import partial

import numpy as np

from bench import limits, report
from bench.arena import check_agreement
from bench.kernel_figures import HEAD, Places, figures_of, refusing, samples_of, text_of
from bench.kernel_rows import ROWS
from bench.kernel_rows.products import attention_rows, conv_rows, matmul_rows
from bench.kernel_rows.row import by_autograd, in_half, in_tf32

LARGE_MATMULS = [(1024, 1024, 1024), (4096, 4096, 4096), (8192, 8192, 8192), (4096, 64, 4096)]
LARGE_CONVS = [((128, 64, 56, 56), 64), ((128, 256, 14, 14), 256), ((64, 512, 7, 7), 512)]
LARGE_HEADS = [(4, 16, 4096, 64), (4, 16, 4096, 128)]  # N, heads, T, d
BATCH_MS = 20.0  # of launches between two events


def rows(bfloat16):
    """{name: Row} of what is measured on a GPU: those of the CPU, and larger products.

    `bfloat16` is the dtype of the GPU's arrays, None if it has none.
    """
    large = [row for sizes in LARGE_MATMULS for row in matmul_rows(*sizes)]
    large += [row for shape, channels in LARGE_CONVS for row in conv_rows(shape, channels)]
    heads = [row for shape in LARGE_HEADS for row in attention_rows(shape)]
    halves = [in_half(row) for row in (*large, *heads)]
    products = [row for sizes in LARGE_MATMULS for row in matmul_rows(*sizes)]
    if bfloat16 is not None:
        halves += [in_half(row, bfloat16) for row in (*products, *heads)]
    rounded = map(in_tf32, products)
    every = {row.name: row for row in (*large, *halves, *rounded, *ROWS.values())}
    for name, row in every.items():  # PyTorch has some operators for a CPU only
        if name.startswith("attention_backward"):
            every[name] = row._replace(torch=_attention_backward)
        elif name.startswith("attention"):
            every[name] = row._replace(torch=_attention)
    return every


def bfloat16_of(device):
    """The dtype of bfloat16 on a device; None, with a message, where arrays cannot have it."""
    from tinygrad_like import backend

    found = backend.get(device).bfloat16
    if found is None:
        print(f"bfloat16 is left out: there are no such arrays on {device!r}")
    return found


def _attention(torch, q, k, v, g):
    attention = torch.nn.functional.scaled_dot_product_attention
    return partial(attention, q, k, v, is_causal=True)


def _attention_backward(torch, q, k, v, g):
    attention = torch.nn.functional.scaled_dot_product_attention
    return by_autograd(torch, lambda *qkv: attention(*qkv, is_causal=True), [q, k, v], g, 3)


class Card:
    """The GPU that is timed, by CuPy."""

    torch_device = "cuda"

    def __init__(self):
        import cupy

        self.xp = cupy
        properties = cupy.cuda.runtime.getDeviceProperties(0)
        self.name = properties["name"].decode()
        self.cache_bytes = properties["l2CacheSize"]

    def asarray(self, array):
        return self.xp.asarray(array)

    def to_host(self, array):
        return self.xp.asnumpy(array)

    def milliseconds(self, step, repeats):
        """The time of `repeats` calls in a row, by the clock of the GPU."""
        start, stop = self.xp.cuda.Event(), self.xp.cuda.Event()
        start.record()
        for _ in range(repeats):
            step()
        stop.record()
        stop.synchronize()
        return self.xp.cuda.get_elapsed_time(start, stop)


def time_of(card, steps, bouts):
    """Milliseconds of one call in each bout, the steps called in turns."""
    turns = itertools.cycle(steps)

    def step():
        return next(turns)()

    once = max(card.milliseconds(step, len(steps)) / len(steps), 1e-3)
    repeats = max(len(steps), round(BATCH_MS / once))
    return [card.milliseconds(step, repeats) / repeats for _ in range(bouts)]


def sets_of(card, held):
    """How many sets of inputs fill the cache twice, if a step holds `held` bytes; at most 16."""
    return max(1, min(16, -(-2 * card.cache_bytes // held)))


def prepared(card, row, libraries):
    """{library: [step, ...]}: one step for each set of inputs, as many as fill the cache twice."""
    moved = row.work.read + row.work.written
    arrays = row.arrays(np.random.default_rng(0))
    held = max(1, sum(a.nbytes for a in arrays), moved)
    drawn = [row.arrays(np.random.default_rng(seed)) for seed in range(sets_of(card, held))]
    steps = {}
    for library, k in libraries.items():
        if library == "torch":
            moved_sets = [[_tensor(k, a).to(card.torch_device) for a in s] for s in drawn]
            steps[library] = [row.torch(k, *s) for s in moved_sets]
        else:
            moved_sets = [[card.asarray(a) for a in s] for s in drawn]
            steps[library] = [row.kernel(k, *s) for s in moved_sets]
    return steps


def _tensor(torch, array):
    """A NumPy array as PyTorch's tensor, which does not know NumPy's bfloat16."""
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def samples(card, library, result):
    """Some elements of what a step computed, to be compared."""
    outputs = result if isinstance(result, tuple | list) else (result,)
    if library == "torch":
        return samples_of(None if y is None else y.cpu().double().numpy() for y in outputs)
    return samples_of(None if y is None else card.to_host(y) for y in outputs)


def measure(card, row, libraries, rates, bouts):
    """The figures of a row; raises ImpossibleFigure for one that beats the card."""
    steps = prepared(card, row, libraries)
    checks = {library: samples(card, library, turns[0]()) for library, turns in steps.items()}
    if not row.same_numbers:
        checks.pop("torch", None)
    check_agreement(row.name, checks, row.tolerance)
    times = {library: time_of(card, turns, bouts) for library, turns in steps.items()}
    for library, ms in times.items():
        seconds = statistics.median(ms) / 1e3
        limits.refuse_the_impossible(f"{row.name} by {library}", seconds, row.work, rates)
    at_limit = row.work.seconds(rates)
    of_limit = {
        library: report.summary([1e3 * at_limit / each for each in ms])
        for library, ms in times.items()
    }
    return figures_of(row, times, rates, of_limit)


def rates_of(card, torch):
    """{kind: flops or bytes a second} of the card, the best of some bouts."""
    xp = card.xp
    a = xp.random.standard_normal((4096, 4096), dtype=np.float32)
    b, c = a.copy(), xp.empty_like(a)
    halves = [xp.random.standard_normal((8192, 8192), dtype=np.float32).astype(np.float16)] * 2
    product = xp.empty_like(halves[0])
    singles = [torch.randn(8192, 8192, device=card.torch_device) for _ in "ab"]
    x = xp.zeros(1 << 28, np.float32)  # 1 GB
    y = xp.empty_like(x)
    work = {
        "gemm": (2 * 4096**3, lambda: xp.matmul(a, b, out=c)),
        "half": (2 * 8192**3, lambda: xp.matmul(*halves, out=product)),
        "tf32": (2 * 8192**3, lambda: torch.mm(*singles)),
        "copy": (2 * x.nbytes, lambda: xp.copyto(y, x)),
        "update": (2 * x.nbytes, lambda: xp.multiply(x, 1, out=x)),
        "read": (x.nbytes, x.sum),
        "fill": (x.nbytes, lambda: y.fill(2)),
    }
    found = {}
    for kind, (amount, step) in work.items():
        torch.backends.cuda.matmul.allow_tf32 = kind == "tf32"
        found[kind] = amount / min(time_of(card, [step], 5)) * 1e3
        print(f"limit: {kind:<6} {found[kind] / 1e9:8.1f} G/s", flush=True)
    return found


def main(args):
    """Measure the rows whose names begin with `args.names`; `args` are of bench/kernels.py."""
    from tinygrad_like import backend

    problem = backend.cuda_problem()
    if problem is not None:
        sys.exit(f"no figures: {problem}")
    import torch
    from tinygrad_like.kernels import cuda, reference
    from tinygrad_like.kernels.cuda import tf32

    import tinygrad_like as tg

    torch.set_grad_enabled(False)
    torch.backends.cudnn.allow_tf32 = False
    card = Card()
    every = rows(bfloat16_of("cuda"))
    chosen = [name for name in every if name.startswith(tuple(args.names) or "")]
    if args.list or not chosen:
        sys.exit("\n".join(every) if args.list else f"no row begins with any of {args.names}")
    print(f"{card.name}, PyTorch {torch.__version__}, CuPy {card.xp.__version__}")
    rates = rates_of(card, torch)
    others = {"numpy": Places(reference, card.xp), "torch": torch}
    ours = {False: Places(cuda, tg), True: Places(tf32, tg)}
    found, refused = [], []
    head = ["vendor ms" if text == "numpy ms" else text for text in HEAD]
    widths = report.print_head(head, [max(map(len, chosen)), 9, 9, 9, 16, 7, 14, 8])
    for name in chosen:
        with refusing(name, refused):
            row = every[name]
            torch.backends.cuda.matmul.allow_tf32 = row.tf32
            libraries = {"ours": ours[row.tf32], **others}
            found.append(measure(card, row, libraries, rates, args.bouts))
            report.print_row(text_of(found[-1]), widths)
    if args.save:
        report.save("kernels_cuda", found, f"CUDA kernels on {card.name}: our time by PyTorch's")
    if refused:
        sys.exit(f"{len(refused)} of {len(chosen)} figures refused: {', '.join(refused)}")
