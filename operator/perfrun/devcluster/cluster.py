"""The development cluster as a library (`up`, `down`, `info`, `load_image`), for commands, tests and the demo."""

import contextlib
import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import attrs

from perfrun.devcluster import images, network, packages, state, supervisor, teardown, tools
from perfrun.devcluster.bringup import Order
from perfrun.devcluster.errors import DevClusterError
from perfrun.devcluster.health import ClusterHealth, look
from perfrun.devcluster.layout import DEFAULT_NAME, RUN, Layout, checked_name, checked_nodes, cluster_root, state_root
from perfrun.devcluster.processes import last_line
from perfrun.devcluster.state import ClusterState, ProcessId

Report = Callable[[str], None]
_FOLLOW_SECONDS = 0.03
_PROGRAMS = {
    "perfrun_kernels.load": "loads",
    "perfrun_kernels.network": "measuring the container network",
    "perfrun_kernels.spike": "looking for latency spikes",
}
"""Modules that build a program and print its path, and what there will not be without it."""


@attrs.frozen
class ClusterInfo:
    """How to reach a cluster."""

    name: str
    nodes: int
    kubeconfig: Path
    server: str
    prometheus_url: str
    bin_dir: Path
    created: float

    @property
    def kubectl(self) -> Path:
        """The kubectl of the cluster's own version."""
        return self.bin_dir / "kubectl"

    @property
    def helm(self) -> Path:
        """Helm."""
        return self.bin_dir / "helm"


def up(
    name: str = DEFAULT_NAME,
    nodes: int = 3,
    report: Report = print,
    gpu_capacity: Mapping[str, int] | None = None,
) -> ClusterInfo:
    """Bring a cluster up and wait until it can be used; one that is up already is left as it is.

    `gpu_capacity` maps node names to GPUs that exist for the scheduler only.

    Raises:
        DevClusterError: bad arguments, something missing on this machine, or a part that does not come up.
    """
    root = state_root()
    gpus = dict(gpu_capacity or {})
    layout = Layout(name=checked_name(name), slot=0, nodes=checked_nodes(nodes), state_root=root)
    _check_gpus(layout, gpus)
    packages.ensure(report)
    bin_dir = tools.ensure(report)
    _build_programs(report)
    with state.locked(root, name):
        found = state.load(root, name)
        if found is not None and found.running:
            return _reuse(found, nodes, gpus, report)
        if cluster_root(root, name).exists():
            report(f"clearing what an earlier cluster {name!r} left")
            teardown.clear(root, name)
        return _start(layout, bin_dir, gpus, report)


def _build_programs(report: Report) -> None:
    """Build the programs of benchmark pods beside this interpreter, for pods run from it and can write nowhere."""
    for module, lost in _PROGRAMS.items():
        command = [sys.executable, "-m", module]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        if answer.returncode != 0:
            said = answer.stderr.strip().splitlines()
            report(f"{lost} will not work here: {said[-1] if said else f'{module} could not build its program'}")


def _check_gpus(layout: Layout, gpus: dict[str, int]) -> None:
    known = [layout.node_name(number) for number in layout.node_numbers]
    for node, count in gpus.items():
        if node not in known or count < 1:
            raise DevClusterError(
                f"--gpu-capacity {node}={count}: expected one of {known[0]} to {known[-1]} and at least 1"
            )


def _reuse(found: ClusterState, nodes: int, gpus: dict[str, int], report: Report) -> ClusterInfo:
    name, has = found.layout.name, found.layout.nodes
    if has != nodes or (gpus and gpus != found.gpu_capacity):
        raise DevClusterError(
            f"cluster {name!r} is up with {has} nodes and GPUs {found.gpu_capacity or 'none'}, which cannot change: "
            f"run `perfrun dev down --name {name}` first, or choose another --name"
        )
    _follow(found, report=lambda _: None)
    if not look(found).healthy(nodes):
        report(f"cluster {name!r} runs but is not healthy: waiting for it")
        _wait_until_healthy(found)
    report(f"cluster {name!r} is already up with {nodes} nodes")
    return _info(found)


def _wait_until_healthy(found: ClusterState) -> None:
    deadline = time.monotonic() + 60
    while not look(found).healthy(found.layout.nodes):
        if time.monotonic() > deadline:
            name = found.layout.name
            raise DevClusterError(
                f"cluster {name!r} has not been healthy for 60 s: `perfrun dev status --name {name}` shows what fails, "
                f"the logs are in {found.layout.logs}, and `perfrun dev down --name {name}` clears it"
            )
        time.sleep(0.5)


def _start(layout: Layout, bin_dir: Path, gpus: dict[str, int], report: Report) -> ClusterInfo:
    started = _launch(layout, bin_dir, gpus)
    try:
        _follow(started, report)
    except KeyboardInterrupt:
        report("interrupted: taking down what was made")
        teardown.clear(layout.state_root, layout.name)
        raise
    except DevClusterError:
        # Files stay, since the logs say why; everything that could disturb the machine goes.
        teardown.end_processes(started)
        raise
    return _info(started)


