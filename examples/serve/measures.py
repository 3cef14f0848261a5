"""The metrics of the server, for Prometheus: the text that `GET /metrics` returns."""

import collections

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

LATEST = 1000  # pictures over which drift is measured
LATENCIES = 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2


class Measures:
    """Counters of one server; `registry` holds them, and nothing else."""

    def __init__(self):
        self.registry = CollectorRegistry()
        name = {"registry": self.registry}
        self.latency = Histogram(
            *("digits_latency_seconds", "Time from a request to its answer"),
            **name, labelnames=["path"], buckets=LATENCIES,
        )  # fmt: skip
        self.batch = Histogram(
            *("digits_batch_size", "Pictures that are computed together"),
            **name, buckets=[1, 2, 4, 8, 16, 32, 64],
        )  # fmt: skip
        self.answers = Counter(
            "digits_answers", "Requests answered, by status", ["path", "status"], **name
        )
        self.refused = Counter("digits_refused", "Requests refused, by reason", ["reason"], **name)
        self.swaps = Counter("digits_models_loaded", "Models put in place", **name)
        self.drift = Gauge(
            "digits_input_drift",
            f"Population stability index of the ink of the last {LATEST} pictures",
            **name,
        )
        self._ink: collections.deque = collections.deque(maxlen=LATEST)

    def text(self, quantiles):
        """All figures as Prometheus reads them; drift is measured against `quantiles`."""
        self.drift.set(stability_index(quantiles, self._ink))
        return generate_latest(self.registry)

    def saw(self, ink):
        """Remember the ink of a picture."""
        self._ink.append(ink)


def stability_index(quantiles, values):
    """The population stability index of values against deciles of the training set.

    sum over deciles of (p - q) log(p / q), q = 0.1: below 0.1 nothing has changed, above 0.25 much
    has (Siddiqi, Credit Risk Scorecards, 2006). 0 for fewer than 50 values, which say little.
    """
    if len(values) < 50:
        return 0.0
    places = np.searchsorted(quantiles[1:-1], np.array(values), side="right")
    shares = np.bincount(places, minlength=len(quantiles) - 1) / len(values)
    shares, expected = np.maximum(shares, 1e-4), 1 / (len(quantiles) - 1)
    return float(((shares - expected) * np.log(shares / expected)).sum())
