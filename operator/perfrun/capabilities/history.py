"""What pods that read a Prometheus are told of it and of the metrics that a table names, and what they hand in."""

from __future__ import annotations

import re
from typing import Final

import attrs

from perfrun.api.base import JSON
from perfrun.api.durations import seconds
from perfrun.api.target import TargetSpec
from perfrun.capabilities.base import PlanError
from perfrun.capabilities.evidence import lacking, number
from perfrun.language.model import Scenario
from perfrun_kernels.contract import Result

_SPANS: Final = ((172800.0, 86400.0, "d"), (3600.0, 3600.0, "h"), (60.0, 60.0, "min"))
"""From which length on a unit is used, its size in seconds, and its sign."""


@attrs.frozen
class Told:
    """What a result says of one metric: its numbers and facts are named by the metric's key."""

    result: Result
    key: str

    def number(self, name: str) -> float | None:
        """Return one of the metric's numbers, or None where it could not be had."""
        return number(self.result, f"{self.key}.{name}")

    def lacking(self, name: str) -> str:
        """Return the sentence why a number of the metric could not be had."""
        return lacking(self.result, f"{self.key}.{name}") or f"its pod says nothing of {self.key}.{name}"

    def fact(self, name: str) -> str:
        """Return one of the metric's facts, empty where there is none."""
        return self.common(f"{self.key}.{name}")

    def whole(self, name: str) -> float | None:
        """Return a number of the whole result."""
        return number(self.result, name)

    def common(self, name: str) -> str:
        """Return a fact of the whole result, empty where there is none."""
        return str(self.result.facts.get(name, ""))


def prometheus_of(scenario: Scenario, target: TargetSpec) -> dict[str, JSON]:
    """Return the server as a pod's parameters have it.

    Raises:
        PlanError: the target names none.
    """
    if target.prometheus is None:
        msg = (
            f"scenario {scenario.name!r} asks what a monitoring system has recorded, but the target has no Prometheus; "
            "add spec.prometheus.url to the PerfTarget"
        )
        raise PlanError(msg)
    return {"url": target.prometheus.url, "timeout_s": seconds(target.prometheus.timeout)}


def key_of(name: str) -> str:
    """Return a metric's name as a key: ``CPU utilization`` gives ``cpu_utilization``."""
    return re.sub(r"\W+", "_", name.lower()).strip("_")


def span(length: float) -> str:
    """Return a length in seconds as people say it: ``7 d``, ``24 h``, ``1.5 h``, ``5 min``, ``12.5 s``."""
    size, unit = next(((size, unit) for least, size, unit in _SPANS if length >= least), (1.0, "s"))
    return f"{length / size:.3g} {unit}"


def attached(result: Result) -> dict[str, JSON]:
    """Return the names under which files of a result are among the run's artifacts, as a fact."""
    return (
        {"artifacts": [f"{result.stage}.{name}" for name in sorted(result.attachments)]} if result.attachments else {}
    )
