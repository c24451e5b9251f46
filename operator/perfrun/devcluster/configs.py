"""Configuration of kubelet, containerd, CNI and kube-proxy of one node.

Each difference from a stock node is here because several nodes share one kernel, or because a failing node should be
noticed in seconds.
"""

import json
import os
from pathlib import Path
from typing import Any

from perfrun.devcluster.cgroups import is_v1
from perfrun.devcluster.images import BASE_IMAGE
from perfrun.devcluster.layout import CLUSTER_DOMAIN, Layout
from perfrun.devcluster.packages import CNI_PLUGINS

HOST_RUNTIME = "perfrun-host"
MAX_PODS = 110
LOG_SIZE = "1Gi"
# What etcd, API server, Prometheus and the nodes' own programs need is not for pods.
_MEMORY_FOR_PODS = 0.85
EVICTION_BYTES = 100 * 2**20


def write_node(layout: Layout, number: int, base_spec: dict[str, Any], host_mounts: list[Path]) -> None:
    """Write the files that a node's programs read."""
    root = layout.node_root(number)
    (root / "cni").mkdir(parents=True)
    (root / "cni" / "10-perfrun.conflist").write_text(json.dumps(cni(layout, number)))
    (root / "host-runtime.json").write_text(json.dumps(with_mounts(base_spec, host_mounts)))
    (root / "containerd.toml").write_text(containerd(layout, number))
    (root / "kubelet.json").write_text(json.dumps(kubelet(layout, number, os.cpu_count() or 1, memory_bytes())))
    # A pod of DNS policy Default gets a resolver that knows nothing: there is nothing outside to ask.
    (root / "resolv.conf").write_text("options ndots:1\n")


def memory_bytes() -> int:
    """The machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def cni(layout: Layout, number: int) -> dict[str, Any]:
    """Point-to-point links rather than a bridge.

    Between pods of one node a bridge delivers replies directly, past the connection tracking that has to turn a pod's
    address back into the Service's.
    """
    addresses = {
        "type": "host-local",
        "dataDir": str(layout.node_run(number) / "ipam"),
        "ranges": [[{"subnet": str(layout.node_pods(number))}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    return {
        "cniVersion": "1.0.0",
        "name": "perfrun",
        "plugins": [
            {"type": "ptp", "ipMasq": False, "ipam": addresses},
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


def with_mounts(base_spec: dict[str, Any], paths: list[Path]) -> dict[str, Any]:
    """A runtime specification that also shows these paths of the host, read-only and where they are."""
    binds = [
        {"destination": str(path), "type": "bind", "source": str(path), "options": ["bind", "ro", "nosuid", "nodev"]}
        for path in paths
    ]
    return {**base_spec, "mounts": [*base_spec["mounts"], *binds]}


def containerd(layout: Layout, number: int) -> str:
    """The node's containerd."""
    root, run = layout.node_root(number), layout.node_run(number)
    runtimes = "[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes"
    # Raising the OOM score of a container needs no capability, lowering it does, and not every machine grants that.
    return f"""version = 3
root = "{root}/containerd"
state = "{run}/containerd"
[grpc]
address = "{layout.containerd_socket(number)}"
[debug]
level = "warn"
[plugins.'io.containerd.internal.v1.opt']
path = "{root}/opt"
[plugins.'io.containerd.metadata.v1.bolt']
no_sync = true
[plugins.'io.containerd.nri.v1.nri']
disable = true
[plugins.'io.containerd.cri.v1.images']
snapshotter = "overlayfs"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = "{BASE_IMAGE}"
[plugins.'io.containerd.cri.v1.runtime']
restrict_oom_score_adj = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ["{CNI_PLUGINS}"]
conf_dir = "{root}/cni"
{runtimes}.runc]
runtime_type = "io.containerd.runc.v2"
{runtimes}.runc.options]
SystemdCgroup = false
{runtimes}.{HOST_RUNTIME}]
runtime_type = "io.containerd.runc.v2"
base_runtime_spec = "{root}/host-runtime.json"
{runtimes}.{HOST_RUNTIME}.options]
SystemdCgroup = false
"""


def kubelet(layout: Layout, number: int, cpus: int, memory: int) -> dict[str, Any]:
    """The node's kubelet; `cpus` and `memory` (bytes) are the machine's."""
    root, pki = layout.node_root(number), layout.pki
    name = layout.node_name(number)
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(pki / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(pki / f"{name}.crt"),
        "tlsPrivateKeyFile": str(pki / f"{name}.key"),
        "containerRuntimeEndpoint": f"unix://{layout.containerd_socket(number)}",
        "clusterDomain": CLUSTER_DOMAIN,
        "clusterDNS": [str(layout.dns_ip)],
        "resolvConf": str(root / "resolv.conf"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{layout.cgroup}/{name}",
        **({"failCgroupV1": False} if is_v1() else {}),
        "systemReserved": reserved(layout.nodes, cpus, memory),
        "enforceNodeAllocatable": [],
        "evictionHard": {"memory.available": str(EVICTION_BYTES)},
        "maxPods": MAX_PODS,
        "failSwapOn": False,
        "makeIPTablesUtilChains": False,
        "oomScoreAdj": 0,
        # No registry is within reach: a pull that hangs until its connection times out must not hold up the others.
        "serializeImagePulls": False,
        # Images are imported, and nothing could be pulled again.
        "imageGCHighThresholdPercent": 100,
        "podLogsDir": str(root / "logs"),
        # A log is read back from its newest file only, and a server that logs every request of a load test would
        # outgrow the usual 10 MiB in seconds.
        "containerLogMaxSize": LOG_SIZE,
        "containerLogMaxFiles": 2,
        "volumePluginDir": str(root / "volume-plugins"),
        "nodeStatusUpdateFrequency": "1s",
        "nodeStatusReportFrequency": "10s",
        "nodeLeaseDurationSeconds": 4,
        "registerNode": True,
    }


def reserved(nodes: int, cpus: int, memory: int) -> dict[str, str]:
    """What a node must leave to the others, so that the allocatable of all nodes adds up to the machine."""
    share_milli = 1000 * cpus // nodes
    share_bytes = int(memory * _MEMORY_FOR_PODS) // nodes
    return {
        "cpu": f"{1000 * cpus - share_milli}m",
        "memory": str(max(0, memory - share_bytes - EVICTION_BYTES)),
    }


def kube_proxy(layout: Layout, kubeconfig: Path, node: str) -> dict[str, Any]:
    """kube-proxy of one node, or of the control plane, which follows the node that it is told to be."""
    # Connection tracking limits belong to the whole machine: not one node's to set.
    untouched = {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"}
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": str(kubeconfig)},
        "clusterCIDR": str(layout.pods),
        "hostnameOverride": node,
        "conntrack": untouched,
        "nftables": {"minSyncPeriod": "100ms", "syncPeriod": "30s"},
        "oomScoreAdj": 0,
    }
