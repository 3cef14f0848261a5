"""The training loop: what every run needs around the lines that teach.

history.py      every logged value, by metric and step; the best one
interrupt.py    Ctrl-C, noted while a loop runs
progress.py     the bar, and a line for each report
jsonlines.py    the history as a file of lines, one for each step
tensorboard.py  the history as event files, where TensorBoard is installed
logged.py       histograms, pictures and texts, and functions that are told of metrics
predict.py      what a model makes of many inputs, batch by batch, and its loss
panels.py       pictures that several programs draw: a confusion matrix, attention
plot.py         the curves of a run as a picture, with panels beside them
names.py        the names and options of a run, checked before it begins
place.py        where a run stands in its loader
folder.py       the files of a run: written or reported, set aside, never half
run.py          Run: the loop, its checkpoint, and all of the above
command.py      the command line of a program that trains, and the run that it asks for
"""

from tinygrad_like.training import panels
from tinygrad_like.training.command import (
    RUN_OPTIONS,
    at_least,
    command_line,
    open_run,
    run_program,
)
from tinygrad_like.training.history import Best, History, Series
from tinygrad_like.training.interrupt import Interrupted
from tinygrad_like.training.predict import evaluate, predict
from tinygrad_like.training.run import Run

__all__ = [
    "RUN_OPTIONS",
    "Best",
    "History",
    "Interrupted",
    "Run",
    "Series",
    "at_least",
    "command_line",
    "evaluate",
    "open_run",
    "panels",
    "predict",
    "run_program",
]
