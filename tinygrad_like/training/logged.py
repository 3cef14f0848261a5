"""Logged: what a run logs beside its history, to TensorBoard and to callbacks.

The history, in the checkpoint and in history.jsonl, is of numbers alone. Histograms, pictures and
texts go to event files, which are written where tensorboard or tensorboardX is installed.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np

from tinygrad_like.engine import Tensor
from tinygrad_like.engine.errors import describe
from tinygrad_like.training import tensorboard
from tinygrad_like.training.folder import Folder
from tinygrad_like.training.progress import say

EVENTS = "tensorboard"


class Logged:
    """The base class of Run: its event files, and the callbacks of its metrics."""

    step: int
    settings: dict[str, Any]
    _begun: bool
    _running: bool
    _files: Folder
    _events: Any = None  # the tensorboard.Events that are open
    _callbacks: tuple[partial, ...] = ()
    _said = False  # that there are no event files

    def log_histogram(self, **values: Any) -> None:
        """Note how the elements of Tensors or arrays are distributed at this step, for TensorBoard.

        A name with other characters goes in a dict: `run.log_histogram(**{"layer.0/weight": w})`.
        NaN and infinite values are left out. Raises TypeError for what holds no real numbers,
        RuntimeError before the loop.
        """
        arrays = {name: _array("log_histogram", name, x) for name, x in values.items()}
        self._log(arrays, lambda events, name, x: events.add_histogram(name, x, self.step))

    def log_picture(self, **pictures: Any) -> None:
        """Note pictures at this step, for TensorBoard.

        A picture is (H, W) or (C, H, W), as layers take it, grey (C = 1) or of red, green and blue
        (C = 3): numbers from 0 to 1, or uint8 from 0 to 255. Raises ValueError for another shape or
        other values, TypeError for what holds no real numbers, RuntimeError before the loop.
        """
        found = {name: _pixels(name, x) for name, x in pictures.items()}
        self._log(found, lambda events, name, x: events.add_picture(name, x, self.step))

    def log_text(self, **texts: str) -> None:
        """Note texts at this step, for TensorBoard, which reads them as Markdown.

        Raises TypeError for anything but strings, RuntimeError before the loop.
        """
        for name, text in texts.items():
            if not isinstance(text, str):
                raise TypeError(f"[log_text] {name} is {describe(text)}, expected a string")
        self._log(texts, lambda events, name, text: events.add_text(name, text, self.step))

    def on_log(self, callback: Callable[[dict[str, float], int], Any]) -> Callable[[], None]:
        """Call `callback(metrics, step)` with what each `log` notes; returns a remover.

        So other trackers get the curves of a run. What it raises ends the training. With MLflow:

            import mlflow

            mlflow.start_run()
            mlflow.log_params(run.settings)
            run.on_log(lambda metrics, step: mlflow.log_metrics(metrics, step=step))

        With Weights & Biases:

            import wandb

            wandb.init(project="digits", config=run.settings)
            run.on_log(lambda metrics, step: wandb.log(metrics, step=step))
        """
        if not callable(callback):
            raise TypeError(f"[on_log] callback is {describe(callback)}, expected a function")
        entry = partial(callback)  # of this call alone: a function may be given twice
        self._callbacks = (*self._callbacks, entry)

        def remove() -> None:
            self._callbacks = tuple(each for each in self._callbacks if each is not entry)

        return remove

    def _tell(self, numbers: dict[str, float]) -> None:
        for callback in self._callbacks:
            callback(dict(numbers), self.step)

    def _repr_html_(self) -> str:
        """The HTML that a notebook shows: the curves."""
        from tinygrad_like.pictures import notebook

        return notebook.of_run(self)

    # Event files

    def _log(self, values: dict[str, Any], add: Callable[[Any, str, Any], None]) -> None:
        if not self._begun:
            raise RuntimeError("[log] the loop has not begun: log inside it, or after it")
        if not tensorboard.is_installed():
            if not self._said:
                say("no event files: pip install 'tinygrad-like[tensorboard]' brings them")
            self._said = True
            return
        opened = self._events is None and not self._running
        if opened:  # after the loop; within it, what closed the file was reported
            self._files.write(EVENTS, self._open_events)
        if self._events is not None:
            self._files.write(EVENTS, lambda _: self._add_events(values, add))
        if opened:
            self._close_events()

    def _log_numbers(self, numbers: dict[str, float]) -> None:
        if self._events is not None:
            add = lambda events, name, x: events.add_scalar(name, x, self.step)  # noqa: E731
            self._files.write(EVENTS, lambda _: self._add_events(numbers, add))

    def _open_events(self, path: Any) -> None:
        self._events = tensorboard.Events(path, self.step + 1)
        if self.settings:
            self._add_events({"": self.settings}, lambda events, _, x: events.add_settings(x))

    def _add_events(self, values: dict[str, Any], add: Callable[[Any, str, Any], None]) -> None:
        try:
            for name, value in values.items():
                add(self._events, name, value)
        except OSError:
            self._close_events()
            raise

    def _close_events(self) -> None:
        events, self._events = self._events, None
        if events is not None:
            with suppress(OSError):  # what could not be written was reported when it was tried
                events.close()


def _array(function: str, name: str, x: Any) -> np.ndarray:
    """A Tensor or array of real numbers as a NumPy array."""
    if isinstance(x, Tensor):
        x = x.detach().numpy()
    try:
        array = np.asarray(x)
    except ValueError as error:  # lists of several lengths
        raise TypeError(f"[{function}] {name} is no array: {error}") from None
    if array.dtype.kind not in "fiub":
        raise TypeError(
            f"[{function}] {name} is {describe(x)} of {array.dtype}, expected real numbers"
        )
    return array


def _pixels(name: str, x: Any) -> np.ndarray:
    """A picture as bytes (H, W), or (H, W, 3)."""
    array = _array("log_picture", name, x)
    if array.ndim == 3 and array.shape[0] == 1:
        array = array[0]
    colours = array.ndim == 3 and array.shape[0] == 3
    if not (array.ndim == 2 or colours) or not array.size:
        raise ValueError(
            f"[log_picture] {name} is {array.shape}, expected (H, W), (1, H, W) or (3, H, W): "
            "np.moveaxis(x, -1, 0) brings colours to the front, x[0] is the first of a batch"
        )
    if array.dtype != np.uint8:
        if not (array.min() >= 0 and array.max() <= 1):
            raise ValueError(
                f"[log_picture] {name} has values from {array.min()} to {array.max()}, expected 0 "
                "to 1, or uint8: scale it first"
            )
        array = np.rint(255 * array.astype(np.float64)).astype(np.uint8)
    return np.moveaxis(array, 0, -1) if colours else array
