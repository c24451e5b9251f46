"""Configuration of what serves the whole cluster: DNS and Prometheus. Both run beside the API server, as programs."""

import contextlib
import json
import urllib.parse
import urllib.request
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from perfrun.devcluster.exporters import JOBS_OF_NODES, scrape_configs
from perfrun.devcluster.layout import CLUSTER_DOMAIN, Layout
from perfrun.manifests.scraping import relabel

SCRAPE_INTERVAL = "5s"
FIRST_SCRAPE_INTERVAL = "1s"
"""Until everything has been seen once: targets are spread over the interval, and no window may begin before that."""

RETENTION = "7d"


def corefile(layout: Layout, kubeconfig: Path) -> str:
    """CoreDNS for the cluster's own names; every other name is refused, since nothing outside can be reached."""
    return f"""{CLUSTER_DOMAIN}:53 in-addr.arpa:53 {{
    bind {layout.control_plane_ip}
    errors
    kubernetes {CLUSTER_DOMAIN} in-addr.arpa {{
        kubeconfig {kubeconfig}
        pods insecure
        ttl 5
    }}
    prometheus {layout.control_plane_ip}:9153
    cache 5
    loadbalance
}}
"""


def prometheus(layout: Layout, kubeconfig: Path, interval: str = SCRAPE_INTERVAL) -> dict[str, Any]:
    """Prometheus: API server, DNS, kubelets, their cAdvisor, what exporters tell of nodes, and pods that ask for it.

    A pod asks by `prometheus.io/scrape: "true"`, with `prometheus.io/port`, `/path` and `/scheme` as usual, and may
    state its own interval in `perfrun.dev/scrape-interval`.
    """
    pki = layout.pki
    tls = {
        "ca_file": str(pki / "ca.crt"),
        "cert_file": str(pki / "prometheus.crt"),
        "key_file": str(pki / "prometheus.key"),
    }
    secure = {"scheme": "https", "tls_config": tls}

    def discover(role: str) -> list[dict[str, str]]:
        return [{"role": role, "kubeconfig_file": str(kubeconfig)}]

    node = relabel("__meta_kubernetes_node_name", "node")
    address = layout.control_plane_ip
    return {
        "global": {"scrape_interval": interval, "evaluation_interval": interval},
        "scrape_configs": [
            {"job_name": "prometheus", "static_configs": [{"targets": ["127.0.0.1:9090"]}]},
            {"job_name": "coredns", "static_configs": [{"targets": [f"{address}:9153"]}]},
            {"job_name": "apiserver", **secure, "static_configs": [{"targets": [f"{address}:6443"]}]},
            {"job_name": "kubelet", **secure, "kubernetes_sd_configs": discover("node"), "relabel_configs": [node]},
            {
                "job_name": "cadvisor",
                **secure,
                "metrics_path": "/metrics/cadvisor",
                "kubernetes_sd_configs": discover("node"),
                "relabel_configs": [node],
            },
            *_hurried(scrape_configs(str(kubeconfig), interval), interval),
            {
                "job_name": "pods",
                # Small programs serve plain text without saying so.
                "fallback_scrape_protocol": "PrometheusText0.0.4",
                "kubernetes_sd_configs": discover("pod"),
                "relabel_configs": _pod_relabelling(),
            },
        ],
    }


def _hurried(jobs: list[dict[str, Any]], interval: str) -> list[dict[str, Any]]:
    """Jobs with intervals of their own, which go by the first one as all others do."""
    return [{**job, "scrape_interval": interval} if interval == FIRST_SCRAPE_INTERVAL else job for job in jobs]


def _pod_relabelling() -> list[dict[str, Any]]:
    annotation = "__meta_kubernetes_pod_annotation_"
    interval = f"{annotation}perfrun_dev_scrape_interval"
    return [
        {"source_labels": [f"{annotation}prometheus_io_scrape"], "action": "keep", "regex": "true"},
        {"source_labels": ["__meta_kubernetes_pod_phase"], "action": "keep", "regex": "Pending|Running"},
        {"source_labels": ["__meta_kubernetes_pod_container_init"], "action": "drop", "regex": "true"},
        # One target for the annotated port, whatever ports the containers declare.
        {
            "source_labels": ["__meta_kubernetes_pod_ip", f"{annotation}prometheus_io_port"],
            "separator": ":",
            "regex": "(.+:[0-9]+)",
            "target_label": "__address__",
        },
        relabel(f"{annotation}prometheus_io_path", "__metrics_path__", "(.+)"),
        relabel(f"{annotation}prometheus_io_scheme", "__scheme__", "(https?)"),
        relabel(interval, "__scrape_interval__", "([0-9]+m?s)"),
        relabel(interval, "__scrape_timeout__", "([0-9]+m?s)"),
        {"action": "labelmap", "regex": "__meta_kubernetes_pod_label_(app|app_kubernetes_io_.+|perfrun_dev_.+)"},
        relabel("__meta_kubernetes_namespace", "namespace"),
        relabel("__meta_kubernetes_pod_name", "pod"),
        relabel("__meta_kubernetes_pod_node_name", "node"),
    ]


def write(layout: Layout, coredns_kubeconfig: Path, prometheus_kubeconfig: Path) -> None:
    """Write both files under the cluster's root; Prometheus begins with its first interval."""
    (layout.root / "Corefile").write_text(corefile(layout, coredns_kubeconfig))
    _write_prometheus(layout, prometheus(layout, prometheus_kubeconfig, FIRST_SCRAPE_INTERVAL))


def settle(layout: Layout, prometheus_kubeconfig: Path) -> bool:
    """Let Prometheus go on with its usual interval; return whether it took that over."""
    _write_prometheus(layout, prometheus(layout, prometheus_kubeconfig))
    # Only ever an address of the cluster, by http; other schemes are not passed in.
    reload = urllib.request.Request(f"{layout.prometheus_url}/-/reload", method="POST")  # noqa: S310
    with contextlib.suppress(OSError), urllib.request.urlopen(reload, timeout=5) as answer:  # noqa: S310
        return bool(answer.status == HTTPStatus.OK)
    return False


def _write_prometheus(layout: Layout, configuration: dict[str, Any]) -> None:
    (layout.root / "prometheus.yml").write_text(json.dumps(configuration, indent=2))


def sees_all(layout: Layout) -> bool:
    """Whether Prometheus has a first sample of every kubelet, cAdvisor and exporter, and of API server and DNS."""
    query = urllib.parse.urlencode({"query": "count by (job) (up == 1)"})
    url = f"{layout.prometheus_url}/api/v1/query?{query}"
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 -- see settle
        rows = json.load(answer)["data"]["result"]
        return all_seen({row["metric"]["job"]: int(row["value"][1]) for row in rows}, layout.nodes)
    return False


def all_seen(up: Mapping[str, int], nodes: int) -> bool:
    """Whether these numbers of targets that are up, by job, are all that a cluster of so many nodes has."""
    expected = {**dict.fromkeys(("kubelet", "cadvisor", *JOBS_OF_NODES), nodes), "apiserver": 1, "coredns": 1}
    return all(up.get(job, 0) >= count for job, count in expected.items())
