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

_STYLES: Final[dict[str, Style]] = {
    path.SENT: "other", "dev_queue": "queue", "qdisc_enqueue": "queue", "qdisc_dequeue": "softirq",
    "dev_xmit": "softirq", "netif_rx": "softirq", "netif_receive": "softirq", "sock_ready": "socket",
}  # fmt: skip


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
        (Mark(spike.deadline, "deadline"), Mark(spike.at, "alarm")),
    )
    netns = _netns(way, events, incident)
    lanes = [
        probe,
        _packets(way),
        _between(spike.sent, way, end),
        *(_task(pid, events, start, end) for pid in tasks.threads(events, netns)),
        *(_cpu(number, events, start, end) for number in sorted({each.cpu for each in events if each.kind in _RUNS})),
        Lane(_holding(incident), (held,) if held.end > held.start else (), (Mark(held.start, held.name),)),
    ]
    return Timeline(start, end, tuple(each for each in lanes if each.spans or each.marks), held)


_RUNS: Final = frozenset({"switch_in", "switch_out"})


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
            name = f"{'reply' if reply else 'request'}: {kind}"
            spans.append(Span(start, until, name, _STYLES.get(kind, "other")))
    return Lane("queues and softirqs", tuple(spans))


def _task(pid: int, events: Sequence[Event], start: int, end: int) -> Lane:
    comm = next((each.comm for each in events if each.pid == pid and each.comm), "thread")
    spans = (
        Span(each.start, each.end, _said(each), each.state)
        for each in tasks.stretches(pid, events, start, end)
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
    current = f"{first.other_comm} ({first.other})" if first.kind == "switch_in" else f"{first.comm} ({first.pid})"
    style: Style = "other" if first.kind == "switch_in" else "running"
    spans, since = [], start
    for each in own:
        if each.at > since:
            spans.append(Span(since, each.at, current, style))
        since = each.at
        inside = each.kind == "switch_in"
        current, style = (
            (f"{each.comm} ({each.pid})", "running") if inside else (f"{each.other_comm} ({each.other})", "other")
        )
    if end > since:
        spans.append(Span(since, end, current, style))
    return Lane(f"CPU {number}", tuple(spans))


def _holding(incident: Incident) -> str:
    states = incident.state.containers if incident.state is not None else ()
    frozen = any(each.frozen for each in states)
    grown = sum(each.throttled for each in states)
    facts = [*(["frozen"] if frozen else []), *([f"throttled {grown} times"] if grown else [])]
    return f"held up{': ' + ', '.join(facts) if facts else ''}"
