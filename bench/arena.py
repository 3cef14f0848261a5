"""A fair race: each opponent in its own process, with its own defaults, taking turns.

Spinning threads of one library slow another in the same process, and a shared machine's speed
drifts: so the opponents alternate in short bouts, and only ratios of bouts that lie side by side
are compared. A bout begins when the processors have been idle for a while (some libraries' threads
spin on for a tenth of a second), and it is repeated if other processes were at work meanwhile.

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
import traceback
from pathlib import Path

REST = 0.03  # seconds of silence before each bout
PATIENCE = 30  # rests to wait for silence at most
QUIET = 0.05  # of a bout's time may others be at work; beyond, it is repeated
TRIES = 5
BOUT = 0.1  # seconds that a bout takes at least, unless that were more than MOST_STEPS
MOST_STEPS = 1000
TICK = 0.01  # seconds, the unit of /proc/stat
ROOT = Path(__file__).resolve().parents[1]


class OpponentError(RuntimeError):
    """There is no figure: it would be wrong, or an opponent failed."""


class Disagreement(OpponentError):
    """Opponents that compute different things."""


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
        """Make ready to run a workload; returns what it computed, as lists of numbers."""
        return self._ask("prepare", workload)

    def bout(self):
        """(median seconds of a step, share of the time that others were at work) of one bout."""
        return self._ask("bout", None)

    def _ask(self, *request):
        with contextlib.suppress(BrokenPipeError):  # the answer will be missing
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise OpponentError(f"{self.name} died with code {self.process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise OpponentError(f"{self.name} failed: {answer['error']}")
        return answer["value"]

    def close(self):
        """End the worker."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


@contextlib.contextmanager
def opponents(module, names):
    """{name: Opponent}: their processes end with the `with` block."""
    with contextlib.ExitStack() as stack:
        entered = {}
        for name in names:
            entered[name] = Opponent(module, name)
            stack.callback(entered[name].close)
        yield entered


def check_agreement(workload, checks, tolerance):
    """Raise Disagreement unless all computed what the first one did.

    The checks are {name: lists of numbers}, a list for each thing computed; in each, the largest
    difference may be `tolerance` of the largest number. Lists that another lacks do not count.
    """
    (first, expected), *others = checks.items()
    for name, computed in others:
        for wanted, got in zip(expected, computed, strict=False):
            allowed = tolerance * max(map(abs, wanted), default=0)
            if len(wanted) != len(got):
                raise Disagreement(f"{workload}: {first} and {name} compute other shapes")
            for a, b in zip(wanted, got, strict=True):
                if not abs(a - b) <= allowed:
                    raise Disagreement(
                        f"{workload}: {first} computes {a}, {name} {b}, more than {allowed:.3g} "
                        "apart: nothing is timed"
                    )


def race(entrants, bouts, seldom=()):
    """Let prepared opponents take turns; returns {name: seconds of a step in each bout}.

    Those in `seldom`, slow ones, take part in every other round.
    """
    times = {name: [] for name in entrants}
    disturbed = 0
    for k in range(bouts + 1):
        for name, opponent in entrants.items():
            if name in seldom and k % 2 == 0:
                continue
            seconds, others = _quiet_bout(opponent)
            disturbed += others > QUIET
            if k:  # the first bout warms up
                times[name].append(seconds)
    if disturbed:
        print(f"{disturbed} of {(bouts + 1) * len(entrants)} bouts: other processes were at work")
    return times


def _quiet_bout(opponent):
    """(seconds of a step, share of others) of the first undisturbed bout, or of the quietest."""
    tries = []
    while len(tries) < TRIES and (not tries or tries[-1][1] > QUIET):
        _wait_for_silence()
        tries.append(opponent.bout())
    return min(tries, key=lambda seconds_others: seconds_others[1])


def _wait_for_silence():
    """Rest until the processors were idle for a whole REST: threads that spin are asleep then."""
    for _ in range(PATIENCE):
        busy = _busy_seconds()
        time.sleep(REST)
        if _busy_seconds() - busy < 1.5 * TICK:
            return


def main():
    """The worker's side: `python -m bench.arena MODULE NAME` answers requests, line by line."""
    module, name = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is not an answer
    step, steps = None, 0
    for line in sys.stdin:
        what, workload = json.loads(line)
        try:
            if what == "prepare":
                step = None  # frees what the last workload holds
                step, value = importlib.import_module(module).prepare(name, workload)
                steps = _steps_in_a_bout(step)
            else:
                value = timed_bout(step, steps)
            answer = {"value": value}
        except Exception:
            answer = {"error": traceback.format_exc()}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def timed_bout(step, steps):
    """(median seconds of a step, share of the time that others were at work)."""
    busy, own, start = _busy_seconds(), time.process_time(), time.perf_counter()
    times = [_timed(step) for _ in range(steps)]
    seconds = time.perf_counter() - start
    others = _busy_seconds() - busy - (time.process_time() - own) - 2 * TICK
    return statistics.median(times), max(0.0, others) / seconds


def _steps_in_a_bout(step):
    seconds = min(_timed(step) for _ in range(2))
    return max(1, min(MOST_STEPS, round(BOUT / max(seconds, 1e-9))))


def _busy_seconds():
    """How long the processors of this machine have been at work: only differences have a meaning.

    Always 0 where the system is not Linux.
    """
    try:
        with open("/proc/stat", encoding="ascii") as file:
            whole, *lines = file.read().splitlines()
    except OSError:
        return 0.0
    processors = sum(line.startswith("cpu") for line in lines)
    idle, waiting = map(int, whole.split()[4:6])
    return processors * time.monotonic() - (idle + waiting) * TICK


def _timed(step):
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
