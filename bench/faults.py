"""How exactly faults begin and end on four nodes of a development cluster at once, seen by packets.

A fault is requested for a moment: the operator orders agents ahead of time, each gets ready on its node, and all begin
when the order says. So the figure that is judged runs from that moment to the last packet that still got through, into
the node or out of it, whichever was later; it is the 99th percentile over all rounds and nodes. Packets go both ways
about once a millisecond, and the kernel notes when each arrived. What is not sent while the machine is busy is not seen
to stop, so a figure may be some milliseconds too early, and even negative.

How long a node needs from the creation of the agent's pod until the agent is ready has a row of its own: that much
ahead a fault has to be ordered, and it is the cluster's time to start a pod rather than the agent's.

It brings up a cluster of its own, for it has to look into the nodes; it needs root.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from perfrun.devcluster import cluster, state
from perfrun.devcluster.layout import Layout, state_root
from perfrun.manifests import labels
from perfrun.manifests.agents import AgentOrder, AgentSettings, agent_pod
from perfrun.manifests.names import agent_name
from perfrun_kernels.contract import FaultReport

Row = tuple[str, float, float, float, float]

ROUNDS = int(os.environ.get("PERFRUN_BENCH_FAULT_ROUNDS", "25"))
NODES = 4
CLUSTER = "perfrun-bench-f"
NAMESPACE = "perfrun-bench-faults"
LEAD = 7.0
"""Seconds from the creation of the pods to the fault; agents that are ready later refuse, and the round is broken."""
FAULT = 0.8
"""Seconds of a fault: far less than the cluster takes to notice, so that rounds can follow each other."""
MARGIN = 2.0
"""Seconds before and after a fault in which packets are sent too; probes take a part of it to begin."""
PORT = 7000
PROMISED_MS = 500.0

PROBE = """
import json, signal, socket, struct, sys, time
port, target, peers = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
link.setsockopt(socket.SOL_SOCKET, 35, 1)  # SO_TIMESTAMPNS
link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
link.bind(("", port))
link.setblocking(False)
arrived = {peer: [] for peer in peers}
def stop(*_):
    with open(target, "w") as out:
        json.dump(arrived, out)
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
while True:
    for peer in peers:
        try:
            link.sendto(b"x", (peer, port))
        except OSError:
            pass
    time.sleep(0.0008)
    try:
        while True:
            _, ancillary, _, sender = link.recvmsg(16, 64)
            seconds, nanoseconds = struct.unpack("=qq", ancillary[0][2])
            arrived[sender[0]].append(seconds + nanoseconds / 1e9)
    except BlockingIOError:
        pass
"""
"""Sends to all peers about once a millisecond; notes by the kernel's clock when their packets arrived."""


