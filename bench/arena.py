"""A fair race: each opponent in a process of its own, with its own defaults, taking turns.

Spinning threads of one library slow another in the same process, and a shared machine's speed
drifts: so the opponents alternate in short bouts with a rest between, and only ratios of bouts
that lie side by side are compared.
"""

import json
import statistics
import subprocess
import sys
import time

REST = 0.03  # seconds between bouts, for threads to fall asleep


class Opponent:
    """A worker process that runs a workload on request and answers with its median time."""

    def __init__(self, module, name, workload):
        self.name = name
        command = [sys.executable, "-m", module, "--worker", name, workload]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.check = json.loads(self._answer())  # what it computed, to compare before timing

    def bout(self):
        """The median seconds of one step in one bout."""
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return json.loads(self._answer())

    def _answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the {self.name} worker died with code {self.process.wait()}")
        return line

    def close(self):
        """End the worker."""
        self.process.stdin.close()
        self.process.wait()


def serve(step, check, repeats):
    """The worker's side: say what was computed, then time `step` whenever asked."""
    print(json.dumps(check), flush=True)
    for _ in sys.stdin:
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            step()
            times.append(time.perf_counter() - start)
        print(json.dumps(statistics.median(times)), flush=True)


def race(module, names, workload, *, bouts, tolerance):
    """Let opponents take turns; returns {name: seconds of each bout}.

    Raises RuntimeError if an opponent computes something else than the first one.
    """
    opponents = [Opponent(module, name, workload) for name in names]
    try:
        expected = opponents[0].check
        for other in opponents[1:]:
            if abs(other.check - expected) > tolerance * abs(expected):
                raise RuntimeError(
                    f"{workload}: {opponents[0].name} computes {expected}, "
                    f"{other.name} {other.check}: nothing is timed"
                )
        times = {name: [] for name in names}
        for k in range(bouts + 1):
            for opponent in opponents:
                time.sleep(REST)
                seconds = opponent.bout()
                if k:  # the first bout warms up
                    times[opponent.name].append(seconds)
        return times
    finally:
        for opponent in opponents:
            opponent.close()
