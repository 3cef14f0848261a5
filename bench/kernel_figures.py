"""What the benchmarks of kernels on a CPU and on a GPU share: names, samples, rows of a table."""

import statistics
from contextlib import contextmanager

from bench import report
from bench.arena import OpponentError

SAMPLES = 500  # about how many elements of an output are compared


class Places:
    """Attributes, each from the first of some places that has it."""

    def __init__(self, *places):
        self._places = places

    def __getattr__(self, name):
        for place in self._places:
            if hasattr(place, name):
                setattr(self, name, getattr(place, name))
                return vars(self)[name]
        raise AttributeError(f"no kernel or op named {name}")


def samples_of(outputs):
    """For each output some of its elements, and the mean of the absolute values of all."""
    import numpy as np

    samples = []
    for y in outputs:
        flat = np.asarray([] if y is None else y, np.float64).ravel()
        mean = np.abs(flat).sum() / max(1, flat.size)
        stride = flat.size // SAMPLES | 1  # odd, to meet all columns
        samples.append([*flat[::stride].tolist(), mean.item()])
    return samples


@contextmanager
def refusing(name, refused):
    """Print and note that a row has no figure, instead of stopping the others."""
    try:
        yield
    except OpponentError as error:
        refused.append(name)
        print(f"REFUSED {error}", flush=True)


def figures_of(row, ms, rates, of_limit):
    """What is shown and saved of a row.

    Args:
        ms: {library: the milliseconds of each bout}.
        rates: {kind of limit: work per second}.
        of_limit: {library: the summary of the share of the limit, or None}.
    """
    medians = {library: statistics.median(each) for library, each in ms.items()}
    amount = row.work.flops or row.work.read + row.work.written
    return {
        "name": row.name,
        "ms": {library: report.summary(each) for library, each in ms.items()},
        "ratio": report.ratios(ms["ours"], ms["torch"]),
        "ratio_numpy": medians["ours"] / medians["numpy"],
        "rate": amount / medians["ours"] / 1e6,
        "unit": "GFLOP/s" if row.work.flops else "GB/s",
        "limits": {kind: rate / 1e9 for kind, rate in rates.items()},
        "of_limit": of_limit,
    }


HEAD = ["kernel", "ours ms", "torch ms", "numpy ms", "ours/torch", "/numpy", "rate", "% of limit"]


def text_of(row):
    """The row as the columns of the table."""
    figures = [f"{row['ms'][library]['median']:.3f}" for library in ("ours", "torch", "numpy")]
    share = row["of_limit"]["ours"]
    percent = share and report.spread({key: 100 * value for key, value in share.items()}, 0)
    rate = f"{row['rate']:.1f} {row['unit']}"
    ratio = report.spread(row["ratio"])
    return [
        row["name"],
        *figures,
        ratio,
        f"{row['ratio_numpy']:.2f}",
        rate,
        percent or "cache",
    ]
