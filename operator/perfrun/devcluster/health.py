"""Whether a cluster works, asked of the cluster itself rather than remembered."""

from typing import Any

import attrs

from perfrun.devcluster.api import ApiClient, node_ready
from perfrun.devcluster.probes import answers
from perfrun.devcluster.state import ClusterState


@attrs.frozen
class NodeHealth:
    """One node, as the API server sees it."""

    name: str
    ready: bool
    cpu_milli: int
    memory_bytes: int
    gpus: int


@attrs.frozen
class ClusterHealth:
    """Whether a cluster works."""

    running: bool
    api_ready: bool
    prometheus_ready: bool
    nodes: tuple[NodeHealth, ...]

    def healthy(self, expected_nodes: int) -> bool:
        """Whether everything that `up` waits for is there."""
        ready = sum(node.ready for node in self.nodes)
        return self.running and self.api_ready and self.prometheus_ready and ready == expected_nodes == len(self.nodes)


def look(found: ClusterState) -> ClusterHealth:
    """Ask the cluster, without waiting for it."""
    layout = found.layout
    if not found.running or not layout.kubeconfig.exists():
        return ClusterHealth(running=found.running, api_ready=False, prometheus_ready=False, nodes=())
    client = ApiClient.from_kubeconfig(layout.kubeconfig)
    nodes = sorted((_node(item) for item in client.nodes()), key=lambda node: (len(node.name), node.name))
    return ClusterHealth(
        running=True,
        api_ready=client.ready(),
        prometheus_ready=answers(f"{layout.prometheus_url}/-/ready"),
        nodes=tuple(nodes),
    )


def _node(item: dict[str, Any]) -> NodeHealth:
    allocatable = item.get("status", {}).get("allocatable", {})
    cpu = allocatable.get("cpu", "0")
    memory = allocatable.get("memory", "0")
    return NodeHealth(
        name=item["metadata"]["name"],
        ready=node_ready(item),
        cpu_milli=int(cpu[:-1]) if cpu.endswith("m") else 1000 * int(cpu),
        memory_bytes=1024 * int(memory[:-2]) if memory.endswith("Ki") else int(memory),
        gpus=int(allocatable.get("nvidia.com/gpu", "0")),
    )
