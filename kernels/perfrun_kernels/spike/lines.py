"""What perfrun-netwatch says, line by line, as values.

A line has more fields than are read here, and may get others: what is not known is left alone. Times are nanoseconds of
CLOCK_MONOTONIC.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs


class LineError(ValueError):
    """A line is not what perfrun-netwatch writes; the message shows how it begins."""


@attrs.frozen
class Event:
    """One thing that the kernel did: ``kind`` at ``at``; what it has no use for is 0 or empty.

    ``netns`` and ``ifindex`` say where a packet was, ``direction`` is request or reply, ``port`` the prober's.
    ``pid`` is a thread; ``other`` and ``other_comm`` are the one that a switch replaces, or is replaced by.
    """

    at: int
    kind: str
    netns: int = 0
    ifindex: int = 0
    direction: str = ""
    seq: int = 0
    port: int = 0
    length: int = 0
    cpu: int = 0
    pid: int = 0
    comm: str = ""
    other: int = 0
    other_comm: str = ""
    state: str = ""
    reason: str = ""


@attrs.frozen
class Facilities:
    """What the kernel offers: the source of events, which kinds it gives, and why others are missing."""

    source: str
    events: frozenset[str]
    missing: Mapping[str, str]
    kernel: str
    more: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen
class Place:
    """A network namespace of the node: its pod's address, the device that leads to it, and who lives there.

    ``others`` are all of its addresses, ``cgroups`` the cgroup paths of its processes.
    """

    ip: str
    netns: int
    host_ifindex: int
    host_dev: str
    pids: tuple[int, ...]
    cgroups: Mapping[int, str]
    others: tuple[str, ...] = ()


@attrs.frozen
class Topology:
    """All places of the node; ``node_netns`` is the node's own network namespace."""

    node_netns: int
    places: tuple[Place, ...]


@attrs.frozen
class Ready:
    """The prober's baseline (microseconds by name) and the deadline that it chose."""

    baseline: Mapping[str, float]
    deadline_us: float


@attrs.frozen
class Injection:
    """A spike that was made: ``at`` is the moment of its effect, the ground truth."""

    kind: str
    round: int
    ordered: int
    at: int
    pod_ip: str
    container_id: str


@attrs.frozen
class Undo:
    """The end of an injection."""

    kind: str
    round: int
    at: int


@attrs.frozen
class Refused:
    """A kind of spike that cannot be made here."""

    kind: str
    reason: str
    message: str


@attrs.frozen
class Spike:
    """An alarm: the probe was sent at ``sent`` and had no answer by ``deadline``; ``late`` is the timer's own."""

    id: int
    at: int
    ip: str
    port: int
    seq: int
    sent: int
    deadline: int
    late: int


@attrs.frozen
class Events:
    """What the kernel did around a spike, in order; ``lost`` events at least are missing. ``reader``: who read last."""

    spike: int
    start: int
    end: int
    complete: bool
    lost: int
    events: tuple[Event, ...]
    reader: int = 0


@attrs.frozen
class Container:
    """A container's state around a spike: how often and how long (ns) it was throttled, and whether it was frozen.

    ``limited`` is whether it has a quota of CPU at all.
    """

    id: str
    cgroup: str
    throttled: int
    throttled_ns: int
    frozen: bool
    limited: bool = False


@attrs.frozen
class Task:
    """What a thread was doing at the alarm: ``state`` is /proc's letter; ``ran``, of a ready one, that it had a CPU.

    ``ran`` is None where that is not known. ``where``, of one that sleeps, is the kernel's function in which it does.
    """

    pid: int
    state: str
    cpu: int
    ran: bool | None = None
    where: str = ""


@attrs.frozen
class State:
    """The containers of the spike's pod, the packets that wait at its device, and what who may serve it was doing."""

    spike: int
    at: int
    containers: tuple[Container, ...]
    qdiscs: tuple[Mapping[str, Any], ...] = ()
    tasks: tuple[Task, ...] = ()


@attrs.frozen
class Answer:
    """The late answer to a probe; the kernel had it at ``received``."""

    spike: int
    at: int
    received: int


@attrs.frozen
class Lost:
    """A pod does not answer the prober any more, or never did."""

    at: int
    ip: str
    message: str


@attrs.frozen
class Broken:
    """Why the watch cannot go on; ``reason`` is one CamelCase word."""

    reason: str
    message: str


@attrs.frozen
class End:
    """The watch is over; ``counts`` are its totals."""

    counts: Mapping[str, Any]


