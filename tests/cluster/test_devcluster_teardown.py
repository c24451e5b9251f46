"""Whatever happens to a cluster or to the command that makes it, `down` leaves the machine as it was."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest

from perfrun.devcluster import cluster, state
from perfrun.devcluster.layout import SLOTS, Layout, state_root
from perfrun.devcluster.state import ProcessId

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.cluster


@pytest.fixture
def name() -> Iterator[str]:
    name = f"test-c{os.getpid()}"
    yield name
    cluster.down(name)


@attrs.frozen
class Traces:
    """Everything by which the kernel knows a cluster."""

    namespaces: frozenset[str]
    cgroup: str
    link: str
    root: str

    @classmethod
    def of(cls, found: state.ClusterState) -> Traces:
        """What a running cluster has, apart from what the host has itself."""
        own = frozenset(namespaces(os.getpid()))
        inside = {pid for pid in pids() if in_cluster(pid, found)}
        used = frozenset(namespace for pid in inside for namespace in namespaces(pid)) - own
        return cls(used, found.layout.cgroup, found.layout.host_link, str(found.layout.root))

    def left(self) -> list[str]:
        """What of it is still there."""
        processes = [f"process {pid}" for pid in pids() if self.namespaces & set(namespaces(pid))]
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        pinned = [mount for mount in mounts if self.root in mount or any(space in mount for space in self.namespaces)]
        cgroups = [str(path) for path in Path("/sys/fs/cgroup").rglob(self.cgroup)]
        links = [self.link] if Path("/sys/class/net", self.link).exists() else []
        files = [self.root] if Path(self.root).exists() else []
        return processes + pinned + cgroups + links + files


def pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]


def namespaces(pid: int) -> list[str]:
    found = []
    for kind in ("pid", "mnt", "net"):
        with contextlib.suppress(OSError):
            found.append(os.readlink(f"/proc/{pid}/ns/{kind}"))  # noqa: PTH115
    return found


def in_cluster(pid: int, found: state.ClusterState) -> bool:
    """Whether the process descends from the cluster's first one."""
    while pid > 1:
        if pid == found.holder.pid:
            return True
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return False
    return False


def start(name: str) -> subprocess.Popen[str]:
    """The command as a user starts it."""
    command = [sys.executable, "-m", "perfrun.devcluster", "up", "--nodes", "2", "--name", name]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def wait_for_steps(name: str, steps: int) -> state.ClusterState:
    """Wait until a bring-up has come so far."""

    def come_so_far() -> bool:
        found = state.load(state_root(), name)
        return found is not None and len(state.read_events(found.layout.root / "events.jsonl")) >= steps

    wait_until(come_so_far)
    found = state.load(state_root(), name)
    assert found is not None
    return found


def test_down_leaves_nothing(name: str) -> None:
    cluster.up(name, 2)
    found = state.load(state_root(), name)
    assert found is not None
    traces = Traces.of(found)
    # The first process's, the control plane's and two nodes': or nothing would be compared below.
    assert len(traces.namespaces) >= 5
    assert len(traces.left()) > 20
    assert cluster.down(name)
    assert traces.left() == []
    assert not cluster.down(name)


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 4])
def test_down_clears_what_a_killed_up_left(name: str, steps: int) -> None:
    command = start(name)
    found = wait_for_steps(name, steps)
    command.kill()
    command.communicate()
    traces = Traces.of(found)
    assert cluster.down(name)
    assert traces.left() == []


def test_killing_the_first_process_ends_all_and_up_begins_anew(name: str) -> None:
    cluster.up(name, 1)
    found = state.load(state_root(), name)
    assert found is not None
    traces = Traces.of(found)
    os.kill(found.holder.pid, signal.SIGKILL)
    os.waitpid(found.holder.pid, 0)
    wait_until(lambda: not [left for left in traces.left() if not left.startswith("/")])
    said: list[str] = []
    cluster.up(name, 1, said.append)
    assert said[0] == f"clearing what an earlier cluster '{name}' left"
    assert cluster.health(name).healthy(1)


def test_down_during_up_ends_both(name: str) -> None:
    command = start(name)
    found = wait_for_steps(name, 2)
    traces = Traces.of(found)
    assert cluster.down(name)
    _, said = command.communicate(timeout=60)
    assert command.returncode == 1
    assert "was taken down or killed while it came up" in said
    assert traces.left() == []


def test_a_recycled_pid_is_never_killed(name: str) -> None:
    bystander = subprocess.Popen(["sleep", "600"])
    try:
        impostor = ProcessId.of(bystander.pid)
        assert impostor is not None
        layout = Layout(name=name, slot=len(SLOTS) - 1, nodes=1, state_root=state_root())
        layout.root.mkdir(parents=True)
        # What a cluster wrote whose number another process has now.
        earlier = attrs.evolve(impostor, started=impostor.started - 1)
        state.ClusterState(layout, earlier, created=0, gpu_capacity={}, bin_dir=Path("/nowhere")).save()
        assert cluster.down(name)
        assert not layout.root.exists()
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()
