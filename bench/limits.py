"""What nothing here can beat: rates of the machine, measured in the same run.

    gemm    flops of a float32 product of 2048 x 2048 matrices
    copy    bytes read and written, half and half, while an array larger than any cache is copied
    update  the same while it is scaled in place: faster, since no other memory is claimed
    read    bytes read while such an array is summed up
    fill    bytes written while it is filled

Each is NumPy's or PyTorch's, whichever is faster. A figure that beats them is a mistake in the
benchmark (work that was not done, counted twice, or found in a cache), so it is refused.
"""

import statistics
from typing import NamedTuple

from bench.arena import OpponentError, opponents, race

GEMM_SIZE = 2048
STREAM_ELEMENTS = 1 << 25  # 128 MB of float32
WORK = {"gemm": 2 * GEMM_SIZE**3} | {
    kind: times * 4 * STREAM_ELEMENTS
    for kind, times in (("copy", 2), ("update", 2), ("read", 1), ("fill", 1))
}
LIBRARIES = "numpy", "torch"

# A limit is the rate of the fastest bout of the whole run, a figure the median of its bouts: noise
# does not lift it over the limit. But products of other shapes get some percent more out of the
# processor than the large one (5 % were seen), and its clock is not quite steady.
SLACK = 1.1


class ImpossibleFigure(OpponentError):
    """A figure faster than the machine: what was measured is not what the figure says."""


class Work(NamedTuple):
    """What a computation has to do at least: flops in matrix products, or bytes moved.

    `fewest_flops`, if given, is what remains of the flops by an algorithm that takes fewer
    products (Winograd's); only beyond it is a figure impossible. `in_place`: what is written lies
    where it was read. `product` is the limit of products: on a GPU also "half" and "tf32"
    (cuda_kernels.py).
    """

    flops: int = 0
    read: int = 0
    written: int = 0
    fewest_flops: int | None = None
    in_place: bool = False
    product: str = "gemm"

    def kinds(self):
        """The limits that this work needs."""
        if self.flops:
            return (self.product,)
        rest = {"read": self.read > self.written, "fill": self.written > self.read}
        return (self._both(), *(kind for kind, needed in rest.items() if needed))

    def _both(self):
        """The limit of what is both read and written."""
        return "update" if self.in_place else "copy"

    def seconds(self, rates):
        """The time at the limit: what is both read and written is copied, the rest read or filled.

        `rates` are {kind: work per second}.
        """
        if self.flops:
            return self.flops / rates[self.product]
        both = min(self.read, self.written)
        rest = abs(self.read - self.written)
        least = 2 * both / rates[self._both()]
        if rest:
            least += rest / rates["read" if self.read > self.written else "fill"]
        return least

    def shortest(self, rates, cache=0):
        """The time below which a figure is impossible.

        `cache` bytes of what is moved may still be in a cache since the last step.
        """
        least = self.seconds(rates)
        if self.fewest_flops is not None:
            least *= self.fewest_flops / self.flops
        if not self.flops:
            least *= max(0, 1 - cache / (self.read + self.written))
        return least / SLACK


def refuse_the_impossible(what, seconds, work, rates, cache=0):
    """Raise ImpossibleFigure if the machine needs more than `seconds` for this work."""
    shortest = work.shortest(rates, cache)
    if seconds < shortest:
        listed = ", ".join(f"{kind} {rate / 1e9:.1f} G/s" for kind, rate in rates.items())
        raise ImpossibleFigure(
            f"{what} took {seconds * 1e3:.4g} ms, and the limit allows no less than "
            f"{shortest * 1e3:.4g} ms (measured in this run: {listed})"
        )


class Limits:
    """Opponents that run into the limits, to race beside others; `best` are the rates reached."""

    def __init__(self, stack, kinds):
        self.best = {}
        self._opponents = {}
        for kind in kinds:
            entrants = stack.enter_context(opponents("bench.limits", LIBRARIES))
            for entrant in entrants.values():
                entrant.prepare(kind)
            self._opponents[kind] = entrants
            self._keep_the_fast(kind, race(entrants, 4))
            print(f"limit: {kind:<5} {self.best[kind] / 1e9:6.1f} G/s", flush=True)

    def _keep_the_fast(self, kind, times):
        """Close the libraries that are far from the best."""
        rates = {library: WORK[kind] / min(seconds) for library, seconds in times.items()}
        self.best[kind] = max(rates.values())
        for library, rate in rates.items():
            if rate < 0.8 * self.best[kind]:
                self._opponents[kind].pop(library).close()

    def entrants(self, kinds):
        """{"kind library": Opponent}, to join a race."""
        return {
            f"{kind} {library}": opponent
            for kind in kinds
            for library, opponent in self._opponents[kind].items()
        }

    def seconds(self, work, times):
        """What some work takes at the limit, by the faster library, in each bout of a race."""
        entrants = [name for name in times if name.split()[0] in work.kinds()]
        return [
            work.seconds(self.rates({name: times[name][k : k + 1] for name in entrants}))
            for k in range(len(times[entrants[0]]))
        ]

    def rates(self, times):
        """{kind: median rate} of the faster library in a race; `best` takes note of the best."""
        typical = {}
        for name, seconds in times.items():
            kind = name.split()[0]
            if kind in WORK:
                self.best[kind] = max(self.best[kind], WORK[kind] / min(seconds))
                rate = WORK[kind] / statistics.median(seconds)
                typical[kind] = max(typical.get(kind, 0), rate)
        return typical


def prepare(name, workload):
    """(step, nothing to check) of a limit in NumPy or PyTorch."""
    build = {"numpy": _numpy_step, "torch": _torch_step}[name]
    return build(workload), []


def _numpy_step(kind):
    import numpy as np

    if kind == "gemm":
        a = np.random.default_rng(0).random((GEMM_SIZE, GEMM_SIZE), np.float32)
        c = np.empty_like(a)
        return lambda: np.matmul(a, a, out=c)
    x, y = np.ones(STREAM_ELEMENTS, np.float32), np.ones(STREAM_ELEMENTS, np.float32)
    return {
        "copy": lambda: np.copyto(y, x),
        "update": lambda: np.multiply(x, 1, out=x),
        "read": lambda: np.dot(x, x),
        "fill": lambda: y.fill(2),
    }[kind]


def _torch_step(kind):
    import torch

    if kind == "gemm":
        a = torch.rand(GEMM_SIZE, GEMM_SIZE)
        c = torch.empty_like(a)
        return lambda: torch.mm(a, a, out=c)
    x, y = torch.ones(STREAM_ELEMENTS), torch.ones(STREAM_ELEMENTS)
    return {
        "copy": lambda: y.copy_(x),
        "update": lambda: x.mul_(1),
        "read": x.sum,
        "fill": y.zero_,
    }[kind]
