"""The scrape jobs with which a Prometheus records what a feature asks for, as often as it asks.

Pure: rows and surroundings → entries of `scrape_configs`. The development cluster's own Prometheus is configured by the
same functions, so what is told to others is what runs there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from perfrun.api.base import JSON

CPU, MEMORY, GPU = "CPU utilization", "Memory usage", "GPU utilization"
LATENCY, THROUGHPUT, ERRORS = "Network latency", "Throughput", "Error rates"

NODE_PORT: Final = 9100
GPU_PORT: Final = 9400
PING: Final = "icmp"
"""Module of the blackbox exporter."""

SLOW: Final = ("cpu", "diskstats", "loadavg", "meminfo", "netclass", "pressure", "softnet", "stat", "uname", "vmstat")
NETWORK: Final = ("netdev", "netstat")
"""Collectors of node-exporter, all on by default: asking for one that is off makes the whole scrape fail."""

_ERRORS: Final = (
    "node_network_(receive|transmit)_(errs|drop)_total|node_netstat_(Tcp_(InErrs|RetransSegs)|Udp_InErrors)"
)
_LABELS: Final = "__meta_kubernetes"

Job = dict[str, Any]


@attrs.frozen
class Row:
    """One type of metric: to be sampled at least every ``interval`` seconds and kept for ``retention`` seconds."""

    name: str
    interval: float
    retention: float


USUAL: Final = tuple(
    Row(name, interval, 7 * 86_400.0)
    for name, interval in ((CPU, 15.0), (MEMORY, 15.0), (GPU, 15.0), (LATENCY, 5.0), (THROUGHPUT, 5.0), (ERRORS, 1.0))
)
"""What `features/system_performance.feature` asks for."""


@attrs.frozen
class Surroundings:
    """Where a Prometheus finds what it scrapes.

    ``prober`` is the address of a blackbox exporter; ``discovery`` what its service discovery needs besides a role;
    ``service`` the namespace and name of a Service whose pods answer for the throughput, or None: then nodes do.
    """

    prober: str
    prefix: str = "perfrun-"
    discovery: Mapping[str, JSON] = attrs.field(factory=dict)
    service: tuple[str, str] | None = None


def jobs(rows: Sequence[Row], around: Surroundings) -> list[Job]:
    """Return the jobs that record these rows; rows of unknown types have none.

    Each series belongs to one job, so that none is there twice at different intervals.
    """
    every = {row.name: row.interval for row in rows}
    made = []
    if slow := [every[name] for name in (CPU, MEMORY) if name in every]:
        made.append(_of_node("node", min(slow), around, SLOW))
    if GPU in every:
        made.append(_gpus(every[GPU], around))
    if LATENCY in every:
        made.append(_latency(every[LATENCY], around))
    if THROUGHPUT in every and around.service is None:
        made.append(_of_node("node-network", every[THROUGHPUT], around, NETWORK, "drop"))
    elif THROUGHPUT in every:
        made.append(_pods(every[THROUGHPUT], around))
    if ERRORS in every:
        made.append(_of_node("node-errors", every[ERRORS], around, NETWORK, "keep"))
    return made


def retention(rows: Sequence[Row]) -> float:
    """Return how long samples have to be kept, in seconds; 0 without rows."""
    return max((row.retention for row in rows), default=0.0)


def duration(seconds: float) -> str:
    """Return a length of time as Prometheus writes it, such as 7d, 90s or 500ms, to the millisecond."""
    left = round(seconds * 1000)
    for unit, length in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if left and left % length == 0:
            return f"{left // length}{unit}"
    return f"{left}ms"


def relabel(source: str, target: str, regex: str = "", replacement: str = "") -> dict[str, Any]:
    """Return a rule that writes one label into another; without more, as it is."""
    told = {"regex": regex, "replacement": replacement}
    stated = {name: value for name, value in told.items() if value}
    return {"source_labels": [source], "target_label": target, **stated}


def _job(name: str, interval: float, role: str, around: Surroundings, rules: list[dict[str, Any]]) -> Job:
    return {
        "job_name": f"{around.prefix}{name}",
        "scrape_interval": duration(interval),
        "kubernetes_sd_configs": [{"role": role, **around.discovery}],
        "relabel_configs": rules,
    }


def _of_node(name: str, interval: float, around: Surroundings, collectors: tuple[str, ...], errors: str = "") -> Job:
    """Scrape node-exporter on every node; ``errors`` says what becomes of the counters of errors."""
    rules = [
        relabel("__address__", "__address__", "(.+):[0-9]+", f"$1:{NODE_PORT}"),
        relabel(f"{_LABELS}_node_name", "node"),
    ]
    job = _job(name, interval, "node", around, rules) | {"params": {"collect[]": list(collectors)}}
    kept = [{"source_labels": ["__name__"], "regex": _ERRORS, "action": errors}] if errors else []
    return job | ({"metric_relabel_configs": kept} if kept else {})


def _latency(interval: float, around: Surroundings) -> Job:
    """Let the blackbox exporter send every node an echo request."""
    rules = [
        relabel(f"{_LABELS}_node_address_InternalIP", "__param_target"),
        relabel(f"{_LABELS}_node_name", "node"),
        relabel(f"{_LABELS}_node_name", "instance"),
        {"target_label": "__address__", "replacement": around.prober},
    ]
    probing = {"metrics_path": "/probe", "params": {"module": [PING]}}
    return _job("latency", interval, "node", around, rules) | probing


def _gpus(interval: float, around: Surroundings) -> Job:
    """Scrape NVIDIA's DCGM exporter, by the labels that its chart and the GPU operator give its pods."""
    names = [f"{_LABELS}_pod_label_app", f"{_LABELS}_pod_label_app_kubernetes_io_name"]
    rules = [
        {"source_labels": names, "regex": ".*dcgm-exporter.*", "action": "keep"},
        relabel(f"{_LABELS}_pod_ip", "__address__", "(.+)", f"$1:{GPU_PORT}"),
        relabel(f"{_LABELS}_pod_node_name", "node"),
    ]
    return _job("gpu", interval, "pod", around, rules)


def _pods(interval: float, around: Surroundings) -> Job:
    """Scrape the pods of a Service, at the port that they annotate or else the Service's own."""
    namespace, service = around.service or ("", "")
    annotation = f"{_LABELS}_pod_annotation_prometheus_io"
    rules = [
        {"source_labels": [f"{_LABELS}_service_name"], "regex": service, "action": "keep"},
        # Ports of containers that belong to no port of the Service are discovered too.
        {
            "source_labels": [f"{annotation}_port", f"{_LABELS}_endpointslice_port"],
            "regex": ".*[0-9]+.*",
            "action": "keep",
        },
        {
            "source_labels": [f"{_LABELS}_pod_ip", f"{annotation}_port"],
            "separator": ":",
            "regex": "(.+:[0-9]+)",
            "target_label": "__address__",
        },
        relabel(f"{annotation}_path", "__metrics_path__", "(.+)"),
        relabel(f"{annotation}_scheme", "__scheme__", "(https?)"),
        relabel(f"{_LABELS}_namespace", "namespace"),
        relabel(f"{_LABELS}_service_name", "service"),
        relabel(f"{_LABELS}_pod_name", "pod"),
        relabel(f"{_LABELS}_pod_node_name", "node"),
    ]
    within = attrs.evolve(around, discovery={**around.discovery, "namespaces": {"names": [namespace]}})
    return _job("throughput", interval, "endpointslice", within, rules)
