"""Where metrics usually are: the series and queries that are taken where a target names none of its own.

Names are those of node-exporter, the kubelet's cAdvisor, NVIDIA's and AMD's exporters, the blackbox exporter, and of
the HTTP metrics of Prometheus' client libraries, OpenTelemetry, Istio and ingress-nginx. ``$window`` in a query stands
for the time between two points.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from perfrun.api.target import TargetSpec
from perfrun.api.telemetry import Foretold, Recorded, Resource

_LINKS: Final = 'device=~"eth.*|en[opsx].*|bond.*|ib.*"'
"""The nodes' own links: those of pods come and go with them."""

RECORDED: Final[Mapping[str, Recorded]] = {
    "CPU utilization": Recorded(
        series=('node_cpu_seconds_total{mode="idle"}', 'container_cpu_usage_seconds_total{id="/"}'), per="node"
    ),
    "Memory usage": Recorded(
        series=("node_memory_MemAvailable_bytes", 'container_memory_working_set_bytes{id="/"}'), per="node"
    ),
    "GPU utilization": Recorded(
        series=("DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_PROF_GR_ENGINE_ACTIVE", "gpu_gfx_activity"), per="gpuNode"
    ),
    "Network latency": Recorded(
        series=('probe_icmp_duration_seconds{phase="rtt"}', "probe_duration_seconds", "ping_rtt_mean_seconds"),
        per="node",
    ),
    "Throughput": Recorded(series=(f"node_network_receive_bytes_total{{{_LINKS}}}",), per="node"),
    "Error rates": Recorded(series=(f"node_network_receive_errs_total{{{_LINKS}}}",), per="node"),
}  # fmt: skip
"""Series by type of metric; the first of each that a server has samples of is taken."""

SERVED: Final = Recorded(
    series=(
        "http_requests_total", "http_server_request_duration_seconds_count", "http_request_duration_seconds_count",
        "nginx_http_requests_total", "istio_requests_total",
    ),
    per="pod",
)  # fmt: skip
"""The throughput of a target that names a Service: requests to each of its pods."""


def recorded(target: TargetSpec, name: str) -> Recorded:
    """Return where the samples of a type of metric are: where the target says, else where they usually are.

    Raises:
        KeyError: the target does not say, and there is no usual place.
    """
    usual = SERVED if name == "Throughput" and target.service is not None else None
    return target.telemetry.metrics.get(name) or usual or RECORDED[name]


def _first(*queries: str) -> str:
    """Return a query that answers with the first of these that has a value, whatever labels the others have."""
    return " or on () ".join(f"({each})" for each in queries)


def _mean(histogram: str, scale: str = "") -> str:
    return f"sum(rate({histogram}_sum[$window])) / sum(rate({histogram}_count[$window])){scale}"


HISTORIES: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "Response time": (
        "s",
        (
            _mean("http_request_duration_seconds"), _mean("http_server_request_duration_seconds"),
            _mean("istio_request_duration_milliseconds", " / 1000"),
            _mean("nginx_ingress_controller_request_duration_seconds"),
            "avg(sum by (instance) (avg_over_time(probe_http_duration_seconds[$window])))",
        ),
    ),
    "Resource usage": (
        "cores",
        (
            'sum(rate(node_cpu_seconds_total{mode!~"idle|iowait|steal"}[$window]))',
            'sum(rate(container_cpu_usage_seconds_total{id="/"}[$window]))',
        ),
    ),
    "Throughput": (
        "1/s",
        (
            "sum(rate(http_requests_total[$window]))", "sum(rate(http_request_duration_seconds_count[$window]))",
            "sum(rate(http_server_request_duration_seconds_count[$window]))",
            "sum(rate(istio_requests_total[$window]))", "sum(rate(nginx_http_requests_total[$window]))",
        ),
    ),
}  # fmt: skip
"""Histories by metric, as unit and queries: mean response time, cores in use on all nodes, requests per second.

Of the queries the first is taken that has a value at present. They are never mixed in one history.
"""

