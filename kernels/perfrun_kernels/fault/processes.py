"""The node's kubelet and container runtime, as /proc shows them.

Several nodes may share one process table (development clusters do), so a process belongs to this node when its network
namespace is the agent's own. Shims are none of these: the containers that they hold go on.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

NAMES: Final = frozenset(
    {
        "kubelet",
        "containerd",
        "crio",
        "dockerd",
        "cri-dockerd",
        "kubelite",
        "k3s-agent",
        "k3s-server",
    }
)
"""What kubelets and container runtimes are called, those of MicroK8s and k3s too, where both are one process."""

PROC: Final = Path("/proc")

STOPPED: Final = ("t", "T")

ENDED: Final = ("", "Z", "X")

_SWITCHES: Final = "ctxt_switches:"


@dataclass(frozen=True, order=True)
class Process:
    """A process of the node."""

    pid: int
    name: str

    def __str__(self) -> str:
        return f"{self.name} ({self.pid})"


def of_node(names: frozenset[str] = NAMES) -> list[Process]:
    """Return the processes with one of ``names`` in the agent's own network namespace, by process id.

    Raises:
        PermissionError: the kernel does not tell a process's namespace.
    """
    own = (PROC / "self/ns/net").readlink()
    found = []
    for entry in os.scandir(PROC):
        if not entry.name.isdecimal():
            continue
        # A process may end between any two looks.
        with suppress(FileNotFoundError, ProcessLookupError):
            name = Path(entry.path, "comm").read_text(encoding="utf-8", errors="replace").rstrip("\n")
            if name in names and Path(entry.path, "ns/net").readlink() == own:
                found.append(Process(int(entry.name), name))
    return sorted(found)


def threads(pid: int) -> list[int]:
    """Return the ids of the process's threads; none where it has ended."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return [int(name) for name in os.listdir(PROC / str(pid) / "task")]  # noqa: PTH208 -- names are all that is wanted
    return []


def stopped(pid: int) -> bool:
    """Whether any thread of the process is stopped, by a tracer (t) or by a signal (T)."""
    return any(thread_state(pid, thread) in STOPPED for thread in threads(pid))


def switches(pid: int) -> dict[int, int]:
    """Return how often each thread of the process has given up the CPU, by thread id; it grows only by running."""
    return {
        thread: sum(int(line.split()[1]) for line in _text(pid, thread, "status").splitlines() if _SWITCHES in line)
        for thread in threads(pid)
    }


def tracer(pid: int, thread: int) -> int:
    """Return the process id of the thread's tracer; 0 where there is none, or no such thread."""
    for line in _text(pid, thread, "status").splitlines():
        if line.startswith("TracerPid:"):
            return int(line.split()[1])
    return 0


def thread_state(pid: int, thread: int) -> str:
    """Return the letter of the thread's state (proc_pid_stat(5)), or nothing where it has ended."""
    # The name before it may hold blanks and brackets.
    fields = _text(pid, thread, "stat").rpartition(")")[2].split()
    return fields[0] if fields else ""


def _text(pid: int, thread: int, name: str) -> str:
    with suppress(FileNotFoundError, ProcessLookupError):
        return (PROC / str(pid) / "task" / str(thread) / name).read_text(encoding="utf-8", errors="replace")
    return ""
