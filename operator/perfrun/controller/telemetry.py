"""What the operator tells Prometheus about itself, on a registry of its own."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest
from prometheus_client import Counter as Count
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from perfrun.controller.queue import Turn
from perfrun.lifecycle.values import Key

_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_FIRST_SIGHTS: Final = 10_000


class Telemetry:
    """The operator's own metrics, all named ``perfrun_``."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.registry = CollectorRegistry()
        self._monotonic = monotonic
        self._first_seen: dict[Key, float] = {}
        self._turns = Count(
            "perfrun_reconciles", "Turns, by kind and outcome", ("kind", "outcome"), registry=self.registry
        )
        self._seconds = Histogram(
            "perfrun_reconcile_seconds", "Duration of a turn", ("kind",), buckets=_SECONDS, registry=self.registry
        )
        self._to_pod = Histogram(
            "perfrun_feature_to_pod_seconds", "From the first sight of a changed feature to the first pod of its run",
            buckets=_SECONDS, registry=self.registry,
        )  # fmt: skip
        self._results = Count(
            "perfrun_results", "Results handed in, by HTTP status of the answer", ("status",), registry=self.registry
        )
        self._verdict = Gauge(
            "perfrun_feature_verdict", "1 for the newest verdict of each feature", ("namespace", "feature", "verdict"),
            registry=self.registry,
        )  # fmt: skip
        self._verdicts: dict[Key, str] = {}

    def turn(self, turn: Turn) -> None:
        """Count a turn."""
        self._turns.labels(turn.key.kind, turn.outcome).inc()
        self._seconds.labels(turn.key.kind).observe(turn.seconds)

    def result(self, status: int) -> None:
        """Count a result that was handed in."""
        self._results.labels(str(status)).inc()

    def feature_changed(self, feature: Key) -> None:
        """Start the clock of a feature that is new or has a new spec."""
        if len(self._first_seen) < _FIRST_SIGHTS:
            self._first_seen[feature] = self._monotonic()

    def pod_appeared(self, feature: Key) -> None:
        """Stop the clock of the feature, if it runs."""
        since = self._first_seen.pop(feature, None)
        if since is not None:
            self._to_pod.observe(self._monotonic() - since)

    def verdict(self, feature: Key, verdict: str | None) -> None:
        """Show the newest verdict of a feature, or none."""
        before = self._verdicts.pop(feature, None)
        if before is not None and before != verdict:
            self._verdict.remove(feature.namespace, feature.name, before)
        if verdict is not None:
            self._verdicts[feature] = verdict
            self._verdict.labels(feature.namespace, feature.name, verdict).set(1)

    def forget(self, feature: Key) -> None:
        """Forget a feature that went."""
        self.verdict(feature, None)
        self._first_seen.pop(feature, None)

    def gauge(self, name: str, help_text: str, labels: tuple[str, ...], read: Callable[[], Counted]) -> None:
        """Register a gauge that is read whenever it is asked for; ``read`` gives values by label values."""
        self.registry.register(_Read(name, help_text, labels, read))

    def exposition(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self.registry)


Counted = dict[tuple[str, ...], float] | Counter[tuple[str, ...]]
"""Values by label values."""


class _Read(Collector):
    def __init__(self, name: str, help_text: str, labels: tuple[str, ...], read: Callable[[], Counted]) -> None:
        self._family = (name, help_text, labels)
        self._read = read

    def collect(self) -> list[GaugeMetricFamily]:
        name, help_text, labels = self._family
        family = GaugeMetricFamily(name, help_text, labels=labels)
        for values, number in self._read().items():
            family.add_metric(values, number)
        return [family]
