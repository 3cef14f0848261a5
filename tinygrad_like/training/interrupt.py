"""Ctrl-C while a loop runs: the first is noted, so that a step can end; the second leaves at once.

The handler stands only while a loop runs, and only in the main thread, where Python runs handlers.
"""

import signal
import sys
import threading
import time
from contextlib import suppress
from typing import Any


class Interrupted(SystemExit):
    """Ctrl-C has ended a loop after a whole step: a program that lets it pass exits with 130."""

    def __init__(self) -> None:
        super().__init__(130)


class Interrupt:
    """The handler of Ctrl-C between `start` and `stop`."""

    def __init__(self) -> None:
        self.requested = self.running = False
        self._before: Any = None  # the handler that stood before ours; None while ours does not

    def start(self) -> None:
        """Put the handler in place, unless Ctrl-C is ignored or this is not the main thread."""
        self.requested, self.running = False, True
        if threading.current_thread() is not threading.main_thread():
            return
        before = signal.getsignal(signal.SIGINT)
        if callable(before) or before is signal.SIG_DFL:
            self._before = before
            signal.signal(signal.SIGINT, self._handle)

    def stop(self) -> None:
        """Put the handler before ours in place again.

        A loop that is thrown away in another thread cannot do that: ours then hands on what comes.
        """
        before = self._before
        if before is not None and threading.current_thread() is threading.main_thread():
            self._before = None
            if signal.getsignal(signal.SIGINT) == self._handle:
                signal.signal(signal.SIGINT, before)
        self.running = False

    def hand_on(self) -> None:
        """After `stop`, in a generator that is thrown away: let a noted Ctrl-C not be lost.

        An error that is raised while Python throws a generator away ends there, as a message. So
        another thread waits until the generator has gone, and then sends the signal again.
        """
        if not self.requested:
            return
        self.requested = False
        frame, thread = sys._getframe(1), threading.main_thread().ident

        def send() -> None:
            while _is_on_stack(frame, thread):
                time.sleep(0.001)
            if hasattr(signal, "pthread_kill") and thread is not None:
                signal.pthread_kill(thread, signal.SIGINT)  # which also wakes a thread that sleeps
            else:
                signal.raise_signal(signal.SIGINT)

        threading.Thread(target=send, name="tinygrad_like Ctrl-C").start()

    def _handle(self, number: int, frame: Any) -> None:
        before = self._before
        if self.requested or not self.running:
            self.requested = False  # it is handed on now, and not once more
            self.stop()
            if not callable(before):
                raise KeyboardInterrupt
            before(number, frame)  # Python's own raises KeyboardInterrupt
            return
        self.requested = True
        with suppress(
            RuntimeError, OSError, ValueError
        ):  # in the midst of another print, or closed
            print("\nfinishing this step; Ctrl-C again leaves at once", file=sys.stderr, flush=True)


def _is_on_stack(frame: Any, thread: Any) -> bool:
    """Whether a thread is still inside a frame."""
    at = sys._current_frames().get(thread)
    while at is not None and at is not frame:
        at = at.f_back
    return at is not None
