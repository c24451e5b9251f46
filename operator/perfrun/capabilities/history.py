"""What pods that read a Prometheus are told of it, and of the metrics that a table names."""

from __future__ import annotations

import re

from perfrun.api.base import JSON
from perfrun.api.durations import seconds
from perfrun.api.target import TargetSpec
from perfrun.capabilities.base import PlanError
from perfrun.language.model import Scenario


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
