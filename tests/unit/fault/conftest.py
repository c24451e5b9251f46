"""Nodes that are network namespaces of this machine, with real packets between them and real processes in them."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from perfrun_kernels.contract import FAULT_ENV, TERMINATION_LOG_ENV, FaultOrder, FaultReport

PORT = 7000
KERNELS = str(Path(__file__).parents[3] / "kernels")
LEAD = 1.0
"""Seconds between an order and its start; a loaded machine takes a while to start Python."""

HOLD = "import time; print('here', flush=True); time.sleep(600)"

PROBE = f"""
import json, signal, socket, sys, time
peer, target = sys.argv[1], sys.argv[2]
link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
link.bind(("", {PORT}))
link.setblocking(False)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(open(target, "w").write(json.dumps(got)) and 0))
got = []
print("probing", flush=True)
while True:
    try:
        link.sendto(b"x", (peer, {PORT}))
    except OSError:
        pass
    time.sleep(0.001)
    try:
        while True:
            link.recv(16)
            got.append(time.time())
    except BlockingIOError:
        pass
"""

TICKER = """
import signal, sys, threading, time
def tick(name):
    with open(f"{sys.argv[1]}.{name}", "w") as out:
        while True:
            print(time.time(), file=out, flush=True)
            time.sleep(0.002)
signal.signal(signal.SIGTERM, signal.SIG_DFL)
for name in ("a", "b"):
    threading.Thread(target=tick, args=(name,), daemon=True).start()
print("ticking", flush=True)
threading.Event().wait()
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    lacking = _lacking()
    for item in items:
        if lacking and Path(__file__).parent in item.path.parents and "node" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.skip(reason=lacking))


def _lacking() -> str:
    if os.geteuid() != 0:
        return "faults need root"
    for program in ("ip", "nft", "nsenter", "setpriv", "unshare"):
        if shutil.which(program) is None:
            return f"faults need the program {program}"
    made = subprocess.run(["unshare", "--net", "true"], capture_output=True, text=True, check=False)
    return f"no network namespace can be made here: {made.stderr.strip()}" if made.returncode else ""


