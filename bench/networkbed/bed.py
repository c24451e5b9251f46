"""Two pods on two nodes, as far as packets can tell: network namespaces that are routed through a third.

Where the way is to take time, the node passes every packet through a TUN device, whose program holds each for a while:
this kernel may have no netem.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import attrs

CLIENT: Final = "10.8.1.2"
SERVER: Final = "10.8.2.2"
_HOLD: Final = "import time; print('here', flush=True); time.sleep(36000)"
_DIRECT: Final = "100"


@attrs.frozen
class Place:
    """A network namespace, which lasts as long as the process that holds it."""

    holder: int

    @property
    def enter(self) -> tuple[str, ...]:
        """The command that runs another one in this namespace."""
        return ("nsenter", f"--net=/proc/{self.holder}/ns/net", "--")

    def run(self, *words: str, **options: Any) -> str:
        """Run a program here to its end and return what it printed."""
        done = subprocess.run([*self.enter, *words], capture_output=True, text=True, check=False, **options)
        if done.returncode != 0:
            msg = f"{' '.join(words)} failed: {(done.stderr or done.stdout).strip()}"
            raise RuntimeError(msg)
        return done.stdout

    def start(self, *words: str, **options: Any) -> subprocess.Popen[str]:
        """Start a program here."""
        return subprocess.Popen([*self.enter, *words], text=True, **options)


@attrs.frozen
class Bed:
    """The pods, and the node between them."""

    client: Place
    node: Place
    server: Place


@contextlib.contextmanager
def laid(hold_seconds: float = 0.0) -> Iterator[Bed]:
    """Lay the way between two pods; each packet is held for so many seconds on it, in either direction."""
    with contextlib.ExitStack() as stack:
        bed = Bed(*(_place(stack) for _ in range(3)))
        _join(bed.client, bed.node, CLIENT, "veth1")
        _join(bed.server, bed.node, SERVER, "veth2")
        bed.node.run("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
        if hold_seconds:
            _hold(stack, bed.node, hold_seconds)
        yield bed


@contextlib.contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """End a process with what it was started for."""
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=10)


def _place(stack: contextlib.ExitStack) -> Place:
    holder = subprocess.Popen(["unshare", "--net", sys.executable, "-c", _HOLD], stdout=subprocess.PIPE, text=True)
    stack.enter_context(ended(holder))
    if holder.stdout is None or holder.stdout.readline() != "here\n":
        msg = "no network namespace can be made here: run this as root"
        raise PermissionError(msg)
    place = Place(holder.pid)
    place.run("ip", "link", "set", "lo", "up")
    return place


def _join(pod: Place, node: Place, address: str, device: str) -> None:
    way = f"{address.rpartition('.')[0]}.1"
    pod.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", device, "netns", str(node.holder))
    for place, name, own in ((pod, "eth0", address), (node, device, way)):
        place.run("ip", "addr", "add", f"{own}/24", "dev", name)
        place.run("ip", "link", "set", name, "up")
    pod.run("ip", "route", "add", "default", "via", way)


def _hold(stack: contextlib.ExitStack, node: Place, seconds: float) -> None:
    """Lead packets that are passed on through the TUN device, and what comes out of it to the pods."""
    program = str(Path(__file__).with_name("hold.py"))
    holder = node.start(sys.executable, program, str(seconds), stdout=subprocess.PIPE)
    stack.enter_context(ended(holder))
    if holder.stdout is None or holder.stdout.readline() != "holding\n":
        msg = "no TUN device can be made here"
        raise RuntimeError(msg)
    node.run("ip", "link", "set", "hold0", "up")
    node.run(
        "sh", "-c", "echo 0 >/proc/sys/net/ipv4/conf/all/rp_filter; echo 0 >/proc/sys/net/ipv4/conf/hold0/rp_filter"
    )
    for device in ("veth1", "veth2"):
        node.run("ip", "rule", "add", "iif", device, "lookup", _DIRECT, "priority", "10")
    node.run("ip", "route", "add", "default", "dev", "hold0", "table", _DIRECT)
