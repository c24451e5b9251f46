"""A spike as lanes of time: what the trace and the picture both show.

Pure: of one incident's evidence the lanes are made, of the probe, its packets, the queues and softirqs between them,
the tasks of the pod, the CPUs that they want, and what held the container's tasks off.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, Literal

import attrs

from perfrun_kernels.spike import path, tasks
from perfrun_kernels.spike.incidents import Incident
from perfrun_kernels.spike.lines import Event

Style = Literal[
    "probe", "queue", "softirq", "socket", "running", "waiting", "asleep", "frozen", "other", "held", "injected"
]

ALARM: Final = "spike alarm"
"""What the moment is called at which the prober told of the spike."""

_STEPS: Final[dict[str, tuple[str, Style]]] = {
    path.SENT: ("sent", "other"),
    "dev_queue": ("given to a device", "queue"),
    "qdisc_enqueue": ("in the queue", "queue"),
    "qdisc_dequeue": ("out of the queue", "softirq"),
    "dev_xmit": ("on the veth", "softirq"),
    "netif_rx": ("in a backlog", "softirq"),
    "netif_receive": ("received, in netfilter or IP", "softirq"),
    "sock_ready": ("at the socket", "socket"),
}
"""What a packet's way from each kind of event is called, and its style."""


@attrs.frozen
class Span:
    """Something that lasted; nanoseconds of CLOCK_MONOTONIC."""

    start: int
    end: int
    name: str
    style: Style


@attrs.frozen
class Mark:
    """A moment."""

    at: int
    name: str


@attrs.frozen
class Lane:
    """One row: its spans follow each other without overlap."""

    name: str
    spans: tuple[Span, ...] = ()
    marks: tuple[Mark, ...] = ()


@attrs.frozen
class Timeline:
    """All lanes of a spike between ``start`` and ``end``; ``held`` is where the probe was held up."""

    start: int
    end: int
    lanes: tuple[Lane, ...]
    held: Span


def of(incident: Incident) -> Timeline:
    """Return the lanes of an incident that was located."""
    spike, seen, located = incident.spike, incident.events, incident.located
    start = seen.start if seen is not None else spike.sent
    end = max(spike.at, incident.answered or 0, seen.end if seen is not None else 0)
    events = [each for each in seen.events if start <= each.at <= end] if seen is not None else []
    way = path.packets(spike, events)
    held = Span(spike.sent, end, "unknown", "held")
    if located is not None:
        held = Span(max(located.start, start), min(max(located.end, located.start), end), located.stage, "held")
    answered = incident.answered or next(
        (each.at for each in way if each.kind == "sock_ready" and each.direction == path.REPLY), None
    )
    probe = Lane(
        "probe",
        (Span(spike.sent, min(answered or end, end), "answered late" if answered else "unanswered", "probe"),),
        (Mark(spike.deadline, "deadline"), Mark(spike.at, ALARM)),
    )
    netns = _netns(way, events, incident)
    asked = [each for each in events if each.at >= spike.sent]
    cpus = sorted({each.cpu for each in asked if each.kind in _RUNS})
    lanes = [
        probe,
        _packets(way),
        _between(spike.sent, way, end),
        # Before the probe was sent, not all that tasks did was recorded.
        *(_task(pid, events, spike.sent, end) for pid in tasks.threads(events, netns)),
        *(_cpu(number, asked, spike.sent, end) for number in cpus),
        Lane(_holding(incident), (held,) if held.end > held.start else (), (Mark(held.start, held.name),)),
    ]
    return Timeline(start, end, tuple(each for each in lanes if each.spans or each.marks), held)


_RUNS: Final = frozenset({"switch_in", "switch_out", "wakeup"})
"""What tells who runs on a CPU; a wake-up names who was found there."""


def _netns(way: Sequence[Event], events: Sequence[Event], incident: Incident) -> int:
    node = incident.topology.node_netns
    inside = next((each.netns for each in way if each.netns and each.netns != node), 0)
    return inside or next((each.netns for each in events if each.pid and each.netns and each.netns != node), 0)


def _packets(way: Sequence[Event]) -> Lane:
    marks = (Mark(each.at, f"{each.direction} {each.reason or each.kind}") for each in way)
    return Lane("packets", marks=tuple(marks))


def _between(sent: int, way: Sequence[Event], end: int) -> Lane:
    marks = [each for each in way if each.kind != "drop"]
    spans = []
    for before, after in pairwise([None, *marks, None]):
        start, kind = (before.at, before.kind) if before is not None else (sent, path.SENT)
        until = after.at if after is not None else end
        reply = before is not None and before.direction == path.REPLY
        # With the answer at the prober's socket the way is over.
        if until > start and not (reply and kind == path.SERVED):
            name, style = _STEPS.get(kind, (kind, "other"))
            spans.append(Span(start, until, f"{'reply' if reply else 'request'} {name}", style))
    return Lane("queues and softirqs", tuple(spans))


def _task(pid: int, events: Sequence[Event], start: int, end: int) -> Lane:
    comm = next((each.comm for each in events if each.pid == pid and each.comm), "thread")
    spans = (
        Span(each.start, each.end, _said(each), each.state)
        for each in tasks.stretches(pid, events, start, end, start)
        if each.end > each.start
    )
    return Lane(f"{comm} ({pid})", tuple(spans))


def _said(each: tasks.Stretch) -> str:
    if each.state == "waiting" and each.instead:
        return f"waiting while {each.instead} runs"
    return f"running on CPU {each.cpu}" if each.state == "running" else each.state


def _cpu(number: int, events: Sequence[Event], start: int, end: int) -> Lane:
    """Return who has a CPU: exact for the pod's tasks, and of all others who took over from them."""
    own = [each for each in events if each.cpu == number and each.kind in _RUNS]
    first = own[0]
    current, style = _before(first)
    spans, since = [], start
    for each in [*own, None]:
        until = each.at if each is not None else end
        following, next_style = _after(each) if each is not None else ("", style)
        if following != current:
            if until > since and current != _IDLE:
                spans.append(Span(since, until, current, style))
            since = until
        current, style = following, next_style
    return Lane(f"CPU {number}", tuple(spans))


_IDLE: Final = "idle"


def _after(each: Event) -> tuple[str, Style]:
    """Return who runs after a switch; of the pods' own tasks the network namespace is known."""
    if each.kind == "switch_in":
        return _named(each.comm, each.pid), "running" if each.netns else "other"
    return _named(each.other_comm, each.other), "other"


def _before(each: Event) -> tuple[str, Style]:
    if each.kind == "switch_out":
        return _named(each.comm, each.pid), "running"
    return _named(each.other_comm, each.other), "other"


def _named(comm: str, pid: int) -> str:
    return f"{comm} ({pid})" if pid else _IDLE


def _holding(incident: Incident) -> str:
    states = incident.state.containers if incident.state is not None else ()
    frozen = any(each.frozen for each in states)
    grown = sum(each.throttled for each in states)
    facts = [*(["frozen"] if frozen else []), *([f"throttled {grown} times"] if grown else [])]
    return f"held up{': ' + ', '.join(facts) if facts else ''}"