FORETOLD: Final[Mapping[str, Foretold]] = {
    name: Foretold(query=_first(*queries), unit=unit) for name, (unit, queries) in HISTORIES.items()
}
"""The same, each as a single query, for where several cannot be tried."""


def foretold(target: TargetSpec, name: str) -> Foretold:
    """Return the history of a metric: as the target has it, else as it usually is.

    Raises:
        KeyError: the target does not say, and there is no usual one.
    """
    return target.forecast.metrics.get(name) or FORETOLD[name]


def histories(target: TargetSpec, name: str) -> tuple[Foretold, ...]:
    """Return the histories of a metric of which the first that there is is to be taken.

    Raises:
        KeyError: the target does not say, and there is no usual one.
    """
    if own := target.forecast.metrics.get(name):
        return (own,)
    unit, queries = HISTORIES[name]
    return tuple(Foretold(query=query, unit=unit) for query in queries)


_DISKS: Final = 'device!~"loop.*|ram.*|sr.*"'

RESOURCES: Final[Mapping[str, Resource]] = {
    "CPU": Resource(
        utilization=_first(
            '1 - avg by (instance, node) (rate(node_cpu_seconds_total{mode="idle"}[$window]))',
            'sum by (node) (rate(container_cpu_usage_seconds_total{id="/"}[$window])) '
            "/ sum by (node) (machine_cpu_cores)",
        ),
        saturation=_first(
            "sum by (instance, node) (rate(node_pressure_cpu_waiting_seconds_total[$window]))",
            "clamp_min(sum by (instance, node) (node_load1) "
            '- count by (instance, node) (node_cpu_seconds_total{mode="idle"}), 0)',
        ),
    ),
    "memory": Resource(
        utilization=_first(
            "1 - avg by (instance, node) (node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes)",
            'sum by (node) (container_memory_working_set_bytes{id="/"}) / sum by (node) (machine_memory_bytes)',
        ),
        saturation=_first(
            "sum by (instance, node) (rate(node_pressure_memory_waiting_seconds_total[$window]))",
            "sum by (instance, node) (rate(node_vmstat_pgmajfault[$window]))",
        ),
        errors="sum by (instance, node) (rate(node_vmstat_oom_kill[$window]))",
    ),
    "network": Resource(
        utilization="max by (instance, node) ("
        f"max by (instance, node, device) (rate(node_network_transmit_bytes_total{{{_LINKS}}}[$window])) "
        "/ max by (instance, node, device) (node_network_speed_bytes > 0))",
        saturation=f"sum by (instance, node) (rate(node_network_transmit_drop_total{{{_LINKS}}}[$window]) "
        f"+ rate(node_network_receive_drop_total{{{_LINKS}}}[$window]))",
        errors=f"sum by (instance, node) (rate(node_network_transmit_errs_total{{{_LINKS}}}[$window]) "
        f"+ rate(node_network_receive_errs_total{{{_LINKS}}}[$window]))",
    ),
    "disk": Resource(
        utilization=f"max by (instance, node) (rate(node_disk_io_time_seconds_total{{{_DISKS}}}[$window]))",
        saturation="max by (instance, node) (clamp_min("
        f"rate(node_disk_io_time_weighted_seconds_total{{{_DISKS}}}[$window]) "
        f"- rate(node_disk_io_time_seconds_total{{{_DISKS}}}[$window]), 0))",
        errors="sum by (instance, node) (node_filesystem_device_error)",
    ),
    "GPU": Resource(
        utilization="max by (instance, node, gpu) (avg_over_time(DCGM_FI_DEV_GPU_UTIL[$window])) / 100",
        errors="sum by (instance, node, gpu) (rate(DCGM_FI_DEV_ECC_DBE_VOL_TOTAL[$window]))",
    ),
}  # fmt: skip
"""Resources of the nodes, after Gregg's USE method: utilisation, saturation and errors of each instance."""