def _launch(layout: Layout, bin_dir: Path, gpus: dict[str, int]) -> ClusterState:
    root = layout.state_root
    with state.locked(root, "slots"):
        others = [found.layout.slot for name in state.names(root) if (found := state.load(root, name)) is not None]
        layout = attrs.evolve(layout, slot=network.free_slot(set(others)))
        layout.logs.mkdir(parents=True)
        with (layout.logs / "supervisor.log").open("ab") as log:
            process = subprocess.Popen(
                supervisor.command(), stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True, cwd="/"
            )
        holder = ProcessId.of(process.pid)
        if holder is None or process.stdin is None:
            raise DevClusterError(f"the cluster's first process did not start: see {layout.logs / 'supervisor.log'}")
        started = ClusterState(layout=layout, holder=holder, created=time.time(), gpu_capacity=gpus, bin_dir=bin_dir)
        started.save()
    # Only now may it begin: what it makes can be found again.
    with contextlib.suppress(BrokenPipeError), process.stdin as order:
        order.write(supervisor.encode(Order(layout=layout, bin_dir=bin_dir, gpu_capacity=gpus)))
    return started


def _follow(started: ClusterState, report: Report) -> None:
    """Show the bring-up's progress until it ends."""
    path, seen = started.layout.root / "events.jsonl", 0
    while True:
        # Looked at before the events, so that the last words of a process that ended are read.
        alive = started.running
        events = state.read_events(path, seen)
        seen += len(events)
        for event in events:
            if _finished(event, started, report):
                return
        if not alive:
            last = last_line(started.layout.logs / "supervisor.log")
            raise DevClusterError(f"cluster {started.layout.name!r} was taken down or killed while it came up: {last}")
        time.sleep(_FOLLOW_SECONDS)


def _finished(event: dict[str, Any], started: ClusterState, report: Report) -> bool:
    if "failed" in event:
        name = started.layout.name
        raise DevClusterError(
            f"cluster {name!r} did not come up: {event['failed']}; `perfrun dev down --name {name}` clears it"
        )
    if "step" in event:
        report(f"{event['seconds']:6.1f} s  {event['step']}")
    return "ready" in event


def down(name: str = DEFAULT_NAME) -> bool:
    """Take a cluster down, whatever state it is in; return whether there was one.

    Raises:
        DevClusterError: bad name, or something that does not go away.
    """
    root = state_root()
    if not cluster_root(root, checked_name(name)).exists():
        return False
    found = state.load(root, name)
    if found is not None:
        # An `up` in progress holds the lock until its cluster ends.
        teardown.end_processes(found)
    with state.locked(root, name):
        teardown.clear(root, name)
    (root / "dev" / f".{name}.lock").unlink(missing_ok=True)
    return True


def names() -> list[str]:
    """All clusters that left something here, running or not."""
    return state.names(state_root())


def info(name: str = DEFAULT_NAME) -> ClusterInfo:
    """How to reach a running cluster.

    Raises:
        DevClusterError: there is none of that name.
    """
    return _info(_running(name))


def health(name: str = DEFAULT_NAME) -> ClusterHealth:
    """Whether the cluster works, without waiting for it.

    Raises:
        DevClusterError: there is none of that name.
    """
    found = state.load(state_root(), checked_name(name))
    if found is None:
        raise _no_cluster(name)
    return look(found)


def _running(name: str) -> ClusterState:
    found = state.load(state_root(), checked_name(name))
    if found is None or not found.running:
        raise _no_cluster(name)
    return found


def _no_cluster(name: str) -> DevClusterError:
    others = ", ".join(names()) or "none"
    return DevClusterError(
        f"no development cluster {name!r} is up (known here: {others}): start it with `perfrun dev up --name {name}`"
    )


def _info(found: ClusterState) -> ClusterInfo:
    layout = found.layout
    return ClusterInfo(
        name=layout.name,
        nodes=layout.nodes,
        kubeconfig=layout.kubeconfig,
        server=layout.server,
        prometheus_url=layout.prometheus_url,
        bin_dir=found.bin_dir,
        created=found.created,
    )


def load_image(archive: Path, name: str = DEFAULT_NAME, report: Report = print) -> list[str]:
    """Import an OCI or Docker archive into every node; return the names by which pods can ask for its images.

    Raises:
        DevClusterError: no such cluster or file, or an archive that containerd refuses.
    """
    found = _running(name)
    try:
        references = images.archive_references(archive)
    except (OSError, KeyError, ValueError, tarfile.TarError) as error:
        raise DevClusterError(
            f"{archive}: {error}; expected an OCI or Docker image archive, such as `docker save` writes"
        ) from error
    inside = _enter(found)
    ctr = found.bin_dir / "ctr"

    def into(number: int) -> None:
        with archive.open("rb") as content:
            command = images.import_command(ctr, RUN / found.layout.node_name(number) / "containerd.sock")
            answer = subprocess.run([*inside, *command], stdin=content, capture_output=True, text=True, check=False)
        if answer.returncode != 0:
            raise DevClusterError(f"{archive} could not be imported into node{number}: {answer.stderr.strip()}")

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as executor:
        list(executor.map(into, found.layout.node_numbers))
    report(f"imported into {found.layout.nodes} nodes: {', '.join(references) or 'images without a name'}")
    return references


def _enter(found: ClusterState) -> list[str]:
    first = found.holder.children()
    if not first:
        raise _no_cluster(found.layout.name)
    nsenter = shutil.which("nsenter", path=packages.SYSTEM_PATH) or "nsenter"
    return [nsenter, f"--target={first[0].pid}", "--mount", "--pid", "--"]
