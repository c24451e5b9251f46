"""What the task that serves a probe was doing while the request waited at its socket.

The task is the one that reads from the connection, or that its packets wake: never the one that a softirq happened to
interrupt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final, Literal

import attrs

from perfrun_kernels.spike.lines import Event, Spike, Task
from perfrun_kernels.spike.path import REPLY, REQUEST, SERVED

TaskState = Literal["asleep", "waiting", "running", "frozen"]
"""waiting: it could run, and is not on a CPU. frozen: the cgroup freezer keeps it, and nothing wakes it."""

WAKE_NS: Final = 200_000
"""Nanoseconds after a packet's arrival within which the waking of a task is taken to be its doing."""

_LEFT: Final[Mapping[str, TaskState]] = {"R": "waiting", "F": "frozen"}
"""What a task is doing that leaves its CPU, by the first letter of its state; it sleeps in every other."""

_IDLE: Final = "swapper"
"""How the name of every CPU's idle task begins."""

_SCHEDULING: Final = frozenset({"waking", "wakeup", "switch_in", "switch_out"})


@attrs.frozen
class Stretch:
    """A time in which a task was in one state; ``cpu`` is where it ran last, or whose queue it was put on.

    ``ran`` is whether it had run since the request arrived; ``instead`` names the task that had the CPU meanwhile.
    ``guessed`` says that no event tells the state: the task was not heard of.
    """

    start: int
    end: int
    state: TaskState
    cpu: int = -1
    ran: bool = False
    instead: str = ""
    guessed: bool = False


def serving(spike: Spike, events: Sequence[Event], arrived: int, reader: int = 0) -> int | None:
    """Return the thread that serves the probe's connection, or None where nothing tells it.

    It is the one that read this request; else the one that alone read those before; else the one of the same network
    namespace that the arriving packet woke; else the one that read the last request before, which is ``reader`` where
    that was longer ago than events are looked at.
    """
    reads = [each for each in events if each.kind == "recv" and each.port == spike.port and each.direction != REPLY]
    for each in reads:
        if each.at >= arrived and each.pid:
            return each.pid
    readers = {each.pid for each in reads if each.pid}
    if len(readers) == 1:
        # Whoever is woken in the same moment on a busy node may be woken for something else.
        return readers.pop()
    arrivals = [each for each in events if each.at == arrived and each.kind == SERVED]
    for arrival in arrivals:
        for each in events:
            near = 0 <= each.at - arrival.at <= WAKE_NS and each.cpu == arrival.cpu
            if each.kind == "waking" and near and each.netns == arrival.netns:
                return each.pid
    return (reads[-1].pid if reads else reader) or None


def stretches(
    pid: int, events: Sequence[Event], start: int, end: int, sent: int, seen: Sequence[Task] = ()
) -> list[Stretch]:
    """Return the states of thread ``pid`` from ``start`` to ``end``, in order and without gaps.

    Before the probe was ``sent`` not all was recorded, but always that a task was made to stop. What was ``seen`` of a
    thread at the alarm is what it did all the time if no event tells of a change.
    """
    own = [each for each in events if each.pid == pid and each.kind in _SCHEDULING]
    before = [each for each in own if each.at <= start]
    later = [each for each in own if each.at > start]
    at_alarm = next((each for each in seen if each.pid == pid), None)
    state, cpu, guessed = _before(before, later, sent, at_alarm)
    found, since, ran = [], start, state == "running"
    for each in later:
        if each.at >= end:
            break
        following = _after(each, state)
        if each.kind != "waking":
            cpu = each.cpu
        if following == state:
            continue
        found.append(Stretch(since, each.at, state, cpu, ran, guessed=guessed))
        state, since, guessed = following, each.at, False
        ran = ran or state == "running"
    found.append(Stretch(since, max(end, since), state, cpu, ran, guessed=guessed))
    return [_told(pid, each, events) if each.state == "waiting" else each for each in found]


def _told(pid: int, waited: Stretch, events: Sequence[Event]) -> Stretch:
    """Return the stretch with who had the CPU for most of it.

    That is told by whom the task gave it to or found there, by all who took it over meanwhile, and by whom the task
    replaced at last.
    """
    turns: list[tuple[int, str]] = []
    for each in events:
        own = each.pid == pid
        if waited.start <= each.at < waited.end and each.cpu == waited.cpu:
            if own and each.other_comm and each.kind in {"wakeup", "switch_out"}:
                turns.append((each.at, _named(each.other_comm, each.other)))
            elif not own and each.kind == "switch_in":
                turns.append((each.at, _named(each.comm, each.pid)))
        elif own and each.kind == "switch_in" and each.at >= waited.end:
            turns = turns or [(waited.start, _named(each.other_comm, each.other))]
            break
    total: dict[str, int] = {}
    for (since, name), (until, _) in pairwise([*turns, (waited.end, "")]):
        total[name] = total.get(name, 0) + until - since
    total.pop("", None)
    return attrs.evolve(waited, instead=max(total, key=lambda name: total[name])) if total else waited


def _named(comm: str, pid: int) -> str:
    return f"{comm} ({pid})" if pid else ""


def longest(found: Sequence[Stretch]) -> Stretch:
    """Return the longest stretch, with all the time that the task was in that state counted."""
    total: dict[tuple[TaskState, bool], int] = {}
    for each in found:
        key = (each.state, each.ran)
        total[key] = total.get(key, 0) + each.end - each.start
    state, ran = max(total, key=lambda key: total[key])
    return max(
        (each for each in found if (each.state, each.ran) == (state, ran)), key=lambda each: each.end - each.start
    )


def idle(waited: Stretch, events: Sequence[Event]) -> bool:
    """Return whether the CPU was idle while the task waited for it: then it is not that CPU which it lacked."""
    return any(
        each.kind == "switch_in" and each.cpu == waited.cpu and each.other_comm.startswith(_IDLE)
        for each in events
        if waited.start < each.at < waited.end
    )


def threads(events: Sequence[Event], netns: int) -> list[int]:
    """Return the threads of a network namespace that were heard of, in the order of their number."""
    return sorted({each.pid for each in events if each.kind in _SCHEDULING and each.netns == netns and each.pid})


def arrival(way: Sequence[Event]) -> Event | None:
    """Return the request's arrival at the server's socket."""
    return next((each for each in way if each.kind == SERVED and each.direction == REQUEST), None)


def _before(
    before: Sequence[Event], later: Sequence[Event], sent: int, at_alarm: Task | None
) -> tuple[TaskState, int, bool]:
    """Return in which state a task was, on which CPU, and whether that is guessed."""
    state: TaskState = "asleep"
    for each in before:
        state = _after(each, state)
    if before and before[-1].at >= sent:
        return state, before[-1].cpu, False
    # What is heard of it first tells what it was: only a task that sleeps is woken.
    if later and later[0].kind == "switch_in":
        return "waiting", later[0].cpu, False
    if later and later[0].kind == "switch_out":
        return "running", later[0].cpu, False
    if later:
        return "asleep", later[0].cpu, False
    if at_alarm is not None and at_alarm.ran is not None:
        return "running" if at_alarm.ran else "waiting", at_alarm.cpu, False
    stopped = bool(before) and before[-1].kind == "switch_out" and state == "waiting"
    return "waiting" if stopped else "asleep", before[-1].cpu if before else -1, True


def _after(each: Event, state: TaskState) -> TaskState:
    if each.kind == "switch_in":
        return "running"
    if each.kind == "switch_out":
        return _LEFT.get(each.state[:1], "asleep")
    return "running" if state == "running" else "waiting"
