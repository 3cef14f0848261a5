"""How much the memory of a whole process grows, measured in a new process.

In one that has run other tests the same count says little: what they freed went back to the
system, and comes again, page by page, when the steps that are measured reuse those addresses.
"""

import gc
import subprocess
import sys
from pathlib import Path

import pytest

STATM, PAGE = Path("/proc/self/statm"), 4096

needs_proc = pytest.mark.skipif(
    not STATM.exists(), reason="memory is read from /proc, which this system lacks"
)


def resident():
    """Bytes of this process that lie in memory."""
    return int(STATM.read_text().split()[1]) * PAGE


def growth_of_steps(step, warm_up, steps):
    """Bytes that this process grows by in `steps` calls, without the cyclic collector."""
    gc.disable()
    for _ in range(warm_up):
        step()
    before = resident()
    for _ in range(steps):
        step()
    return resident() - before


def growth_in_a_new_process(maker, *arguments, warm_up, steps):
    """Bytes that a new process grows by in calls of the step that `maker(*arguments)` makes.

    `maker` is a function of a file of this folder: the new process imports that file alone.
    """
    module = maker.__module__
    script = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        f"import {module}, resident\n"
        f"step = {module}.{maker.__name__}(*{arguments!r})\n"
        f"print(resident.growth_of_steps(step, {warm_up}, {steps}))\n"
    )
    found = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, timeout=300
    )
    assert found.returncode == 0, found.stderr
    return int(found.stdout)
