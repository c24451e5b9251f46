"""What is known about a cluster from outside: a small file, and the process that holds the cluster together.

A pid alone proves nothing, since the kernel reuses them: a process is named by pid, start time and boot.
"""

import contextlib
import fcntl
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from perfrun.devcluster.layout import Layout, cluster_root


@attrs.frozen
class ProcessId:
    """One process, not to be confused with a later one of the same number."""

    pid: int
    started: int
    boot: str

    @classmethod
    def of(cls, pid: int) -> "ProcessId | None":
        """The living process of that number; zombies do not live."""
        try:
            # The command's name may hold blanks and brackets: fields count from the last bracket.
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        if fields[0] in "ZX":
            return None
        return cls(pid=pid, started=int(fields[19]), boot=Path("/proc/sys/kernel/random/boot_id").read_text().strip())

    @property
    def alive(self) -> bool:
        """Whether this very process still runs."""
        return ProcessId.of(self.pid) == self

    def children(self) -> "list[ProcessId]":
        """Its living children."""
        try:
            pids = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        except (FileNotFoundError, ProcessLookupError):
            return []
        return [child for child in map(ProcessId.of, map(int, pids)) if child is not None]


@attrs.frozen
class ClusterState:
    """What `state.json` says."""

    layout: Layout
    holder: ProcessId
    created: float
    gpu_capacity: dict[str, int]
    bin_dir: Path

    @property
    def running(self) -> bool:
        """Whether the cluster's processes exist, healthy or not."""
        return self.holder.alive

    def save(self) -> None:
        """Write it so that a reader sees all of it or none."""
        document = {
            "name": self.layout.name,
            "slot": self.layout.slot,
            "nodes": self.layout.nodes,
            "holder": attrs.asdict(self.holder),
            "created": self.created,
            "gpuCapacity": self.gpu_capacity,
            "binDir": str(self.bin_dir),
        }
        target = self.layout.root / "state.json"
        temporary = target.with_suffix(".tmp")
        temporary.write_text(json.dumps(document, indent=2))
        temporary.rename(target)


def load(root: Path, name: str) -> ClusterState | None:
    """The state of the named cluster, or nothing where none was written."""
    try:
        document: dict[str, Any] = json.loads((cluster_root(root, name) / "state.json").read_text())
    except FileNotFoundError:
        return None
    return ClusterState(
        layout=Layout(name=name, slot=document["slot"], nodes=document["nodes"], state_root=root),
        holder=ProcessId(**document["holder"]),
        created=document["created"],
        gpu_capacity=document["gpuCapacity"],
        bin_dir=Path(document["binDir"]),
    )


def names(root: Path) -> list[str]:
    """Every cluster that left a directory, running or not."""
    directory = root / "dev"
    return sorted(entry.name for entry in directory.iterdir() if entry.is_dir()) if directory.is_dir() else []


@contextlib.contextmanager
def locked(root: Path, subject: str) -> Iterator[None]:
    """Hold the lock of one cluster, or of the choice of addresses (`slots`), across processes."""
    directory = root / "dev"
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / f".{subject}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class Events:
    """The progress of a bring-up, written by the process that does it and followed by the one that shows it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._started = time.monotonic()

    def _write(self, **event: object) -> None:
        event["seconds"] = time.monotonic() - self._started
        with self._path.open("a") as file:
            file.write(json.dumps(event) + "\n")

    def step(self, text: str) -> None:
        """One thing is done."""
        self._write(step=text)

    def ready(self) -> None:
        """Everything is done."""
        self._write(ready=True)

    def failed(self, reason: str) -> None:
        """It cannot be done."""
        self._write(failed=reason)


def read_events(path: Path, skip: int = 0) -> list[dict[str, Any]]:
    """All complete events after the first `skip`."""
    try:
        lines = path.read_text().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines[skip:] if line.endswith("\n")]
