"""The CPU's kernels on a given number of threads."""

from contextlib import contextmanager

from tinygrad_like.kernels.cpu.machine import threads


@contextmanager
def on_threads(count):
    """Inside this block the kernels share their work among `count` threads."""
    before = threads.num_threads()
    threads.set_num_threads(count)
    try:
        yield
    finally:
        threads.set_num_threads(before)
