"""The order in which a cluster comes up: as much at once as possible, each part waiting only for what it needs."""

import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import attrs

from perfrun.devcluster import (
    addons,
    cgroups,
    configs,
    controlplane,
    exporters,
    images,
    monitoring,
    mounts,
    network,
    pki,
)
from perfrun.devcluster.api import ApiClient, node_ready
from perfrun.devcluster.errors import DevClusterError
from perfrun.devcluster.layout import CLUSTER_DOMAIN, CONTROL_PLANE, RUN, Layout
from perfrun.devcluster.packages import BUSYBOX
from perfrun.devcluster.probes import accepts, answers, resolves
from perfrun.devcluster.processes import Programs
from perfrun.devcluster.state import Events

_USERS = ("controller-manager", "scheduler", "kube-proxy", "coredns", "prometheus")
_STEP_SECONDS = 180.0
_POLL_SECONDS = 0.05


@attrs.frozen
class Order:
    """What to bring up."""

    layout: Layout
    bin_dir: Path
    gpu_capacity: dict[str, int]


class BringUp:
    """One cluster's bring-up, inside the cluster's own namespaces."""

    def __init__(self, order: Order, programs: Programs, events: Events) -> None:
        self._order = order
        self._layout = order.layout
        self._programs = programs
        self._events = events

    def run(self) -> None:
        """Bring everything up and wait until it answers.

        Raises:
            DevClusterError: a part does not come up.
            subprocess.CalledProcessError: the kernel or a system program refused.
        """
        layout = self._layout
        with ThreadPoolExecutor(max_workers=8) as executor:
            self._prepare(executor)
            controlplane.start_etcd(self._programs, layout)
            controlplane.start_api_server(self._programs, layout)
            archive = RUN / "base.tar"
            archive.write_bytes(images.base_image(BUSYBOX.read_bytes()))
            with ThreadPoolExecutor(max_workers=layout.nodes) as nodes:
                runtimes = [nodes.submit(self._start_runtime, number, archive) for number in layout.node_numbers]
                client = self._wait_for_api()
                controlplane.start_controllers(self._programs, layout, self._kubeconfigs)
                addons.apply(client, layout)
                joined = [
                    nodes.submit(self._start_kubelet, *pair) for pair in zip(layout.node_numbers, runtimes, strict=True)
                ]
                for node in joined:
                    node.result()
            self._join(client)
            controlplane.start_services(self._programs, layout, monitoring.RETENTION)
            for number in layout.node_numbers:
                exporters.start_on_node(self._programs, layout, number)
            exporters.start_prober(self._programs, layout)
            self._finish(client)

    @property
    def _kubeconfigs(self) -> Path:
        return self._layout.root / "kubeconfigs"

    def _prepare(self, executor: ThreadPoolExecutor) -> None:
        layout = self._layout
        mounts.raise_inotify_limits()
        mounts.create(layout)
        nodes = [layout.node_name(number) for number in layout.node_numbers]
        certificates = executor.submit(pki.create, layout, executor)
        cgroups.create(layout.cgroup, nodes)
        network.create(layout, executor)
        self._events.step("network and cgroups made")
        certificates.result()
        self._kubeconfigs.mkdir(mode=0o700)
        for user in (*_USERS, *nodes):
            pki.write_kubeconfig(layout, user, self._kubeconfigs / user)
        pki.write_kubeconfig(layout, "admin", layout.kubeconfig)
        monitoring.write(layout, self._kubeconfigs / "coredns", self._kubeconfigs / "prometheus")
        exporters.write(layout)
        proxy = configs.kube_proxy(layout, self._kubeconfigs / "kube-proxy", layout.node_name(1))
        (layout.root / f"kube-proxy-{CONTROL_PLANE}.json").write_text(json.dumps(proxy))
        self._events.step("certificates made")

    def _start_runtime(self, number: int, archive: Path) -> None:
        layout, name = self._layout, self._layout.node_name(number)
        ctr = self._order.bin_dir / "ctr"
        spec = json.loads(subprocess.run([ctr, "oci", "spec"], check=True, capture_output=True, text=True).stdout)
        (layout.node_run(number) / "kubelet").mkdir(parents=True)
        configs.write_node(layout, number, spec, host_mounts())
        proxy = configs.kube_proxy(layout, self._kubeconfigs / "kube-proxy", name)
        (layout.node_root(number) / "kube-proxy.json").write_text(json.dumps(proxy))
        configuration = layout.node_root(number) / "containerd.toml"
        self._programs.start(f"containerd-{name}", name, "containerd", "--config", str(configuration))
        socket_path = layout.containerd_socket(number)
        self._wait(f"containerd of {name}", lambda: accepts(socket_path))
        command = images.import_command(ctr, socket_path, str(archive))
        subprocess.run(command, check=True, capture_output=True, text=True)

    def _start_kubelet(self, number: int, runtime: "Future[None]") -> None:
        runtime.result()
        layout, name, root = self._layout, self._layout.node_name(number), self._layout.node_root(number)
        self._programs.start(
            f"kubelet-{name}",
            name,
            "kubelet",
            f"--config={root / 'kubelet.json'}",
            f"--kubeconfig={self._kubeconfigs / name}",
            f"--hostname-override={name}",
            f"--node-ip={layout.node_ip(number)}",
            f"--root-dir={root / 'kubelet'}",
            f"--cert-dir={root / 'kubelet-certificates'}",
            f"--node-labels=topology.kubernetes.io/zone=zone-{number}",
            before=mounts.on_node(layout, number),
        )

    def _wait_for_api(self) -> ApiClient:
        client = ApiClient.from_kubeconfig(self._layout.kubeconfig)
        self._wait("the API server", client.ready)
        self._events.step(f"API server ready at {self._layout.server}")
        return client

    def _join(self, client: ApiClient) -> None:
        """Wait for all nodes, and start each kube-proxy once its node is known: it looks only once a second itself."""
        layout = self._layout
        proxied: set[str] = set()

        def all_ready() -> bool:
            nodes = client.nodes()
            for name in sorted({node["metadata"]["name"] for node in nodes} - proxied):
                if not proxied:
                    self._start_proxy(CONTROL_PLANE, layout.root / f"kube-proxy-{CONTROL_PLANE}.json")
                self._start_proxy(name, layout.root / "nodes" / name / "kube-proxy.json")
                proxied.add(name)
            return len(nodes) == layout.nodes and all(node_ready(node) for node in nodes)

        self._wait(f"{layout.nodes} nodes to be Ready", all_ready)
        self._events.step(f"{layout.nodes} nodes Ready")

    def _start_proxy(self, namespace: str, configuration: Path) -> None:
        self._programs.start(f"kube-proxy-{namespace}", namespace, "kube-proxy", f"--config={configuration}")

    def _finish(self, client: ApiClient) -> None:
        layout, gpus = self._layout, self._order.gpu_capacity
        addons.label_workers(client, layout)
        self._wait("the service account `default`", lambda: addons.default_account_exists(client))
        self._events.step("service account `default` exists")
        self._wait("cluster DNS", lambda: resolves(str(layout.dns_ip), f"kubernetes.default.svc.{CLUSTER_DOMAIN}"))
        self._events.step("cluster DNS answers")
        addresses = [layout.control_plane_ip, *(layout.node_ip(number) for number in layout.node_numbers)]
        for address in addresses:
            self._wait(f"kube-proxy at {address}", partial(answers, f"http://{address}:10256/healthz"))
        self._events.step("Services routed on every node")
        self._wait("Prometheus", lambda: answers(f"{layout.prometheus_url}/-/ready"))
        self._wait("Prometheus to see every node", lambda: monitoring.sees_all(layout))
        self._wait("Prometheus to reload", lambda: monitoring.settle(layout, self._kubeconfigs / "prometheus"))
        self._events.step(f"Prometheus sees every node, at {layout.prometheus_url}")
        if gpus:
            addons.add_gpus(client, gpus)
            self._wait("the kubelets to offer the GPUs", lambda: addons.gpus_allocatable(client, gpus))
            self._events.step(
                f"GPUs for scheduling only: {', '.join(f'{node}={count}' for node, count in gpus.items())}"
            )

    def _wait(self, what: str, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _STEP_SECONDS
        while not condition():
            self._programs.check()
            if time.monotonic() > deadline:
                raise DevClusterError(f"waited {_STEP_SECONDS:.0f} s for {what}: see the logs in {self._layout.logs}")
            time.sleep(_POLL_SECONDS)


def host_mounts() -> list[Path]:
    """What pods of the host runtime see: the system's libraries, this Python, its packages and our sources."""
    wanted = [Path(path) for path in ("/usr", "/lib", "/lib64", "/etc/ssl/certs", sys.base_prefix, sys.prefix)]
    for package in ("perfrun", "perfrun_kernels"):
        specification = importlib.util.find_spec(package)
        if specification is not None and specification.origin is not None:
            wanted.append(Path(specification.origin).parent.parent)
    return outermost([path for path in wanted if path.is_dir()])


def outermost(paths: list[Path]) -> list[Path]:
    """The paths that lie within no other of them: a second mount inside the first would find no place to stand on."""
    unique = sorted(set(paths))
    return [path for path in unique if not any(path != other and path.is_relative_to(other) for other in unique)]
