"""CPU of nodes, from what every kubelet's cAdvisor tells Prometheus.

What counts is what pods use, for that is what a node's allocatable CPU is there for: the cgroup ``kubepods``, wherever
the kubelet keeps it. Where a Prometheus drops the series of cgroups that are no pod's (a usual relabelling), the
containers are added up. The same answer tells how many points each figure rests on.
"""

from __future__ import annotations

from typing import Final

_CGROUP: Final = 'container_cpu_usage_seconds_total{id=~"(/.+)?/([^/]*-)?kubepods([.]slice)?"}[$window]'
_CONTAINERS: Final = 'container_cpu_usage_seconds_total{container!="",pod!=""}[$window]'
_BY: Final = "by (node, instance, kubernetes_io_hostname)"

POINTS: Final = "points"
"""Value of the label ``what`` of the series that count points; those that hold CPU have none."""

CPU_QUERY: Final = (
    f"max {_BY} (rate({_CGROUP})) or sum {_BY} (rate({_CONTAINERS})) or "
    f'label_replace(max {_BY} (count_over_time({_CGROUP})), "what", "{POINTS}", "", "") or '
    f'label_replace(max {_BY} (count_over_time({_CONTAINERS})), "what", "{POINTS}", "", "")'
)
"""Cores that the pods of each node used on average over ``$window``, and the points that this rests on."""
