"""What DCGM's exporter told Prometheus of a card, beside what the pod on it saw itself.

NVML inside a pod may be kept from some of it, and sees nothing after the pod is gone; the exporter runs outside, for
every card. Its series (those of its default list of counters) are asked for over the pod's own window and found by the
card's UUID. They are told as facts; where the driver reported an error (an XID), the figures are no evidence. Without
the exporter nothing is said, and nothing is lost.
"""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Final

from perfrun.api.durations import seconds
from perfrun.api.plan import Stage
from perfrun.api.target import TargetSpec
from perfrun.capabilities.base import QueryAnswer
from perfrun_kernels.contract import Result

XID_CHANGES: Final = "dcgm_xid_changes"
"""Fact with the times that the driver reported another error than the one before."""

_WHAT: Final = {
    "dcgm_utilisation_percent": "avg_over_time(DCGM_FI_DEV_GPU_UTIL[$window])",
    "dcgm_clock_mhz": "avg_over_time(DCGM_FI_DEV_SM_CLOCK[$window])",
    "dcgm_power_watts": "max_over_time(DCGM_FI_DEV_POWER_USAGE[$window])",
    "dcgm_temperature_celsius": "max_over_time(DCGM_FI_DEV_GPU_TEMP[$window])",
    "dcgm_memory_used_mib": "max_over_time(DCGM_FI_DEV_FB_USED[$window])",
    XID_CHANGES: "changes(DCGM_FI_DEV_XID_ERRORS[$window])",
}
"""Expressions by the names of the facts that they become."""

QUERY: Final = " or ".join(
    f'label_replace(max by (UUID) ({expression}), "what", "{name}", "", "")' for name, expression in _WHAT.items()
)
"""Everything about every card over ``$window``."""

_LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_ATTEMPTS: Final = 3


def beside(pod: Stage, target: TargetSpec) -> tuple[Stage, ...]:
    """Return the stage that asks about the cards of a pod, where the pod has any and the target has a Prometheus."""
    if not pod.gpus or target.prometheus is None:
        return ()
    timeout = seconds(target.prometheus.timeout)
    asking = Stage(
        id=stage_id(pod.id), scenario=pod.scenario, kind="query",
        parameters={"query": QUERY, "after": pod.id, "sustained": False},
        seconds=timeout, timeout=timeout, attempts=_ATTEMPTS,
    )  # fmt: skip
    return (asking,)


def stage_id(pod: str) -> str:
    """Return the id of the stage that asks about the cards of a pod's stage."""
    return f"{pod}-dcgm"


def told(result: Result, answer: QueryAnswer | None) -> Result:
    """Return a pod's result with what DCGM told of its card among the facts."""
    card = result.facts.get("gpu_uuid")
    if answer is None or not card:
        return result
    facts: dict[str, str | int | float | bool] = {}
    for text, points in answer.series.items():
        labels = dict(_LABEL.findall(text))
        name = labels.get("what", "")
        if labels.get("UUID") == card and name in _WHAT and points and math.isfinite(points[-1][1]):
            facts[name] = round(points[-1][1], 3)
    return dataclasses.replace(result, facts=result.facts | facts)
