"""Recording rules for what a feature asks for: what was sampled, as ratios and rates of each node, and as histories.

The sampling interval of a row is judged by the series that are scraped. What rules record is for people, and for
forecasts: one series in the place of thousands, so that weeks of it can be read in moments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from perfrun.manifests.scraping import CPU, ERRORS, GPU, LATENCY, MEMORY, THROUGHPUT, Row, duration

HISTORY_SECONDS: Final = 300.0
"""Time between two points of a history: the shortest step of a forecast."""

_SAMPLES: Final = 4
"""Samples in a rate's window: two are needed, and one may be late or lost."""

_PODS: Final = ("http_requests_total", "http_server_request_duration_seconds_count", "nginx_http_requests_total")


def _both(counter: str) -> str:
    directions = (f"rate(node_network_{way}_{counter}_total[$window])" for way in ("receive", "transmit"))
    return f"sum by (node) ({' + '.join(directions)})"


_OF_NODES: Final[Mapping[str, tuple[str, str]]] = {
    CPU: (
        "node:cpu_utilization:ratio",
        '1 - avg by (node) (rate(node_cpu_seconds_total{mode="idle"}[$window]))',
    ),
    MEMORY: (
        "node:memory_utilization:ratio",
        "1 - avg by (node) (node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes)",
    ),
    GPU: ("node_gpu:utilization:ratio", "avg by (node, gpu) (DCGM_FI_DEV_GPU_UTIL) / 100"),
    LATENCY: ("node:network_latency:seconds", 'max by (node) (probe_icmp_duration_seconds{phase="rtt"})'),
    THROUGHPUT: (
        "node:network_throughput:bytes_per_second",
        _both("bytes"),
    ),
    ERRORS: (
        "node:network_errors:per_second",
        _both("errs"),
    ),
}  # fmt: skip


@attrs.frozen
class History:
    """One history that is to be foretold: its key, such as response_time, and PromQL with ``$window``."""

    key: str
    query: str


def groups(
    rows: Sequence[Row], histories: Sequence[History] = (), service: tuple[str, str] | None = None
) -> list[dict[str, Any]]:
    """Return the groups of a rules file: one for each interval of the rows, and one for the histories.

    ``service`` is the namespace and name of the Service whose pods answer for the throughput.
    """
    made = []
    for interval in sorted({row.interval for row in rows}):
        rules = [_rule(row, service) for row in rows if row.interval == interval and row.name in _OF_NODES]
        if rules:
            name = f"perfrun-{duration(interval)}"
            made.append({"name": name, "interval": duration(interval), "rules": rules})
    if histories:
        step = duration(HISTORY_SECONDS)
        kept = [{"record": series_of(each), "expr": each.query.replace("$window", step)} for each in histories]
        made.append({"name": "perfrun-history", "interval": step, "rules": kept})
    return made


def series_of(history: History) -> str:
    """Return the name of the series that a history is recorded as."""
    return f"perfrun:{history.key}:history"


def _rule(row: Row, service: tuple[str, str] | None) -> dict[str, str]:
    name, query = _OF_NODES[row.name]
    if row.name == THROUGHPUT and service is not None:
        of_pods = f'namespace="{service[0]}",service="{service[1]}"'
        name = "pod:requests:per_second"
        query = " or ".join(f"sum by (pod) (rate({each}{{{of_pods}}}[$window]))" for each in _PODS)
    return {"record": name, "expr": query.replace("$window", duration(_SAMPLES * row.interval))}
