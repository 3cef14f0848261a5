"""A fair race: each opponent in a process of its own, with its own defaults, taking turns.

Spinning threads of one library slow another in the same process, and a shared machine's speed
drifts: so the opponents alternate in short bouts with a rest between, and only ratios of bouts
that lie side by side are compared.

An opponent is a name that a module's `prepare(name, workload)` knows. It returns (step, check): a
function to time, and numbers that it computed, to be compared before anything is timed.
"""

import contextlib
import importlib
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

REST = 0.03  # seconds between bouts, for threads to fall asleep
BOUT = 0.1  # seconds that a bout takes at least, unless that were more than MOST_STEPS
MOST_STEPS = 1000
ROOT = Path(__file__).resolve().parents[1]


class Disagreement(RuntimeError):
    """Opponents that compute different things: there is nothing to time."""


class Opponent:
    """A worker process that prepares a workload and then runs it on request."""

    def __init__(self, module, name, environment=None):
        self.name = name
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.arena", module, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment,
        )

    def prepare(self, workload):
        """Make ready to run a workload; returns the numbers that it computed, as a list."""
        return self._ask("prepare", workload)

    def bout(self):
        """The median seconds of one step in one bout."""
        return self._ask("bout", None)

    def _ask(self, *request):
        with contextlib.suppress(BrokenPipeError):  # the answer will be missing
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the {self.name} worker died with code {self.process.wait()}")
        return json.loads(line)

    def close(self):
        """End the worker."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()


@contextlib.contextmanager
def opponents(module, names):
    """{name: Opponent} for a while."""
    with contextlib.ExitStack() as stack:
        entered = {}
        for name in names:
            entered[name] = Opponent(module, name)
            stack.callback(entered[name].close)
        yield entered


def check_agreement(workload, checks, tolerance):
    """Raise Disagreement unless all computed what the first one did.

    The checks are {name: numbers}; the largest difference may be `tolerance` of the largest number.
    """
    (first, expected), *others = checks.items()
    for name, numbers in others:
        if len(numbers) != len(expected):
            raise Disagreement(f"{workload}: {first} gives {len(expected)} numbers, {name} others")
        allowed = tolerance * max(map(abs, expected), default=0)
        for a, b in zip(expected, numbers, strict=True):
            if not abs(a - b) <= allowed:
                raise Disagreement(
                    f"{workload}: {first} computes {a}, {name} {b}, more than {allowed:.3g} apart: "
                    "nothing is timed"
                )


def race(entrants, bouts):
    """Let prepared opponents take turns; returns {name: seconds of a step in each bout}."""
    times = {name: [] for name in entrants}
    for k in range(bouts + 1):
        for name, opponent in entrants.items():
            time.sleep(REST)
            seconds = opponent.bout()
            if k:  # the first bout warms up
                times[name].append(seconds)
    return times


def main():
    """The worker's side: `python -m bench.arena MODULE NAME` answers requests, line by line."""
    module, name = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer
    step, steps = None, 0
    for line in sys.stdin:
        what, workload = json.loads(line)
        if what == "prepare":
            step = None  # what the last workload holds is let go first
            step, answer = importlib.import_module(module).prepare(name, workload)
            steps = _steps_in_a_bout(step)
        else:
            answer = statistics.median(_timed(step) for _ in range(steps))
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _steps_in_a_bout(step):
    seconds = min(_timed(step) for _ in range(2))
    return max(1, min(MOST_STEPS, round(BOUT / max(seconds, 1e-9))))


def _timed(step):
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
