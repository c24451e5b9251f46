"""Two pods on two nodes, as far as packets can tell: network namespaces that are routed through a third."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from perfrun_kernels.contract import REQUEST_ENV, TERMINATION_LOG_ENV, Request, Result
from perfrun_kernels.network.netpath import PROGRAM
from perfrun_kernels.runner import RESULT_PREFIX

KERNELS = str(Path(__file__).parents[3] / "kernels")
HOLD = "import time; print('here', flush=True); time.sleep(600)"
RELAY = """
import socket, sys
link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
link.bind(("", 7001))
server, client, held, count = (sys.argv[1], int(sys.argv[2])), None, None, 0
print("relaying", flush=True)
while True:
    packet, sender = link.recvfrom(2048)
    if sender == server:
        link.sendto(packet, client)
        continue
    client = sender
    if packet[4] == 1:
        count += 1
        if count % 100 == 50:
            link.sendto(packet, server)
        if count % 100 == 70:
            held = packet
            continue
    link.sendto(packet, server)
    if held:
        link.sendto(held, server)
        held = None
"""
"""Passes packets on, both ways; of 100 requests it sends the 50th twice, and the 70th after the 71st."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    lacking = _lacking()
    for item in items:
        if lacking and Path(__file__).parent in item.path.parents and "net" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.skip(reason=lacking))


def _lacking() -> str:
    if os.geteuid() != 0:
        return "network namespaces need root"
    for program in ("ip", "nft", "tc", "nsenter", "setpriv", "unshare", "iperf3"):
        if shutil.which(program) is None:
            return f"this needs the program {program}"
    made = subprocess.run(["unshare", "--net", "true"], capture_output=True, text=True, check=False)
    return f"no network namespace can be made here: {made.stderr.strip()}" if made.returncode else ""


class Place:
    """A network namespace; it ends with its holder, and what was started in it with the test."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self._holder = subprocess.Popen(
            ["unshare", "--net", sys.executable, "-c", HOLD], stdout=subprocess.PIPE, text=True
        )
        stack.callback(end, self._holder)
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "here\n"
        self.run("ip", "link", "set", "lo", "up")

    def run(self, *words: str) -> str:
        done = subprocess.run([*self._enter(), *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout

    def start(self, *words: str, **options: Any) -> subprocess.Popen[str]:
        """Start a program here without any capability, as an unprivileged pod is."""
        bare = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"]
        process = subprocess.Popen(
            [*self._enter(), *bare, *words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
        )  # fmt: skip
        self._stack.callback(end, process)
        return process

    def join(self, other: Place, name: str, own: str, others_name: str, others: str) -> None:
        pid = str(other._holder.pid)
        self.run("ip", "link", "add", name, "type", "veth", "peer", "name", others_name, "netns", pid)
        for place, device, address in ((self, name, own), (other, others_name, others)):
            place.run("ip", "addr", "add", address, "dev", device)
            place.run("ip", "link", "set", device, "up")

    def filter(self, hook: str, *rules: str) -> None:
        """Add a chain of packet filter rules."""
        self.run("nft", "add table ip test")
        self.run("nft", f"add chain ip test {hook} {{ type filter hook {hook} priority 0; }}")
        for rule in rules:
            self.run("nft", f"add rule ip test {hook} {rule}")

    def _enter(self) -> list[str]:
        return ["nsenter", f"--net=/proc/{self._holder.pid}/ns/net"]


class Net:
    """Two pods and the node between them; ``client`` and ``server`` are places, ``node`` routes."""

    port = 5201
    client_address, server_address, relay_address = "10.8.1.2", "10.8.2.2", "10.8.1.1"
    relay_port = 7001
    requests = f"ip protocol udp udp dport {port} @th,96,8 1"
    """What nft knows requests by: the packet program's greetings and questions have other kinds."""

    lead = 0.6
    """Seconds from the start of the packet program to the first packet."""

    pod_lead = 2.5
    """The same of the whole program, which is a Python that has to start first."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self.client, self.node, self.server = Place(stack), Place(stack), Place(stack)
        self.client.join(self.node, "eth0", f"{self.client_address}/24", "veth1", "10.8.1.1/24")
        self.server.join(self.node, "eth0", f"{self.server_address}/24", "veth2", "10.8.2.1/24")
        self.client.run("ip", "route", "add", "default", "via", "10.8.1.1")
        self.server.run("ip", "route", "add", "default", "via", "10.8.2.1")
        self.node.run("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")

    def serve(self, seconds: float = 20) -> subprocess.Popen[str]:
        """Start the packet program's server, and wait until it listens."""
        process = self.server.start(str(PROGRAM.binary()), "serve")
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(json.dumps({"port": self.port, "end_at": time.time() + seconds}))
        process.stdin.close()
        process.stdin = None
        assert process.stderr.readline() == f"listening on UDP port {self.port}\n"
        return process

    def send(
        self, rate: float, seconds: float, address: str = server_address, port: int = port, size: int = 64
    ) -> subprocess.Popen[str]:
        """Start the packet program's sender; it begins after ``lead`` seconds."""
        process = self.client.start(str(PROGRAM.binary()), "send")
        config = {
            "address": address, "port": port, "start_at": time.time() + self.lead, "seconds": seconds, "rate": rate,
            "bytes": size,
        }  # fmt: skip
        assert process.stdin is not None
        process.stdin.write(json.dumps(config))
        process.stdin.close()
        process.stdin = None
        return process

    def relay(self) -> None:
        """Start what passes packets on at the node, some of them twice or late."""
        process = self.node.start(sys.executable, "-c", RELAY, self.server_address, str(self.port))
        assert process.stdout is not None
        assert process.stdout.readline() == "relaying\n"

    def pod(self, place: Place, **parameters: Any) -> Pod:
        """Start the whole program as a pod does."""
        request = Request("run", "stage", 1, "network", {"port": self.port, **parameters}, 60.0)
        environ = {
            **os.environ, "PYTHONPATH": KERNELS, REQUEST_ENV: request.to_json(), TERMINATION_LOG_ENV: "/dev/null",
            "TMPDIR": tempfile.gettempdir(),
        }  # fmt: skip
        return Pod(place.start(sys.executable, "-m", "perfrun_kernels", env=environ))


class Pod:
    """The whole program at work."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def result(self) -> Result:
        told, errors = self.process.communicate(timeout=60)
        assert told.startswith(RESULT_PREFIX), errors
        return Result.from_json(told.removeprefix(RESULT_PREFIX))

    def children(self) -> list[int]:
        task = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(each) for each in task.read_text(encoding="ascii").split()]


def end(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGCONT)
    process.terminate()
    try:
        process.communicate(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


@pytest.fixture
def net() -> Iterator[Net]:
    with contextlib.ExitStack() as stack:
        yield Net(stack)


@pytest.fixture
def report_of() -> Callable[[subprocess.Popen[str]], dict[str, Any]]:
    """Wait for a sender's end and return its report."""

    def read(process: subprocess.Popen[str]) -> dict[str, Any]:
        told, errors = process.communicate(timeout=30)
        assert process.returncode == 0, errors
        return dict(json.loads(told))

    return read