@attrs.frozen
class Lab:
    """A cluster into whose nodes one can look; ``holder`` is a process that sees their network namespaces."""

    kubectl: Path
    kubeconfig: Path
    layout: Layout
    holder: int

    @property
    def addresses(self) -> dict[str, str]:
        """The nodes' addresses by name."""
        return {self.layout.node_name(each): str(self.layout.node_ip(each)) for each in self.layout.node_numbers}

    def run(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl and return what it printed."""
        command = [str(self.kubectl), "--kubeconfig", str(self.kubeconfig), "--namespace", NAMESPACE, *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, check=True).stdout

    def probe(self, namespace: str, target: Path, peers: list[str]) -> subprocess.Popen[bytes]:
        """Start a probe in a node's network namespace."""
        enter = ["nsenter", f"--net=/proc/{self.holder}/root/run/netns/{namespace}", "--"]
        return subprocess.Popen([*enter, sys.executable, "-c", PROBE, str(PORT), str(target), *peers])


@attrs.frozen
class Round:
    """What one round showed on one node, in milliseconds: after the start, after the end, and to get ready."""

    stopped: float
    flowing: float
    ready: float


def run() -> list[Row]:
    """Return the rows of the table."""
    if os.geteuid() != 0:
        msg = "the development cluster needs root"
        raise PermissionError(msg)
    with _lab() as lab:
        rounds = [each for number in range(ROUNDS) for each in _round(lab, number)]
    stopped, flowing = [each.stopped for each in rounds], [each.flowing for each in rounds]
    ready = [each.ready for each in rounds]
    count = f"{ROUNDS} rounds × {NODES} nodes at once"
    return [
        (f"fault ordered for now → last packet, p99 of {count}", _p99(stopped), *_ends(stopped), PROMISED_MS),
        ("fault ordered for now → last packet", statistics.median(stopped), *_ends(stopped), 0),
        ("fault's end → first packet again", statistics.median(flowing), *_ends(flowing), 0),
        ("agent's pod created → agent ready on its node", statistics.median(ready), *_ends(ready), 0),
    ]


@contextlib.contextmanager
def _lab() -> Iterator[Lab]:
    cluster.down(CLUSTER)
    try:
        info = cluster.up(CLUSTER, NODES, lambda text: print(f"bench: {text}", file=sys.stderr))
        known = state.load(state_root(), CLUSTER)
        if known is None:
            msg = f"cluster {CLUSTER} has no state"
            raise RuntimeError(msg)
        lab = Lab(info.kubectl, info.kubeconfig, known.layout, known.holder.pid)
        lab.run("create", "namespace", NAMESPACE)
        yield lab
    finally:
        cluster.down(CLUSTER)


def _round(lab: Lab, number: int) -> list[Round]:
    """Cut all nodes off once, and return what was seen on each."""
    created = dt.datetime.now(dt.UTC)
    starts_at = created + dt.timedelta(seconds=LEAD)
    orders = [
        AgentOrder(
            agent_name("bench", f"round-{number}", node, "isolate", 1), f"round-{number}", "bench", "bench", NAMESPACE,
            node, "isolate", starts_at, starts_at + dt.timedelta(seconds=FAULT),
        )
        for node in lab.addresses
    ]  # fmt: skip
    listed = {"apiVersion": "v1", "kind": "List", "items": [agent_pod(each, _settings()) for each in orders]}
    lab.run("create", "--filename", "-", stdin=json.dumps(listed))
    time.sleep(max(0.0, starts_at.timestamp() - MARGIN - time.time()))
    with tempfile.TemporaryDirectory() as directory:
        arrived = _watch(lab, Path(directory), until=orders[0].ends_at.timestamp() + MARGIN)
    _check_reports(lab, orders)
    ready = {each.node: (_ready_at(lab, each) - created.timestamp()) * 1000 for each in orders}
    lab.run("delete", "pods", "--selector", f"{labels.COMPONENT}={labels.FAULT_AGENT}", "--wait=false")
    return [_seen(each, arrived[each.node], ready[each.node]) for each in orders]


def _ready_at(lab: Lab, order: AgentOrder) -> float:
    """Return when the agent said that it is armed, by the time that the container runtime noted on its line."""
    for line in lab.run("logs", order.name, "--timestamps").splitlines():
        stamp, _, text = line.partition(" ")
        if text.startswith("armed: "):
            return dt.datetime.fromisoformat(stamp).timestamp()
    msg = f"the agent on {order.node} did not say that it was armed"
    raise RuntimeError(msg)


def _watch(lab: Lab, directory: Path, until: float) -> dict[str, list[list[float]]]:
    """Probe until a moment; return by node when packets arrived, on the node and from it."""
    addresses, outside = lab.addresses, str(lab.layout.control_plane_ip)
    probes = [lab.probe("control-plane", directory / "outside", list(addresses.values()))]
    probes += [lab.probe(node, directory / node, [outside]) for node in addresses]
    try:
        time.sleep(max(0.0, until - time.time()))
    finally:
        for probe in probes:
            probe.terminate()
        for probe in probes:
            probe.wait()
    from_nodes = json.loads((directory / "outside").read_text())
    return {
        node: [json.loads((directory / node).read_text())[outside], from_nodes[address]]
        for node, address in addresses.items()
    }


def _check_reports(lab: Lab, orders: list[AgentOrder]) -> None:
    for order in orders:
        lab.run("wait", "pod", order.name, "--for=jsonpath={.status.phase}=Succeeded", "--timeout=30s")
        pod: dict[str, Any] = json.loads(lab.run("get", "pod", order.name, "--output", "json"))
        report = FaultReport.from_json(pod["status"]["containerStatuses"][0]["state"]["terminated"]["message"])
        if (report.state, report.reason) != ("Undone", ""):
            msg = f"the agent on {order.node} reports {report.state} {report.reason}: {report.message}"
            raise RuntimeError(msg)


def _seen(order: AgentOrder, directions: list[list[float]], ready: float) -> Round:
    begin, end = order.starts_at.timestamp(), order.ends_at.timestamp()
    pauses = []
    for moments in directions:
        last, first = max(itertools.pairwise(moments), key=lambda pair: pair[1] - pair[0])
        if moments[0] > begin - 0.1:
            msg = f"packets of {order.node} were not looked at before {moments[0] - begin:.3f} s after the start"
            raise RuntimeError(msg)
        if first - last < FAULT / 2:
            msg = f"packets of {order.node} were never gone for longer than {first - last:.3f} s"
            raise RuntimeError(msg)
        pauses.append((last, first))
    return Round(
        stopped=(max(last for last, _ in pauses) - begin) * 1000,
        flowing=(max(first for _, first in pauses) - end) * 1000,
        ready=ready,
    )


def _settings() -> AgentSettings:
    command = (str(Path(sys.prefix) / "bin" / "python"), "-m", "perfrun_kernels.fault")
    return AgentSettings(NAMESPACE, image="perfrun.dev/base:1", command=command, runtime_class="perfrun-host")


def _p99(values: list[float]) -> float:
    return sorted(values)[math.ceil(0.99 * len(values)) - 1]


def _ends(values: list[float]) -> tuple[float, float]:
    return min(values), max(values)
