"""One node with several pods, without Kubernetes: what an agent finds on a real one, made of the same parts.

A pod is a network namespace with a veth to the node's, whose other end bears the pod's address as a route (as the CNI
plugin ptp lays it), and a cgroup for each container with the kubelet's names in every hierarchy. In every pod there are
three containers: one that serves on the port that is probed, one that serves on another, and a sandbox that sleeps.
"""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs

from perfrun.devcluster import cgroups

PORT: Final = 8080
OTHER_PORT: Final = 9113
PATH: Final = "/healthz"
WEB, SIDE, SANDBOX = "web", "side", "sandbox"

_ROOT: Final = "perfrun-bench-spikes"
_GATEWAY: Final = "10.88.0.1"
_FIRST_USER: Final = 65_000
_NGINX: Final = """
daemon off; worker_processes 1; pid {folder}/pid; error_log stderr warn;
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 75s;
  client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
  uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
  server {{ listen {port} backlog=4096; location / {{ return 200 "ok\\n"; }} }}
}}
"""
_INTO: Final = 'while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs"; shift; done; shift; exec "$@"'
"""A shell that enters cgroups, then becomes the program that comes after them."""

_SECONDS: Final = 10.0


@attrs.frozen
class Container:
    """A container: its id, and its group in each hierarchy."""

    name: str
    id: str
    groups: tuple[Path, ...]


@attrs.frozen
class Pod:
    """A pod; ``holder`` is its sandbox, a process that keeps the network namespace open."""

    name: str
    uid: str
    address: str
    holder: int
    containers: tuple[Container, ...]

    def container(self, name: str) -> Container:
        """Return one of its containers by name."""
        return next(each for each in self.containers if each.name == name)

    def enter(self) -> list[str]:
        """Return the words that run a program in its network namespace."""
        return _inside(self.holder)


@attrs.frozen
class Node:
    """A node; ``holder`` is a process that keeps its network namespace open."""

    holder: int
    pods: tuple[Pod, ...]

    def enter(self) -> list[str]:
        """Return the words that run a program in its network namespace."""
        return _inside(self.holder)

    def qdiscs(self) -> str:
        """Return what is listed of the node's queueing disciplines and filters."""
        return _run([*self.enter(), "tc", "qdisc", "show"])


@contextlib.contextmanager
def node(pods: int) -> Iterator[Node]:
    """Make a node with so many pods, all of which answer; take all of it away afterwards.

    Raises:
        OSError: cgroups cannot be made, or the programs are not there.
        subprocess.CalledProcessError: the kernel refused a part of the network.
        TimeoutError: a server did not begin to answer.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="perfrun-spikes-")))
        folder.chmod(0o755)
        stack.callback(cgroups.remove, _ROOT)
        holder = _started(stack, ["unshare", "--net", "sleep", "infinity"])
        _await_namespace(holder)
        for words in (["ip", "link", "set", "lo", "up"], ["sysctl", "-qw", "net.ipv4.ip_forward=1"]):
            _run([*_inside(holder), *words])
        made = tuple(_pod(stack, holder, folder, number) for number in range(pods))
        for each in made:
            _await_answer(each)
        yield Node(holder, made)


def _pod(stack: contextlib.ExitStack, host: int, folder: Path, number: int) -> Pod:
    uid, address = str(uuid.uuid4()), f"10.88.0.{10 + number}"
    containers = {name: _container(name, uid) for name in (SANDBOX, WEB, SIDE)}
    holder = _started(stack, _confined(containers[SANDBOX], ["unshare", "--net", "sleep", "infinity"]))
    _await_namespace(holder)
    _cable(host, holder, f"vpod{number}", address)
    for offset, (name, port) in enumerate(((WEB, PORT), (SIDE, OTHER_PORT))):
        user, own = str(_FIRST_USER + 10 * number + offset), folder / f"{number}-{name}"
        own.mkdir()
        (own / "nginx.conf").write_text(_NGINX.format(folder=own, port=port), encoding="ascii")
        _run(["chown", "-R", f"{user}:{user}", str(own)])
        server = ["nginx", "-p", str(own), "-e", "stderr", "-c", str(own / "nginx.conf")]
        whose = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
        _started(stack, _confined(containers[name], [*_inside(holder), *whose, *server]))
    return Pod(f"web-{number}", uid, address, holder, tuple(containers.values()))


def _container(name: str, pod: str) -> Container:
    """Make a container's group in every hierarchy, named as kubelet's driver ``cgroupfs`` names it."""
    identity = uuid.uuid4().hex + uuid.uuid4().hex
    parents = ("node", "kubepods", "burstable", f"pod{pod}")
    cgroups.create(_ROOT, ["node"])
    groups = []
    for root in cgroups.existing(_ROOT):
        cgroups.create_in(root, parents)
        group = root.joinpath(*parents, identity)
        group.mkdir()
        for each in ("cpuset.cpus", "cpuset.mems"):
            # A new group of cgroup v1 has no processor; one of v2 has those of its parent.
            if not (group / "cgroup.controllers").exists() and (group / each).exists():
                (group / each).write_text((group.parent / each).read_text())
        groups.append(group)
    return Container(name, identity, tuple(groups))


def _cable(host: int, holder: int, device: str, address: str) -> None:
    make = ["ip", "link", "add", device, "type", "veth", "peer", "name", "eth0", "netns", str(holder)]
    here = [
        make, ["ip", "addr", "add", f"{_GATEWAY}/32", "dev", device], ["ip", "link", "set", device, "up"],
        ["ip", "route", "add", address, "dev", device],
    ]  # fmt: skip
    there = [
        ["ip", "link", "set", "lo", "up"], ["ip", "addr", "add", f"{address}/32", "dev", "eth0"],
        ["ip", "link", "set", "eth0", "up"], ["ip", "route", "add", f"{_GATEWAY}/32", "dev", "eth0"],
        ["ip", "route", "add", "default", "via", _GATEWAY],
    ]  # fmt: skip
    for words in here:
        _run([*_inside(host), *words])
    for words in there:
        _run([*_inside(holder), *words])


def _confined(container: Container, command: list[str]) -> list[str]:
    return ["sh", "-ec", _INTO, "sh", *(str(each) for each in container.groups), "--", *command]


def _inside(holder: int) -> list[str]:
    return ["nsenter", f"--net=/proc/{holder}/ns/net", "--"]


def _started(stack: contextlib.ExitStack, command: list[str]) -> int:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)

    def end() -> None:
        # The master of nginx ends its worker; a container that was left frozen would end never.
        process.terminate()
        try:
            process.wait(_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    stack.callback(end)
    return process.pid


def _await_namespace(holder: int) -> None:
    own, until = Path("/proc/self/ns/net").readlink(), time.monotonic() + _SECONDS
    while Path(f"/proc/{holder}/ns/net").readlink() == own:
        if time.monotonic() > until:
            raise TimeoutError(f"process {holder} has no network namespace of its own")
        time.sleep(0.005)


def _await_answer(pod: Pod) -> None:
    ask = ["python3", "-c", f"import socket; socket.create_connection(('127.0.0.1', {PORT}), 1)"]
    until = time.monotonic() + _SECONDS
    while subprocess.run([*pod.enter(), *ask], capture_output=True, check=False).returncode != 0:
        if time.monotonic() > until:
            raise TimeoutError(f"{pod.name} does not listen on {PORT}")
        time.sleep(0.05)


def _run(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