class Node:
    """A network namespace; whatever is started in it ends with the test."""

    _count = itertools.count()

    def __init__(self, stack: contextlib.ExitStack, directory: Path) -> None:
        self._stack, self._directory = stack, directory
        self._holder = subprocess.Popen(
            ["unshare", "--net", sys.executable, "-c", HOLD], stdout=subprocess.PIPE, text=True
        )
        stack.callback(_kill, self._holder)
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "here\n"
        self.run("ip", "link", "set", "lo", "up")

    def run(self, *words: str) -> str:
        """Run a program in this namespace to its end; return what it printed."""
        done = subprocess.run([*self._enter(), *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout

    def start(self, *words: str, **options: Any) -> subprocess.Popen[str]:
        """Start a program in this namespace, and read its output's first line."""
        process = subprocess.Popen(
            [*self._enter(), *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
        )
        self._stack.callback(_kill, process)
        return process

    def join(self, other: Node, name: str, own: str, others_name: str, others: str) -> None:
        """Lay a cable between this node and another, with an address (and length) at either end."""
        self.run(
            "ip", "link", "add", name, "type", "veth", "peer", "name", others_name, "netns", str(other._holder.pid)
        )
        for node, device, address in ((self, name, own), (other, others_name, others)):
            node.run("ip", "addr", "add", address, "dev", device)
            node.run("ip", "link", "set", device, "up")

    def probe(self, peer: str) -> Probe:
        """Send to the peer a thousand times a second, and note what arrives from there."""
        target = self._directory / f"probe-{next(self._count)}.json"
        process = self.start(sys.executable, "-c", PROBE, peer, str(target))
        assert process.stdout is not None
        assert process.stdout.readline() == "probing\n"
        return Probe(process, target)

    def ticker(self, name: str, *, wait: bool = True) -> Ticker:
        """Start a process of this name, whose two threads note the time again and again."""
        number = next(self._count)
        program = self._directory / f"bin-{number}" / name
        program.parent.mkdir()
        program.symlink_to(Path(sys.executable).resolve())
        target = self._directory / f"ticks-{number}"
        process = self.start(str(program), "-c", TICKER, str(target))
        assert process.stdout is not None
        if wait:
            assert process.stdout.readline() == "ticking\n"
        return Ticker(process, target)

    def agent(self, order: FaultOrder, *wrapper: str) -> Agent:
        """Start a fault agent here, as a pod does, and wait until it is armed, or over."""
        log = self._directory / f"termination-{next(self._count)}"
        environ = {
            **os.environ, "PYTHONPATH": KERNELS, FAULT_ENV: order.to_json(), TERMINATION_LOG_ENV: str(log),
        }  # fmt: skip
        process = self.start(*wrapper, sys.executable, "-m", "perfrun_kernels.fault", env=environ)
        assert process.stdout is not None
        return Agent(process, log, process.stdout.readline())

    def undo(self, fault: str = "f1") -> FaultReport:
        """Clean this node up, and return what was found."""
        return self.agent(FaultOrder(fault, "run", "node", "undo")).report()

    def rules(self) -> str:
        """Return what the packet filter of this namespace holds."""
        return self.run("nft", "list", "ruleset")

    def _enter(self) -> list[str]:
        return ["nsenter", f"--net=/proc/{self._holder.pid}/ns/net"]


class Probe:
    """Something that sends and notes what arrives."""

    def __init__(self, process: subprocess.Popen[str], target: Path) -> None:
        self._process, self._target = process, target

    def stop(self) -> list[float]:
        """Stop it, and return when packets arrived, in seconds since the epoch."""
        self._process.terminate()
        self._process.wait(10)
        return list(json.loads(self._target.read_text()))

    def pause(self) -> tuple[float, float]:
        """Stop it; return when the last packet arrived before the longest pause, and the first after it."""
        return _longest(self.stop())


class Ticker:
    """A process with two threads that note the time."""

    def __init__(self, process: subprocess.Popen[str], target: Path) -> None:
        self.process, self._target = process, target
        self.pid = process.pid

    def ticks(self) -> dict[str, list[float]]:
        """Return when each thread ran, in seconds since the epoch."""
        return {name: _whole_lines(self._target.with_name(f"{self._target.name}.{name}")) for name in ("a", "b")}

    def pauses(self) -> list[tuple[float, float]]:
        """Return of each thread when it last ran before its longest pause, and when it first did after it."""
        return [_longest(moments) for moments in self.ticks().values()]

    def state(self) -> str:
        """Return the letter of the process's state."""
        return Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]


class Agent:
    """A fault agent; ``first`` is the first line that it printed."""

    def __init__(self, process: subprocess.Popen[str], log: Path, first: str) -> None:
        self.process, self._log, self.first = process, log, first

    def armed(self) -> bool:
        return self.first.startswith("armed: ")

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def report(self) -> FaultReport:
        """Wait for its end, and return its report."""
        _, errors = self.process.communicate(timeout=60)
        assert (self.process.returncode, errors) == (0, "")
        return FaultReport.from_json(self._log.read_text(encoding="ascii"))


def _longest(moments: list[float]) -> tuple[float, float]:
    return max(itertools.pairwise(moments), key=lambda pair: pair[1] - pair[0])


def _whole_lines(path: Path) -> list[float]:
    *lines, _ = path.read_text(encoding="ascii").split("\n")
    return [float(line) for line in lines]


def _kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait(10)
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()


@pytest.fixture
def make_node(tmp_path: Path) -> Iterator[Callable[[], Node]]:
    with contextlib.ExitStack() as stack:
        yield lambda: Node(stack, tmp_path)


@pytest.fixture
def node(make_node: Callable[[], Node]) -> Node:
    """A node whose default route leads to another; see ``outside``."""
    return make_node()


@pytest.fixture
def outside(node: Node, make_node: Callable[[], Node]) -> Node:
    """What the node is connected to: it is 10.9.0.1 there, and this is 10.9.0.2."""
    other = make_node()
    node.join(other, "up0", "10.9.0.1/24", "down0", "10.9.0.2/24")
    node.run("ip", "route", "add", "default", "via", "10.9.0.2")
    return other


@pytest.fixture
def order() -> Callable[..., FaultOrder]:
    """Make an order that begins in a moment."""

    def make(kind: Any, seconds: float = 1.0, lead: float = LEAD, fault: str = "f1") -> FaultOrder:
        now = time.time()
        return FaultOrder(fault, "run", "node", kind, now + lead, now + lead + seconds)

    return make
