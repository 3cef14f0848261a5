"""What a run shows while it trains: a bar where there is a terminal, and a line for each report."""

import sys
import time
import warnings
from typing import Any


def _bar_class() -> Any:
    """tqdm, or in a notebook its widget, which falls back to text where there are no widgets."""
    if "ipykernel" not in sys.modules:
        from tqdm import tqdm

        return tqdm, None  # None: only in a terminal
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tqdm.auto import tqdm
    return tqdm, False


class Progress:
    """The bar of one loop, and how many samples a second it trains on."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._samples, self._start, self._logged = 0, 0.0, 0.0

    def open(self, title: str, total: int, done: int, unit: str) -> None:
        """Begin a bar of `total` units, `done` of which were done before."""
        self.close()
        bar, disable = _bar_class()
        self._bar = bar(
            *(None, title), total=total, initial=done, unit=unit, disable=disable, leave=False
        )
        self._samples, self._start = 0, time.perf_counter()
        self._logged = self._start

    def note(self, samples: int) -> None:
        """The first values of a step were logged: what follows in it (a test) is not timed."""
        self._samples += samples
        self._logged = time.perf_counter()

    def rate(self, what: str) -> str:
        seconds = self._logged - self._start
        return f"{self._samples / seconds:,.0f} {what}/s" if seconds > 0 else ""

    def show(self, text: str) -> None:
        """Put a text behind the bar, and move it on by one."""
        self._bar.set_postfix_str(text, refresh=False)
        self._bar.update()

    def close(self) -> None:
        bar, self._bar = self._bar, None
        if bar is not None:
            bar.close()


def say(text: str, *, error: bool = False) -> None:
    """Print a line above the bars that there are."""
    from tqdm import tqdm

    file = sys.stderr if error else sys.stdout
    tqdm.write(text, file=file)
    file.flush()


def figure_of(name: str, value: float) -> str:
    """A value as one reads it: `loss 0.1234`, `accuracy 97.20%`."""
    share = any(word in name for word in ("accuracy", "precision", "recall", "matches"))
    shown = f"{value:.2%}" if share and 0 <= value <= 1 else f"{value:.4g}"
    return f"{name.replace('_', ' ')} {shown}"
