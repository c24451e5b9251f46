"""Whose container a spike is: from the network namespace to its processes, and from their cgroups to pod and container.

The kernel's events say in which network namespace the packet was, or on which device towards one. The task that a
softirq interrupts is somebody else's, and is never asked. Cgroup paths name pod and container in two manners: as
directories (kubepods/besteffort/podUID/ID) and as systemd's units (kubepods-besteffort-podUID.slice/cri-…-ID.scope).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final

import attrs

from perfrun_kernels.spike.lines import Event, Place, Spike, Topology
from perfrun_kernels.spike.order import Container, Pod

_POD: Final = re.compile(r"(?:^|[-/])pod([0-9a-f]{8}[-_]?[0-9a-f]{4}[-_]?[0-9a-f]{4}[-_]?[0-9a-f]{4}[-_]?[0-9a-f]{12})")
_CONTAINER: Final = re.compile(r"(?:^|[-/:])([0-9a-f]{64})(?:\.scope)?(?:/|$)")

Listeners = Callable[[Sequence[int], int], Collection[int]]
"""Returns which of some processes own the socket that listens on a port; ``sockets.listeners``."""


@attrs.frozen
class Home:
    """Where a process lives, as its cgroup path says: the pod's uid and the container's id, or empty."""

    pod: str = ""
    container: str = ""


@attrs.frozen
class Identified:
    """Whose spike it is: ``pod`` and ``container`` are None where that could not be told; ``why`` is a sentence.

    ``proven`` is whether the kernel's events showed the network namespace, rather than only the address.
    """

    pod: Pod | None
    container: Container | None
    why: str
    proven: bool = False


def home(path: str) -> Home:
    """Return pod and container of a cgroup path of version 1 or 2, below whatever other directories it lies."""
    pods = _POD.findall(path)
    containers = _CONTAINER.findall(path)
    uid = pods[-1].replace("_", "-") if pods else ""
    return Home(uid, containers[-1] if uid and containers else "")


def namespace(spike: Spike, events: Iterable[Event], topology: Topology) -> tuple[Place | None, str]:
    """Return the pod's place that the probe's packets were in or on their way to, and by what it is known.

    It is known by "network namespace" or "device" where events of the probe's packets show it, else by "address".
    """
    own = [each for each in events if each.port == spike.port and each.at >= spike.sent]
    by_netns = {place.netns: place for place in topology.places if place.netns != topology.node_netns}
    for each in own:
        if each.netns in by_netns:
            return by_netns[each.netns], "network namespace"
    by_device = {place.host_ifindex: place for place in topology.places if place.host_ifindex}
    for each in own:
        if each.netns == topology.node_netns and each.ifindex in by_device:
            return by_device[each.ifindex], "device"
    return next((each for each in topology.places if spike.ip in (each.ip, *each.others)), None), "address"


def identify(
    spike: Spike, events: Iterable[Event], topology: Topology, pods: Sequence[Pod], port: int, listeners: Listeners
) -> Identified:
    """Return whose the spike is; ``port`` is the one that is probed.

    Of a pod's containers it is the one whose process owns the listening socket. Processes of no container of the order
    are left out: the pause container's, which only holds the namespace.
    """
    place, by = namespace(spike, events, topology)
    if place is None:
        return Identified(None, None, f"no network namespace of this node has the address {spike.ip}")
    homes = {pid: home(path) for pid, path in place.cgroups.items()}
    found = {each.uid: each for each in pods if any(own.pod == each.uid for own in homes.values())}
    if len(found) != 1:
        seen = ", ".join(sorted({own.pod for own in homes.values() if own.pod})) or "none"
        why = f"processes of pods {seen} live in network namespace {place.netns}, where one pod of the Service has to"
        return Identified(None, None, why)
    pod = next(iter(found.values()))
    owners = set(listeners(sorted(homes), port))
    container, how = _container(pod, homes, owners, port)
    why = f"{pod.namespace}/{pod.name}, by the {by} {place.host_dev if by == 'device' else place.netns}; {how}"
    return Identified(pod, container, why, proven=by != "address")


def _container(pod: Pod, homes: Mapping[int, Home], owners: set[int], port: int) -> tuple[Container | None, str]:
    known = {each.id: each for each in pod.containers}
    listening = {own.container for pid, own in homes.items() if pid in owners} & set(known)
    if len(listening) == 1:
        container = known[listening.pop()]
        return container, f"a process of container {container.name} listens on port {port}"
    alive = {own.container for own in homes.values()} & set(known)
    if not listening and len(alive) == 1:
        container = known[alive.pop()]
        return container, f"container {container.name} is the only one with processes"
    if listening:
        names = ", ".join(sorted(known[each].name for each in listening))
        return None, f"processes of the containers {names} listen on port {port}"
    return None, f"no process of its containers is seen to listen on port {port}"
