"""What latency spikes may leave on the nodes of a cluster, and what of a run's evidence is a trace or a picture."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from experiments import Document, kubelets, processes
from operators import Operator
from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as perfetto

from perfrun_kernels.contract import Result

JOURNALS = "run/perfrun-spikes"
"""Where an injection is written down before it is made, seen from the host."""

WATCHER = "perfrun-netwatch"
HIERARCHIES = Path("/sys/fs/cgroup")


def spike_leftovers(kubectl: Callable[..., str]) -> list[str]:
    """Return a sentence for everything that a spike's agent has left in the cluster's nodes, pods and cgroups."""
    found = []
    nodes = kubelets(kubectl)
    ours = _same_processes(next(iter(nodes.values())))
    for node, pid in nodes.items():
        listed = _inside(pid, "tc", "qdisc", "show")
        found += [f"{node}: {line}" for line in listed.splitlines() if re.match("qdisc (tbf|clsact|ingress) ", line)]
    for pid in _one_of_each_network(ours):
        tables = _inside(pid, "nft", "list", "tables")
        found += [f"{table} in the network of process {pid}" for table in tables.splitlines() if "perfrun" in table]
    found += [f"journal {each}" for each in journals(kubectl)]
    found += [f"process {pid}: {' '.join(words)}" for pid, words in watchers(kubectl).items()]
    for root in _roots(ours):
        found += list(_changed_groups(root))
    return found + [f"trace instance {each}" for each in _trace_instances() if each.startswith("perfrun-")]


def journals(kubectl: Callable[..., str]) -> list[Path]:
    """Return the journals of injections that are not seen to be undone."""
    first = _first(_same_processes(next(iter(kubelets(kubectl).values()))))
    return sorted(Path(f"/proc/{first}/root/{JOURNALS}").glob("*.json"))


def watchers(kubectl: Callable[..., str]) -> dict[int, list[str]]:
    """Return the processes of this cluster that watch, inject, or stand guard, by process id."""
    ours = _same_processes(next(iter(kubelets(kubectl).values())))
    return {pid: words for pid, words in processes(lambda words: WATCHER in words[0]).items() if pid in ours}


def kept(working: Operator, run: Document, what: str) -> bytes:
    """Return the only thing of this name that a run keeps; its link must tell its digest and its size."""
    [link] = [each for each in run["status"]["artifacts"] if f".{what}" in each["name"]]
    for path in (working.state / "artifacts").rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        if f"sha256:{hashlib.sha256(content).hexdigest()}" == link["digest"]:
            assert len(content) == link["bytes"]
            return content
    raise AssertionError(f"nothing is stored that has the digest of {link}")


def result_of(working: Operator, stage: str) -> Result:
    """Return the result that a stage's only attempt handed in."""
    [path] = (working.state / "artifacts").rglob(f"{stage}/*/result.json")
    return Result.from_json(path.read_text())


def slices_of(trace: bytes) -> dict[str, int]:
    """Return how often each name begins in a Perfetto trace, all of whose slices end in the order of their nesting."""
    # The viewer opens either.
    parsed = perfetto.Trace.FromString(gzip.decompress(trace) if trace.startswith(b"\x1f\x8b") else trace)
    assert parsed.packet
    begun: dict[str, int] = {}
    open_slices: dict[int, int] = {}
    last: dict[int, int] = {}
    for packet in parsed.packet:
        if not packet.HasField("track_event"):
            continue
        event, track = packet.track_event, packet.track_event.track_uuid
        assert packet.timestamp >= last.get(track, 0), "a track's events are in the order of their time"
        last[track] = packet.timestamp
        if event.type == perfetto.TrackEvent.TYPE_SLICE_BEGIN:
            open_slices[track] = open_slices.get(track, 0) + 1
        if event.type == perfetto.TrackEvent.TYPE_SLICE_END:
            open_slices[track] = open_slices.get(track, 0) - 1
            assert open_slices[track] >= 0, "a slice ends that never began"
        if event.type in (perfetto.TrackEvent.TYPE_SLICE_BEGIN, perfetto.TrackEvent.TYPE_INSTANT):
            begun[event.name] = begun.get(event.name, 0) + 1
    assert not any(open_slices.values()), "a slice never ends"
    return begun


def picture_of(content: bytes) -> Any:
    """Return the root of an SVG picture."""
    root = ET.fromstring(content)  # noqa: S314 -- made by the test's own agent
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    return root


def _trace_instances() -> list[str]:
    with tempfile.TemporaryDirectory() as place:
        # The mount ends with its namespace.
        command = ["unshare", "--mount", "sh", "-ec", 'mount -t tracefs none "$0"; ls "$0/instances"', place]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def _inside(pid: int, *command: str) -> str:
    enter = ["nsenter", "--target", str(pid), "--net", *command]
    return subprocess.run(enter, check=True, capture_output=True, text=True).stdout


def _same_processes(pid: int) -> set[int]:
    """Return all processes of a process's PID namespace; the nodes of a cluster share one."""
    own = Path(f"/proc/{pid}/ns/pid").readlink()
    found = set()
    for path in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if path.name.isdecimal() and (path / "ns" / "pid").readlink() == own:
                found.add(int(path.name))
    return found


def _first(pids: set[int]) -> int:
    def number(pid: int) -> int:
        with contextlib.suppress(OSError):
            [line] = [each for each in Path(f"/proc/{pid}/status").read_text().splitlines() if each[:6] == "NSpid:"]
            return int(line.split()[-1])
        return 0

    return next(pid for pid in pids if number(pid) == 1)


def _one_of_each_network(pids: set[int]) -> list[int]:
    found: dict[str, int] = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            found.setdefault(str(Path(f"/proc/{pid}/ns/net").readlink()), pid)
    return list(found.values())


def _roots(pids: set[int]) -> set[Path]:
    """Return the groups in which the cluster's pods are, in every hierarchy."""
    names = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
                before, found, _ = line.split(":", 2)[2].partition("/kubepods")
                names |= {before.strip("/")} if found else set()
    mounts = [HIERARCHIES, *(each for each in HIERARCHIES.iterdir() if each.is_dir())]
    return {mount / name / "kubepods" for mount in mounts for name in names if (mount / name / "kubepods").is_dir()}


def _changed_groups(root: Path) -> Iterator[str]:
    """Yield a sentence for what is not as the kubelet makes it for pods that name no CPU limit."""
    usual = {"freezer.state": "THAWED", "cgroup.freeze": "0", "cpu.cfs_quota_us": "-1", "cpu.max": "max 100000"}
    for group in [root, *(each for each in root.rglob("*") if each.is_dir())]:
        with contextlib.suppress(FileNotFoundError):
            for name, value in usual.items():
                if (group / name).exists() and (now := (group / name).read_text().strip()) != value:
                    yield f"{group / name} is {now}"
            cpus = group / "cpuset.cpus"
            if group != root and cpus.exists() and (now := cpus.read_text().strip()):
                above = (group.parent / "cpuset.cpus").read_text().strip()
                if above and now != above:
                    yield f"{cpus} is {now}, not {above}"
