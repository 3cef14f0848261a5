"""Event files for TensorBoard, by tensorboardX or tensorboard, whichever is installed."""

import time
from pathlib import Path
from typing import Any


def writer(folder: Path, step: int) -> Any:
    """Something with `add_scalar(tag, value, step)` and `close()`; None if neither is installed.

    TensorBoard forgets what older files in the folder have of the steps from `step` on: a run that
    goes on from a checkpoint logs them again.
    """
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        pass
    else:
        return SummaryWriter(str(folder), purge_step=step)
    try:
        return _Events(folder, step)
    except ImportError:
        return None


class _Events:
    """Event files by tensorboard itself, which has no SummaryWriter."""

    def __init__(self, folder: Path, step: int):
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._events, self._summaries = event_pb2, summary_pb2
        self._file = EventFileWriter(str(folder))
        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._add(step=step, session_log=start)

    def _add(self, **fields: Any) -> None:
        self._file.add_event(self._events.Event(wall_time=time.time(), **fields))

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        item = self._summaries.Summary.Value(tag=tag, simple_value=value)
        self._add(step=step, summary=self._summaries.Summary(value=[item]))

    def close(self) -> None:
        self._file.close()
