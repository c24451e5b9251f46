"""CPU of nodes, from what every kubelet's cAdvisor tells Prometheus.

What counts is what pods use, for that is what a node's allocatable CPU is there for: the cgroup ``kubepods``, wherever
the kubelet keeps it. Where a Prometheus drops the series of cgroups that are no pod's (a usual relabelling), the
containers are added up. The same answer tells how many points each figure rests on.

The slope (deriv) is taken rather than rate(): cAdvisor dates its samples and takes them seconds apart, and rate()
stretches what lies between few of them over the whole window.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Final

from perfrun.api.faults import ServingNode
from perfrun.api.plan import Claim
from perfrun.api.run import Source
from perfrun.capabilities.base import Evidence, Measured, NotMeasured, QueryAnswer
from perfrun.language import quantities
from perfrun.language.model import Quantity

_CGROUP: Final = 'container_cpu_usage_seconds_total{id=~"(/.+)?/([^/]*-)?kubepods([.]slice)?"}[$window]'
_CONTAINERS: Final = 'container_cpu_usage_seconds_total{container!="",pod!=""}[$window]'
_LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_BY: Final = "by (node, instance, kubernetes_io_hostname)"

POINTS: Final = "points"
"""Value of the label ``what`` of the series that count points; those that hold CPU have none."""

CPU_QUERY: Final = (
    f"max {_BY} (deriv({_CGROUP})) or sum {_BY} (deriv({_CONTAINERS})) or "
    f'label_replace(max {_BY} (count_over_time({_CGROUP})), "what", "{POINTS}", "", "") or '
    f'label_replace(max {_BY} (count_over_time({_CONTAINERS})), "what", "{POINTS}", "", "")'
)
"""Cores that the pods of each node used on average over ``$window``, and the points that this rests on."""


def measure_cpu(claim: Claim, evidence: Evidence) -> Measured | NotMeasured:
    """Return the CPU of the busiest serving node against what pods may use of it, in the claim's unit.

    A node without data may have been the busiest: it leaves the unfavourable side open.
    """
    answer = evidence.answer
    if answer is None:
        return NotMeasured(
            reason=evidence.lost_reason or "NoAnswer",
            message=evidence.lost_message or "the query for CPU was never answered",
            broken=evidence.broken,
        )
    if answer.error:
        return _nothing("MetricsUnavailable", answer.error, answer)
    if not evidence.serving:
        return _nothing("NotEnoughNodes", "it is not known which nodes serve", answer)
    used, points = _by_node(answer, evidence.serving)
    shares = {each.node: used[each.node] / each.cpu for each in evidence.serving if each.node in used and each.cpu > 0}
    if not shares:
        message = (
            f"Prometheus has no CPU of any of the {len(evidence.serving)} serving nodes: let it scrape the cAdvisor of "
            "their kubelets, with the label node"
        )
        return _nothing("NoData", message, answer, no_data=True)
    lacking = [each.node for each in evidence.serving if each.node not in shares]
    busiest = max(shares, key=shares.__getitem__)
    value = shares[busiest] * quantities.convert(Quantity(1.0, ""), claim.unit)
    fewest = min(points.get(node, 0) for node in shares)
    allocatable = {each.node: each.cpu for each in evidence.serving}
    return Measured(
        value=value, lower=value, upper=math.inf if lacking else value, samples=fewest, effective_samples=float(fewest),
        window=answer.window, source=_source(answer),
        facts={
            "busiest": busiest,
            "cpu_by_node": {node: round(share, 4) for node, share in sorted(shares.items())},
            "allocatable_cores": {node: allocatable[node] for node in sorted(shares)},
            "nodes_without_data": list(lacking),
        },
        note=_note(busiest, used[busiest], allocatable[busiest], lacking),
    )  # fmt: skip


def _note(busiest: str, cores: float, allocatable: float, lacking: list[str]) -> str:
    told = f"{busiest} used {cores:.2f} of {allocatable:.2f} cores"
    return f"{told}, no data of {', '.join(lacking)}" if lacking else told


def _by_node(
    answer: QueryAnswer, serving: tuple[ServingNode, ...]
) -> tuple[Mapping[str, float], Mapping[str, int]]:  # fmt: skip
    """Return cores used and points behind them by node; a slope that falls is a counter that was reset: no data."""
    nodes = {each.node for each in serving}
    used: dict[str, float] = {}
    points: dict[str, int] = {}
    for text, series in answer.series.items():
        labels = dict(_LABEL.findall(text))
        node = next((name for name in _names(labels) if name in nodes), None)
        if node is None or not series or not math.isfinite(series[-1][1]):
            continue
        value = series[-1][1]
        if labels.get("what") == POINTS:
            points[node] = max(points.get(node, 0), int(value))
        elif value >= 0:
            used[node] = max(used.get(node, 0.0), value)
    return used, points


def _names(labels: Mapping[str, str]) -> tuple[str, ...]:
    instance = labels.get("instance", "")
    return labels.get("node", ""), labels.get("kubernetes_io_hostname", ""), instance, instance.rpartition(":")[0]


def _nothing(reason: str, message: str, answer: QueryAnswer, *, no_data: bool = False) -> NotMeasured:
    return NotMeasured(reason=reason, message=message, no_data=no_data, source=_source(answer), window=answer.window)


def _source(answer: QueryAnswer) -> Source:
    return Source(kind="Prometheus", name=answer.url, query=answer.query, step=answer.step)
