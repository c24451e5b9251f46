"""What is told of each node beside its kubelet: the kernel's counters, and how long the way to it takes.

Their intervals are those that `features/system_performance.feature` asks for: 15 s for CPU and memory, 5 s for latency
and throughput, 1 s for errors. All nodes share one kernel, so CPU and memory are the machine's on each of them; what
the network counts is the node's own.
"""

import json
from collections.abc import Callable
from typing import Any

from perfrun.devcluster.layout import CONTROL_PLANE, Layout
from perfrun.devcluster.packages import BLACKBOX_EXPORTER, NODE_EXPORTER
from perfrun.devcluster.processes import Programs

JOBS_OF_NODES = ("node", "node-network", "node-errors", "latency")
"""Jobs that have one target on each node."""

_NODE_PORT = 9100
_BLACKBOX = "127.0.0.1:9115"
_SLOW = ("cpu", "loadavg", "meminfo", "pressure", "softnet", "stat", "uname", "vmstat", "diskstats")
_NETWORK = ("netdev", "netstat")
_ERRORS = "node_network_(receive|transmit)_(errs|drop)_total|node_netstat_(Tcp_(InErrs|RetransSegs)|Udp_InErrors)"

Discover = Callable[[str], list[dict[str, str]]]
Every = Callable[[str], dict[str, str]]


def write(layout: Layout) -> None:
    """Write what the prober reads."""
    (layout.root / "blackbox.json").write_text(json.dumps(modules(), indent=2))


def modules() -> dict[str, Any]:
    """How a node's address and a Service's port are probed."""
    return {
        "modules": {
            "ping": {"prober": "icmp", "icmp": {"preferred_ip_protocol": "ip4"}},
            "http": {"prober": "http", "http": {"preferred_ip_protocol": "ip4"}},
        }
    }


def start_on_node(programs: Programs, layout: Layout, number: int) -> None:
    """Start what reads a node's counters, with the collectors that are scraped and no other."""
    name = layout.node_name(number)
    programs.start(
        f"node-exporter-{name}",
        name,
        NODE_EXPORTER,
        f"--web.listen-address={layout.node_ip(number)}:{_NODE_PORT}",
        "--collector.disable-defaults",
        *(f"--collector.{collector}" for collector in (*_SLOW, *_NETWORK)),
        # A pod's end of a link says nothing of the node, and there are up to a hundred of them.
        # Debian leaves `lo` out by default, which excludes an --include.
        "--collector.netdev.device-exclude=",
        "--collector.netdev.device-include=^eth0$",
        "--log.level=warn",
    )


def start_prober(programs: Programs, layout: Layout) -> None:
    """Start what measures the way from the control plane to each node, and to Services that ask for it."""
    programs.start(
        "blackbox-exporter",
        CONTROL_PLANE,
        BLACKBOX_EXPORTER,
        f"--config.file={layout.root / 'blackbox.json'}",
        f"--web.listen-address={_BLACKBOX}",
        "--log.level=warn",
    )


def scrape_configs(discover: Discover, every: Every) -> list[dict[str, Any]]:
    """Prometheus' jobs for them; `every` gives what a job says of its interval.

    A Service asks to be probed by `prometheus.io/probe: "true"`, with `prometheus.io/path` where that is not /.
    """
    return [
        _of_node("node", every("15s"), discover, _SLOW, []),
        _of_node("node-network", every("5s"), discover, _NETWORK, [_by_name("drop")]),
        _of_node("node-errors", every("1s"), discover, _NETWORK, [_by_name("keep")]),
        {
            "job_name": "latency",
            **every("5s"),
            **_probe("ping"),
            "kubernetes_sd_configs": discover("node"),
            "relabel_configs": [
                relabel("__meta_kubernetes_node_address_InternalIP", "__param_target"),
                relabel("__meta_kubernetes_node_name", "node"),
                relabel("__meta_kubernetes_node_name", "instance"),
                {"target_label": "__address__", "replacement": _BLACKBOX},
            ],
        },
        {
            "job_name": "services",
            **every("5s"),
            **_probe("http"),
            "kubernetes_sd_configs": discover("service"),
            "relabel_configs": _service_relabelling(),
        },
    ]


def _of_node(
    job: str, every: dict[str, str], discover: Discover, collectors: tuple[str, ...], kept: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "job_name": job,
        **every,
        "params": {"collect[]": list(collectors)},
        "kubernetes_sd_configs": discover("node"),
        "relabel_configs": [
            relabel("__meta_kubernetes_node_address_InternalIP", "__address__", "(.+)", f"$1:{_NODE_PORT}"),
            relabel("__meta_kubernetes_node_name", "node"),
        ],
        # Each series belongs to one job, so that none is there twice at different intervals.
        "metric_relabel_configs": kept,
    }


def _by_name(action: str) -> dict[str, Any]:
    return {"source_labels": ["__name__"], "regex": _ERRORS, "action": action}


def _probe(module: str) -> dict[str, Any]:
    return {"metrics_path": "/probe", "params": {"module": [module]}}


def _service_relabelling() -> list[dict[str, Any]]:
    service = "__meta_kubernetes_service"
    annotation = f"{service}_annotation_prometheus_io"
    return [
        {"source_labels": [f"{annotation}_probe"], "action": "keep", "regex": "true"},
        {
            "source_labels": [f"{service}_cluster_ip", f"{service}_port_number", f"{annotation}_path"],
            "separator": ";",
            "regex": "([^;]+);([0-9]+);(.*)",
            "target_label": "__param_target",
            "replacement": "http://$1:$2$3",
        },
        relabel("__meta_kubernetes_namespace", "namespace"),
        relabel(f"{service}_name", "service"),
        relabel(f"{service}_name", "instance"),
        {"target_label": "__address__", "replacement": _BLACKBOX},
    ]


def relabel(source: str, target: str, regex: str = "(.*)", replacement: str = "$1") -> dict[str, Any]:
    """A rule that writes one label into another."""
    return {"source_labels": [source], "regex": regex, "target_label": target, "replacement": replacement}
