"""Run: a training loop that can be watched, stopped and resumed, and hides nothing of the update.

run = tg.Run("runs/mnist", settings=vars(args), model=model, optimizer=optimizer, loader=loader)
for images, labels in run.epochs(loader, 3):
    loss = tg.losses.cross_entropy(model(images), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    run.log(loss=loss)
    if run.epoch_ended:
        run.log(accuracy=accuracy(model, test))
run.plot("report.png")
"""

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_like import io
from tinygrad_like.engine import check_flag, check_integer, check_number
from tinygrad_like.engine.errors import describe
from tinygrad_like.generator import get_rng_state, set_rng_state
from tinygrad_like.io import Checkpoint
from tinygrad_like.training import names, plot, tensorboard
from tinygrad_like.training.folder import Folder
from tinygrad_like.training.history import Best, History, number
from tinygrad_like.training.interrupt import Interrupt, Interrupted
from tinygrad_like.training.jsonlines import JsonLines
from tinygrad_like.training.logged import EVENTS, Logged
from tinygrad_like.training.place import Place, is_loader, samples
from tinygrad_like.training.progress import Progress, figure_of, say

CHECKPOINT, LINES = "checkpoint.safetensors", "history.jsonl"


class Run(Logged):
    """A training run: its folder, its history, and the loop that it trains in.

    Args:
        folder: for all that the run writes: checkpoint.safetensors, history.jsonl, and event
            files in `tensorboard` where tensorboardX or tensorboard is installed.
        settings: what the run was started with, see `tg.io.Checkpoint`. Only a run with equal
            settings goes on, but for those that are named in `may_differ`.
        resume: False for a new run; files of an older run in the folder are then set aside, as
            checkpoint-1.safetensors, before the first file is written. True to go on from the
            checkpoint in the folder.
        save_every: seconds between two checkpoints; what a killed run may lose. One is also
            written at the end of each epoch and of the loop, and when Ctrl-C ends it.
        monitor: the metric that decides which step is the best: "accuracy". Without it, it is
            the first one, other than `loss`, whose name says its direction; else `loss`.
        mode: "min" or "max"; by default what the name of `monitor` says. Without `monitor`, only
            metrics whose names say this direction decide.
        patience: how many values of `monitor` in a row may be no better than the best one, before
            the loop ends; None for any number.
        keep: what else a program wants to read from the checkpoint, such as a vocabulary: a dict.
        parts: by name, all that the next step depends on: model, optimizer, loader, schedule,
            scaler, average, or anything else with `state_dict` and `load_state_dict`.

    Attributes:
        step: the number of the current step, from 1; 0 before the first.
        epoch: how many epochs have ended.
        epoch_ended: whether this step is the last one of its epoch.
        history: `{metric: Series}`, each with `steps` and `values`.
        settings: a dict of those given, which TensorBoard shows as hyper-parameters.

    A run that was killed at any moment, and is resumed, makes the steps that it would have made,
    and its checkpoint in the end has the same bytes. The model's modes are left alone: a loop that
    evaluates calls `model.eval()`, and `model.train()` afterwards.

    Ctrl-C lets the step end, saves, says where, and raises `Interrupted`, a SystemExit with code
    130. A second one leaves at once, with the checkpoint as it was. In another thread than the
    main one Ctrl-C is not heeded. Whatever way the loop is left, the handler and the bar go.

    Raises:
        FileNotFoundError: to resume without a checkpoint.
        FileError: for one that is damaged, or of something else.
        ValueError: for one of a run with other settings, naming those; for a part or an option
            that does not fit. Nothing was changed then.
    """

    def __init__(
        self,
        folder: Any,
        *,
        settings: dict[str, Any] | None = None,
        resume: bool = False,
        may_differ: Iterable[str] = ("resume",),
        save_every: float = 30.0,
        monitor: str | None = None,
        mode: str | None = None,
        patience: int | None = None,
        keep: dict[str, Any] | None = None,
        **parts: Any,
    ):
        self.save_every = check_number("Run", "save_every", save_every, 0)
        self.mode = names.check_options(monitor, mode, patience)
        self.monitor, self.patience = monitor, patience
        self._keep = names.check_keep(keep, parts)
        compared = names.check_settings(settings, may_differ)
        self.history = History()
        self.step = self.epoch = self._reported = 0
        self.epoch_ended = False
        self._interrupt, self._progress = Interrupt(), Progress()
        self._running = self._begun = self._claimed = self._warned = False
        self._random: dict[str, int] | None = None  # where a resumed run's numbers go on
        self.folder = Path(folder)
        self.checkpoint = Checkpoint(self.folder / CHECKPOINT, compared, **parts)
        self._lines = JsonLines(self.folder / LINES)
        self.settings = dict(settings or {})
        self._resumed = check_flag("Run", "resume", resume)
        if resume:
            self._restore()
        self._places = [Place(part) for part in parts.values() if is_loader(part)]
        self._files = Folder(self.folder)

    def _restore(self) -> None:
        """Go on from the checkpoint."""
        path = self.checkpoint.path
        if not os.path.exists(path):
            raise FileNotFoundError(
                errno.ENOENT,
                "No such file or directory: no run can be resumed; leave resume out to begin one",
                str(path),
            )
        progress = self.checkpoint.load(partial(names.check_progress, path))
        self.history.restore(progress["history"])
        self.step, self.epoch = progress["step"], progress["epoch"]
        self._reported = progress["reported"]
        self._random = get_rng_state()

    # The loops

    def epochs(self, loader: Any, count: int) -> Iterator[Any]:
        """The batches of all epochs up to the one with the number `count`.

        A resumed run begins where the checkpoint was made, within an epoch too, and so does one
        whose loop was left and begins again, with the batch after the last one. `loader` is one of
        the parts, a `tg.data.DataLoader` or what has its `__len__` and `state_dict`. The checkpoint
        is written between two steps, when the next batch is asked for. A walk through the same
        loader within the loop, say for the training accuracy, does not change what comes next.
        """
        check_integer("epochs", "count", count, 0)
        if not any(part is loader for part in self.checkpoint.parts.values()):
            raise ValueError(
                "[epochs] the loader is no part of the run, so the run could not go on within an "
                "epoch: give it to Run(..., loader=loader)"
            )
        if not is_loader(loader):
            raise TypeError(
                f"[epochs] loader is {describe(loader)}, expected a DataLoader, or what has its "
                "__len__ and state_dict; or count steps by run.steps(n)"
            )
        self.history.counts_epochs = True
        return self._loop(self._epochs(loader, count))

    def steps(self, count: int) -> Iterator[int]:
        """The numbers of all steps up to `count`, from 1, or from where the checkpoint was made."""
        check_integer("steps", "count", count, 0)
        return self._loop(self._steps(count))

    def _loop(self, steps: Iterator[Any]) -> Iterator[Any]:
        """What stands around both loops."""
        if self._running:
            raise RuntimeError("[Run] a loop of this run is under way: leave it first")
        try:
            self._running = True
            self._interrupt.start()
            self._begin()
            yield from steps
            self._check_monitor()
        except GeneratorExit:  # by `break`, `return` or an error in the body of a step
            self._end()
            self._interrupt.hand_on()
            raise
        finally:
            self._end()
        if self._interrupt.requested:
            self._leave()

    def _end(self) -> None:
        """After a loop; a second call does nothing."""
        self._running = False
        self.epoch_ended = False
        self._progress.close()
        self._lines.close()
        self._close_events()
        self._interrupt.stop()

    def _claim(self) -> None:
        """Before the first file of a new run is written: set the files of an older one aside."""
        if not self._claimed and not self._resumed:
            self._files.set_aside((CHECKPOINT, LINES, EVENTS))
        self._claimed = True

    def _begin(self) -> None:
        """Before the first step of a loop: the files, and the random numbers."""
        self._claim()
        if not self._begun and self._random is not None:
            set_rng_state(self._random)  # the program may have drawn some since
        self._begun = True
        self._open_lines()
        if tensorboard.is_installed():
            self._files.write(EVENTS, self._open_events)

    def _epochs(self, loader: Any, count: int) -> Iterator[Any]:
        if self.epoch >= count:
            say(f"{self.epoch} of {count} epochs are done")
        place = self._place_in(loader)
        while self.epoch < count and not self._stops_early():
            total, title = len(loader), f"epoch {self.epoch + 1}/{count}"
            self._progress.open(title, total, place.done % total, "batch")
            for batch in place.batches():
                self._new_step(place.done == total, samples(batch))
                yield batch
                self._end_step()
                if not self.epoch_ended:
                    self._report_new("samples")
                    if self._interrupt.requested:
                        self._save_and_leave()
                    if self._stops_early():
                        self.save()
                        return
                    self._save_by_age()
            self.epoch += 1
            self.history.ends.append(self.step)
            text = self._report(title, "samples")
            self._check_monitor()
            self.save()
            leaving = self._interrupt.requested  # Ctrl-C after the line ends the next step
            say(text)
            if leaving:
                self._leave()

    def _place_in(self, loader: Any) -> Place:
        place = next((place for place in self._places if place.loader is loader), None)
        if place is None:
            place = Place(loader)
            self._places.append(place)
        return place

    def _steps(self, count: int) -> Iterator[int]:
        self._places = []  # this loop does not say how the program walks through its loaders
        if self.step >= count:
            say(f"{self.step} of {count} steps are done")
        self._progress.open("", count, self.step, "step")
        while self.step < count and not self._stops_early():
            self._new_step(False, 1)
            yield self.step
            self._end_step()
            self._report_new("steps")
            if self._interrupt.requested:
                self._save_and_leave()
            if self.step == count or self._stops_early():
                self.save()
                return
            self._save_by_age()

    def _new_step(self, epoch_ended: bool, samples: int) -> None:
        self.step += 1
        self.epoch_ended = epoch_ended
        self._samples = samples

    def _end_step(self) -> None:
        values = self.history.at(self.step)
        if values:
            self._append(self.history.row(self.step, values))
        shown = ", ".join(figure_of(name, value) for name, value in values.items())
        self._progress.show(shown)

    # Values

    def log(self, **metrics: Any) -> None:
        """Note the values of metrics at this step: numbers, or Tensors with a single element.

        A second value of a step replaces the first. Raises TypeError for anything but a number,
        RuntimeError before the loop, ValueError for the names "step" and "epoch", and
        FloatingPointError for a metric whose name ends with "loss", or has it as a word, and that
        is infinite or NaN: the parameters may be spoilt then, and the checkpoint stays as it was.

        What is logged after the loop belongs to its last step, and is in the checkpoint, too.
        """
        names.check_metrics(metrics)
        if not self._begun:
            raise RuntimeError("[log] the loop has not begun: log inside it, or after it")
        numbers = {name: number(name, value) for name, value in metrics.items()}
        names.check_losses(self.step, numbers)
        first = not self.history.at(self.step)
        for name, value in numbers.items():
            self.history.add(name, self.step, value)
        self._log_numbers(numbers)
        if not self._running:
            self._open_lines()
            self._lines.close()
            if os.path.exists(self.checkpoint.path):
                self._files.write(CHECKPOINT, self._save_history)
        elif first:
            self._progress.note(self._samples)
        self._tell(numbers)

    @property
    def best(self) -> Best | None:
        """(metric, value, step) of the best value of the metric that decides; None before it.

        `run.best.step == run.step` says that this step is the best one so far.
        """
        return self.history.best(self.monitor, self.mode)

    def _check_monitor(self) -> None:
        """Say once if `monitor` is not the name of a metric: no step is the best one then."""
        if self.monitor is None or self.monitor in self.history or self._warned:
            return
        self._warned = True
        logged = ", ".join(map(repr, self.history)) or "nothing"
        say(f"monitor is {self.monitor!r}, not logged so far; logged: {logged}", error=True)

    def _stops_early(self) -> bool:
        """Whether `monitor` has been no better than its best for `patience` values."""
        best = self.best if self.patience is not None else None
        if best is None or self.patience is None:
            return False
        waited = len(self.history[best.metric].since(best.step))
        if waited < self.patience:
            return False
        shown = figure_of(best.metric, best.value)
        say(f"stopped early: {shown}, of step {best.step}, was not beaten in {waited} values")
        return True

    def _report(self, title: str, what: str) -> str:
        """A line on what was logged since the last one: means, and how fast it went."""
        recent = {name: series.since(self._reported) for name, series in self.history.items()}
        shown = [figure_of(name, float(np.mean(v))) for name, v in recent.items() if v]
        self._reported = self.step
        return f"{title}: {', '.join([*shown, self._progress.rate(what)])}".rstrip(", ")

    def _report_new(self, what: str) -> None:
        """Print a line if the step has logged a metric that the step before has not."""
        logged = [self.history[name].steps for name in self.history.at(self.step)]
        if self.step > 1 and any(self.step - 1 not in steps[-2:-1] for steps in logged):
            say(self._report(f"step {self.step}", what))

    # Files

    def save(self) -> bool:
        """Write the checkpoint now; returns whether that was possible, and says so if not.

        Within a step, call it when the step's update and its `log` are made.
        """
        self._claim()
        for place in self._places:
            place.restore()
        saved = self._files.write(CHECKPOINT, self._save)
        if self._running and not self._lines.is_open:
            self._open_lines()
        return saved

    def _save(self, path: Any) -> None:
        progress = {"step": self.step, "epoch": self.epoch, "reported": self._reported}
        self.checkpoint.save(**progress, **self._values(), **self._keep)

    def _values(self) -> dict[str, Any]:
        best = self.best
        return {"history": self.history.state(), "best": None if best is None else list(best)}

    def _save_history(self, path: Any) -> None:
        """Put values that were logged after the loop into the checkpoint of its last step.

        The rest stays as it was saved then: the program may have drawn random numbers since.
        """
        state = io.load(path)
        if state["step"] == self.step:
            io.save(path, state | self._values())

    def _save_by_age(self) -> None:
        if self.checkpoint.age >= self.save_every:
            self.save()

    def _save_and_leave(self) -> None:
        self.save()
        self._leave()

    def _leave(self) -> None:
        path = self.checkpoint.path
        saved = "" if path in self._files.failed else f"; to go on, resume from {path}"
        say(f"stopped at step {self.step}{saved}")
        raise Interrupted

    def _open_lines(self) -> None:
        self._files.write(LINES, lambda _: self._lines.open(self.history.rows()))

    def _append(self, row: dict[str, float]) -> None:
        if self._lines.is_open:
            self._files.write(LINES, lambda _: self._lines.append(row))

    def write(self, path: Any, write: Callable[[Any], Any]) -> bool:
        """Call `write(path)`, which makes a file; a full disk is reported, and no error.

        `path` is relative to the folder of the run. Returns whether the file could be written.

        >>> run.write("model.safetensors", lambda path: tg.io.save(path, model.state_dict()))
        ... # doctest: +SKIP
        """
        self._claim()
        return self._files.write(path, write)

    def plot(self, path: Any, *panels: Callable[[Any], Any], **options: Any) -> bool:
        """Draw the metrics, with `panels` beside them, as a picture; see `training.plot.draw`.

        `path` is relative to the folder of the run. Returns whether it could be written; without
        matplotlib it says so, and nothing is drawn.
        """
        return self.write(path, lambda path: plot.draw(self, path, panels, **options))

    def print(self, text: str) -> None:
        """Print a line; above the bar, where there is one."""
        say(text)

    def finish(self, text: str) -> int:
        """Print a last line on the result and the files; returns the program's exit code.

        That is 0, or 1 if a file could not be written, the newest checkpoint for one.
        """
        self._check_monitor()
        complete = not self._files.failed
        what = "everything is" if complete else "what could be written is"
        say(f"{text}; {what} in {self.folder}")
        return 0 if complete else 1
