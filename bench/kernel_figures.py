"""What the benchmarks of kernels on a CPU and on a GPU share: names, samples, rows of a table."""

from contextlib import contextmanager

from bench import report
from bench.arena import OpponentError

SAMPLES = 500  # numbers of an output that are compared, and their mean


class Places:
    """Names found in the first of some places that has them."""

    def __init__(self, *places):
        self._places = places

    def __getattr__(self, name):
        for place in self._places:
            if hasattr(place, name):
                setattr(self, name, getattr(place, name))
                return vars(self)[name]
        raise AttributeError(f"no kernel or op named {name}")


def samples_of(outputs):
    """For each output some of its numbers, and their mean."""
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
    """Say and note that a row has no figure, instead of stopping the others."""
    try:
        yield
    except OpponentError as error:
        refused.append(name)
        print(f"REFUSED {error}", flush=True)


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
