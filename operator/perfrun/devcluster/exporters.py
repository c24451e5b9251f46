"""What is told of each node beside its kubelet: the kernel's counters, and how long the way to it takes.

All nodes share one kernel, so CPU and memory are the machine's on each of them; what the network counts is the node's
own.
"""

import json
from typing import Any

from perfrun.devcluster.layout import CONTROL_PLANE, Layout
from perfrun.devcluster.packages import BLACKBOX_EXPORTER, NODE_EXPORTER
from perfrun.devcluster.processes import Programs
from perfrun.manifests import scraping
from perfrun.manifests.scraping import NETWORK, NODE_PORT, PING, SLOW, Surroundings, relabel

JOBS_OF_NODES = ("node", "node-network", "node-errors", "latency")
"""Jobs that have one target on each node."""

_PROBER = "127.0.0.1:9115"
_ROWS = [row for row in scraping.USUAL if row.name != scraping.GPU]
"""There are GPUs for scheduling only."""


def write(layout: Layout) -> None:
    """Write what the prober reads."""
    (layout.root / "blackbox.json").write_text(json.dumps(modules(), indent=2))


def modules() -> dict[str, Any]:
    """How a node's address and a Service's port are probed."""
    return {
        "modules": {
            PING: {"prober": "icmp", "icmp": {"preferred_ip_protocol": "ip4"}},
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
        f"--web.listen-address={layout.node_ip(number)}:{NODE_PORT}",
        "--collector.disable-defaults",
        *(f"--collector.{collector}" for collector in (*SLOW, *NETWORK)),
        # Asked of the node's own network: what is mounted at /sys shows the machine's.
        "--collector.netclass.netlink",
        # A pod's end of a link says nothing of the node, and there are up to a hundred of them.
        "--collector.netclass.ignored-devices=^(lo|veth.*)$",
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
        f"--web.listen-address={_PROBER}",
        "--log.level=warn",
    )


def scrape_configs(kubeconfig: str, interval: str) -> list[dict[str, Any]]:
    """Prometheus' jobs for them: what is recorded of nodes, and Services that ask to be probed every ``interval``.

    A Service asks by `prometheus.io/probe: "true"`, with `prometheus.io/path` where that is not /.
    """
    discovery = {"kubeconfig_file": kubeconfig}
    return [
        *scraping.jobs(_ROWS, Surroundings(prober=_PROBER, prefix="", discovery=discovery)),
        {
            "job_name": "services",
            "scrape_interval": interval,
            "metrics_path": "/probe",
            "params": {"module": ["http"]},
            "kubernetes_sd_configs": [{"role": "service", **discovery}],
            "relabel_configs": _service_relabelling(),
        },
    ]


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
        {"target_label": "__address__", "replacement": _PROBER},
    ]