Line = (
    Facilities | Topology | Ready | Injection | Undo | Refused | Spike | Events | State | Answer | Lost | Broken | End
)


def read(text: str) -> Line | None:
    """Return the line's value, or None where its type is not known here.

    Raises:
        LineError: it is no JSON object, or lacks a field.
    """
    try:
        data = json.loads(text)
        reader = _READERS.get(data["type"])
        return None if reader is None else reader(data)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise LineError(f"perfrun-netwatch wrote {text[:120]!r}: {type(error).__name__} {error}") from error


def event(data: Mapping[str, Any]) -> Event:
    """Return an event from its JSON object."""
    return Event(
        data["t"], data["k"], data.get("netns", 0), data.get("ifindex", 0), data.get("dir", ""), data.get("seq", 0),
        data.get("port", 0), data.get("len", 0), data.get("cpu", 0), data.get("pid", 0), data.get("comm", ""),
        data.get("prev_pid", 0), data.get("prev_comm", ""), data.get("prev_state", ""), data.get("reason", ""),
    )  # fmt: skip


def _facilities(data: Mapping[str, Any]) -> Facilities:
    more = {name: each for name, each in data.items() if name not in {"type", "source", "events", "missing", "kernel"}}
    return Facilities(
        data["source"], frozenset(data["events"]), dict(data.get("missing") or {}), data.get("kernel", ""), more
    )


def _topology(data: Mapping[str, Any]) -> Topology:
    places = tuple(
        Place(
            each.get("ip", ""), each["netns"], each.get("host_ifindex", 0), each.get("host_dev", ""),
            tuple(each.get("pids") or ()), {int(pid): path for pid, path in (each.get("cgroups") or {}).items()},
            tuple(each.get("ips") or ()),
        )
        for each in data["pods"] or ()
    )  # fmt: skip
    return Topology(data["node_netns"], places)


def _events(data: Mapping[str, Any]) -> Events:
    found = tuple(event(each) for each in data["events"] or ())
    lost, reader = data.get("lost", 0), data.get("reader", 0)
    return Events(data["spike"], data["from_ns"], data["to_ns"], data["complete"], lost, found, reader)


def _state(data: Mapping[str, Any]) -> State:
    containers = tuple(
        Container(
            each["id"], each.get("cgroup", ""), _grown(each, "nr_throttled"), _grown(each, "throttled_ns"),
            each.get("frozen", False), each.get("quota", "").split()[:1] not in _UNLIMITED,
        )
        for each in data["containers"] or ()
    )  # fmt: skip
    tasks = tuple(
        Task(each["pid"], each["state"], each.get("cpu", 0), each.get("ran"), each.get("where", ""))
        for each in data.get("tasks") or ()
    )
    return State(data["spike"], data["at_ns"], containers, tuple(data.get("qdiscs") or ()), tasks)


_UNLIMITED: Final[tuple[list[str], ...]] = ([], ["-1"], ["max"])
"""What a cgroup of either version says of a quota that is none."""


def _grown(data: Mapping[str, Any], name: str) -> int:
    """Return by how much a counter grew from before the spike to its alarm, or to its answer.

    The kernel counts throttling only when a period ends, which may be after the alarm.
    """
    before = int(data.get(f"{name}_before", 0))
    return max(0, int(data.get(name, 0)) - before, int(data.get(f"{name}_after", 0)) - before)


_READERS: Final[Mapping[str, Callable[[Mapping[str, Any]], Line]]] = {
    "facilities": _facilities,
    "topology": _topology,
    "ready": lambda data: Ready(data["baseline"], data["deadline_us"]),
    "inject": lambda data: Injection(
        data["kind"], data["round"], data.get("ordered_ns", data["at_ns"]), data["at_ns"], data["pod_ip"],
        data.get("container_id", ""),
    ),
    "undo": lambda data: Undo(data["kind"], data["round"], data["at_ns"]),
    "refused": lambda data: Refused(data["kind"], data["reason"], data["message"]),
    "spike": lambda data: Spike(
        data["id"], data["at_ns"], data["ip"], data["port"], data.get("seq", 0), data["sent_ns"], data["deadline_ns"],
        data.get("late_ns", 0),
    ),
    "events": _events,
    "state": _state,
    "answer": lambda data: Answer(data["spike"], data["at_ns"], data["rx_ns"]),
    "lost": lambda data: Lost(data["at_ns"], data["ip"], data["message"]),
    "error": lambda data: Broken(data["reason"], data["message"]),
    "end": lambda data: End({name: each for name, each in data.items() if name != "type"}),
}  # fmt: skip
