"""Where everything of one cluster is: names, addresses and paths, all derived from four values.

Nothing here is discovered or stored, so that `down` can find what a killed `up` made without having been told.
"""

import os
import re
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import attrs

from perfrun.devcluster.errors import DevClusterError

# RFC 2544 set this range aside for benchmarking: no network that the machine has to reach uses it.
SLOTS = tuple(IPv4Network("198.18.0.0/15").subnets(new_prefix=18))
MAX_NODES = 64
RUN = Path("/run/perfrun")
"""Inside the cluster's own mount namespace: sockets and etcd, in memory, with paths short enough for sockets."""

CONTROL_PLANE = "control-plane"
CLUSTER_DOMAIN = "cluster.local"
DEFAULT_NAME = "perfrun"
_NAME = re.compile(r"[a-z]([a-z0-9-]{0,18}[a-z0-9])?")
# A UNIX socket's path ends at 107 bytes, and the kubelet puts some below its root directory.
_LONGEST_STATE_PATH = 48


@attrs.frozen
class Layout:
    """The names, addresses and paths of one cluster."""

    name: str
    slot: int
    nodes: int
    state_root: Path

    @property
    def root(self) -> Path:
        """The cluster's directory; `down` removes it."""
        return cluster_root(self.state_root, self.name)

    @property
    def pki(self) -> Path:
        """Keys and certificates."""
        return self.root / "pki"

    @property
    def logs(self) -> Path:
        """One file for each program."""
        return self.root / "logs"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig, usable from the host."""
        return self.root / "kubeconfig"

    @property
    def host_link(self) -> str:
        """The host's end of the only link into the cluster."""
        return f"perfrun{self.slot}"

    @property
    def cgroup(self) -> str:
        """The cgroup of all pods, below every hierarchy's root; unique on the machine because the slot is."""
        return f"perfrun{self.slot}-{self.name}"

    @property
    def network(self) -> IPv4Network:
        """All addresses of this cluster."""
        return SLOTS[self.slot]

    @property
    def node_network(self) -> IPv4Network:
        """Control plane, nodes and the host's end."""
        return IPv4Network((self.network.network_address, 24))

    @property
    def services(self) -> IPv4Network:
        """ClusterIPs."""
        return IPv4Network((self.network.network_address + 4096, 20))

    @property
    def pods(self) -> IPv4Network:
        """The pods of all nodes."""
        return IPv4Network((self.network.network_address + 8192, 19))

    @property
    def control_plane_ip(self) -> IPv4Address:
        """API server, Prometheus and DNS."""
        return self.node_network[1]

    @property
    def host_ip(self) -> IPv4Address:
        """The host, as the cluster sees it."""
        return self.node_network[254]

    @property
    def api_service_ip(self) -> IPv4Address:
        """The Service `kubernetes`."""
        return self.services[1]

    @property
    def dns_ip(self) -> IPv4Address:
        """The Service `kube-dns`."""
        return self.services[10]

    @property
    def server(self) -> str:
        """The API server's URL."""
        return f"https://{self.control_plane_ip}:6443"

    @property
    def prometheus_url(self) -> str:
        """Prometheus, from the host."""
        return f"http://{self.control_plane_ip}:9090"

    @property
    def node_numbers(self) -> range:
        """1 to N."""
        return range(1, self.nodes + 1)

    def node_name(self, number: int) -> str:
        """The node's name in Kubernetes; also its network namespace."""
        return f"node{number}"

    def node_ip(self, number: int) -> IPv4Address:
        """The node's address."""
        return self.node_network[10 + number]

    def node_pods(self, number: int) -> IPv4Network:
        """The range of one node's pods: 126 addresses, for at most 110 pods."""
        return IPv4Network((self.pods.network_address + 128 * (number - 1), 25))

    def node_root(self, number: int) -> Path:
        """What a node stores."""
        return self.root / "nodes" / self.node_name(number)

    def node_run(self, number: int) -> Path:
        """A node's sockets, inside the cluster's mount namespace."""
        return RUN / self.node_name(number)

    def containerd_socket(self, number: int) -> Path:
        """The node's containerd, inside the cluster's mount namespace."""
        return self.node_run(number) / "containerd.sock"


def state_root() -> Path:
    """`$PERFRUN_STATE`, or `/var/lib/perfrun`.

    Raises:
        DevClusterError: a path that sockets or the cluster's own /run cannot live with.
    """
    root = Path(os.environ.get("PERFRUN_STATE") or "/var/lib/perfrun").absolute()
    if root.is_relative_to("/run") or len(str(root)) > _LONGEST_STATE_PATH:
        raise DevClusterError(
            f"PERFRUN_STATE is {root}: it has to be at most {_LONGEST_STATE_PATH} characters long and outside /run, "
            "for example /var/lib/perfrun"
        )
    return root


def cluster_root(root: Path, name: str) -> Path:
    """The directory of the named cluster."""
    return root / "dev" / name


def checked_name(name: str) -> str:
    """The name itself.

    Raises:
        DevClusterError: it cannot be part of cgroup and file names.
    """
    if not _NAME.fullmatch(name):
        raise DevClusterError(
            f"cluster name {name!r}: expected a lower-case letter, then letters, digits or dashes, 20 at most"
        )
    return name


def checked_nodes(nodes: int) -> int:
    """The number of nodes itself.

    Raises:
        DevClusterError: none, or more than the address range has room for.
    """
    if not 1 <= nodes <= MAX_NODES:
        raise DevClusterError(f"--nodes {nodes}: expected 1 to {MAX_NODES}")
    return nodes
