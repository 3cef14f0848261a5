"""Ctrl-C for a program in a process of its own."""

import os
import signal
import subprocess
import time

import pytest

needs_ctrl_c = pytest.mark.skipif(
    os.name == "nt", reason="Windows cannot send Ctrl-C to one process: run this test elsewhere"
)


def stop_by_ctrl_c(command, log, after):
    """Start a program, and press Ctrl-C once it has printed `after`; it has to exit with code 130.

    What it prints goes to the file `log`.
    """
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, env=environment)
    while after not in log.read_text() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130, log.read_text()
