"""In which stage of the kernel a probe was held up, told from what the kernel did.

The packet is followed forward to the step in which most of its time until the deadline went by. What follows after that
step, even after the alarm, proves it; where nothing follows, the events that did not come prove it only if the kernel
would have shown them and none was lost. Every input has an answer: without evidence it is unknown, with what is
missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Final, get_args

import attrs

from perfrun_kernels.contract import SpikeStage
from perfrun_kernels.spike import path, tasks
from perfrun_kernels.spike.lines import Container, Event, Events, Spike, State, Task
from perfrun_kernels.spike.path import Step

STAGES: Final[tuple[SpikeStage, ...]] = get_args(SpikeStage)
_MS: Final = 1e6

_BLOCKED: Final = "D"
"""The state of a thread that waits for the kernel itself, as for a lock or a disk, and never for a packet."""


@attrs.frozen
class Located:
    """The stage, and a sentence why; from ``start`` to ``end`` (ns) the probe was held up there.

    ``missing`` says of an unknown stage which evidence is not there.
    """

    stage: SpikeStage
    why: str
    start: int
    end: int
    missing: str = ""


def locate(
    spike: Spike, seen: Events | None, state: State | None, shown: AbstractSet[str], container: str = ""
) -> Located:
    """Return where the probe was held up.

    ``shown`` are the kinds of event that the kernel offers here; ``container`` is the id of the container that serves,
    where it is known.
    """
    if seen is None or seen.start > spike.sent:
        return _unknown(spike, "no events were recorded from the time when the probe was sent")
    way = path.packets(spike, seen.events)
    if drop := path.dropped(spike, way):
        return _dropped(drop, seen)
    step = path.longest(spike, way, seen.end)
    if step.following is None and seen.lost:
        return _unknown(spike, "events were lost, so that one which is not among the others may have happened", step)
    if step.kind == path.SERVED and step.direction == path.REQUEST:
        looked_at = state.tasks if state is not None else ()
        return _serving(spike, seen, looked_at, _own(state, container), shown, step)
    return _on_the_way(spike, step, shown)


def _dropped(drop: Event, seen: Events) -> Located:
    reason = f" ({drop.reason})" if drop.reason else ""
    device = f" at interface {drop.ifindex}" if drop.ifindex else ""
    return Located("drop", f"the kernel dropped the {drop.direction}{device}{reason}", drop.at, max(seen.end, drop.at))


def _sending(spike: Spike, step: Step, shown: AbstractSet[str]) -> Located:
    if step.following is not None:
        return _unknown(spike, "the probe was held up before it reached a device, where no event is recorded", step)
    if not shown & {"dev_queue", "dev_xmit"}:
        return _unknown(spike, "the kernel does not show packets at devices here", step)
    return _unknown(spike, "nothing of the probe was seen after it was sent", step)


def _queued(spike: Spike, step: Step, shown: AbstractSet[str]) -> Located:
    if step.following is not None:
        after = f"left the queue {_ms(step.end - step.start)} after it had entered"
    elif step.kind == "qdisc_enqueue" and shown & {"qdisc_dequeue", "dev_xmit"}:
        after = "entered the queue and did not leave it"
    else:
        return _unknown(spike, "the packet was handed to a device, and the kernel shows no queueing discipline", step)
    return Located("qdisc", f"the {step.direction} {after}, at interface {_interface(step)}", step.start, step.end)


def _on_the_way(spike: Spike, step: Step, shown: AbstractSet[str]) -> Located:
    if step.kind == path.SENT:
        return _sending(spike, step, shown)
    if step.kind in {"dev_queue", "qdisc_enqueue"}:
        return _queued(spike, step, shown)
    if step.kind == path.SERVED:
        return _unknown(spike, "the answer had reached the prober's socket: the prober itself was late", step)
    if step.following is None and path.SERVED not in shown:
        return _unknown(spike, "the kernel does not show when a packet reaches its socket", step)
    place = {
        "netif_receive": "had been received, and was held in the network stack (netfilter or a softirq)",
        "netif_rx": "was in a CPU's backlog, and its softirq did not take it up",
        "dev_xmit": "was sent on, and was held before the softirq of the other end, or in it",
    }.get(step.kind, "had left the queue, and was held before its device")
    if step.following is not None:
        how = f", for {_ms(step.end - step.start)} until {step.following.kind}"
    else:
        how = ", and did not reach its socket"
    why = f"the {step.direction} {place} at interface {_interface(step)}{how}"
    return Located("softirq", why, step.start, step.end)


def _serving(
    spike: Spike, seen: Events, looked_at: Sequence[Task], own: Container | None, shown: AbstractSet[str], step: Step
) -> Located:
    if not {"switch_in", "switch_out"} <= shown or not shown & {"waking", "wakeup"}:
        if own is not None and own.frozen:
            return _frozen(step, "the container")
        return _unknown(spike, "the kernel does not show which tasks it wakes and runs", step)
    pid = tasks.serving(spike, seen.events, step.start, seen.reader)
    if pid is None:
        return _nobody(spike, own, step, seen.events)
    end = min(step.end, spike.deadline)
    held = tasks.longest(tasks.stretches(pid, seen.events, step.start, end, spike.sent, looked_at))
    at = attrs.evolve(step, start=held.start, end=step.end if held.end == end else held.end)
    at_alarm = next((each for each in looked_at if each.pid == pid), None)
    return _held(spike, seen, at, held, own, _name(seen.events, pid), at_alarm)


def _held(
    spike: Spike, seen: Events, at: Step, held: tasks.Stretch, own: Container | None, name: str, at_alarm: Task | None
) -> Located:
    if held.state == "frozen" or (own is not None and own.frozen and held.state != "running"):
        return _frozen(at, name)
    if held.guessed and own is not None and (own.throttled or own.throttled_ns):
        return _throttled(at, own, name)
    if held.guessed and at_alarm is not None and at_alarm.state == "R":
        return _unknown(spike, f"{name} could run, and whether it had a CPU was not seen", at)
    if held.state == "asleep" and not held.ran:
        return _asleep(spike, at, held, name, at_alarm)
    return _by_itself(spike, seen, at, held, own, name)


def _asleep(spike: Spike, at: Step, held: tasks.Stretch, name: str, at_alarm: Task | None) -> Located:
    if not held.guessed:
        return Located("wakeup", f"the request was at the socket, and nobody woke {name}", at.start, at.end)
    if at_alarm is None:
        # It may have been woken before the probe was sent, when that was not recorded.
        return _unknown(spike, f"nothing was heard of {name}, and what it was doing at the alarm was not seen", at)
    place = f" in {at_alarm.where}" if at_alarm.where else ""
    if at_alarm.state == _BLOCKED:
        return Located("application", f"{name} was blocked{place}, and did not wait for the request", at.start, at.end)
    slept = f", which slept{place}" if place else ""
    return Located("wakeup", f"the request was at the socket, and nobody woke {name}{slept}", at.start, at.end)


def _by_itself(spike: Spike, seen: Events, at: Step, held: tasks.Stretch, own: Container | None, name: str) -> Located:
    if held.state == "waiting":
        return _waiting(spike, at, held, own, name, idle=tasks.idle(held, seen.events))
    if held.state == "running":
        return Located("application", f"{name} had the CPU for {_ms(held.end - held.start)}", at.start, at.end)
    return Located("application", f"{name} ran, and then waited for something else than the CPU", at.start, at.end)


def _nobody(spike: Spike, own: Container | None, step: Step, events: Sequence[Event]) -> Located:
    if own is not None and own.frozen:
        return _frozen(step, "the container")
    if own is not None and (own.throttled or own.throttled_ns):
        return _throttled(step, own, "the container")
    woken = any(each.kind == "waking" and step.start <= each.at <= spike.deadline for each in events)
    if woken:
        return _unknown(spike, "which task reads from the connection was not seen", step)
    return Located("wakeup", "the request was at the socket, and no task of the pod was woken", step.start, step.end)


def _waiting(spike: Spike, at: Step, held: tasks.Stretch, own: Container | None, name: str, *, idle: bool) -> Located:
    if own is None:
        return _unknown(spike, f"{name} could run and did not; whether its quota was used up was not seen", at)
    if own.throttled or own.throttled_ns:
        return _throttled(at, own, name)
    if own.limited and idle:
        # The kernel counts throttling only at the end of a period, which may be after the last look.
        why = f"{name} could run, and did not though CPU {held.cpu} was idle: its container has a quota"
        return Located("throttled", why, at.start, at.end)
    instead = f" while {held.instead} ran" if held.instead else ""
    waited = _ms(held.end - held.start)
    return Located("runqueue", f"{name} waited {waited} for CPU {held.cpu}{instead}", at.start, at.end)


def _throttled(at: Step, own: Container, name: str) -> Located:
    grown = f"for {_ms(own.throttled_ns)}" if own.throttled_ns else f"{own.throttled} times"
    return Located("throttled", f"{name} could run, and its container was throttled {grown}", at.start, at.end)


def _frozen(at: Step, name: str) -> Located:
    return Located("wakeup", f"the request was at the socket, and {name} was frozen", at.start, at.end)


def _own(state: State | None, container: str) -> Container | None:
    """Return the serving container's state; where it is not known which one that is, the one with anything to tell."""
    if state is None or not state.containers:
        return None
    for each in state.containers:
        if container and each.id == container:
            return each
    return max(state.containers, key=lambda each: (each.frozen, each.throttled, each.throttled_ns))


def _unknown(spike: Spike, missing: str, step: Step | None = None) -> Located:
    start, end = (step.start, step.end) if step is not None else (spike.sent, max(spike.at, spike.sent))
    return Located("unknown", f"it cannot be told where: {missing}", start, end, missing)


def _interface(step: Step) -> int:
    return step.event.ifindex if step.event is not None else 0


def _name(events: Sequence[Event], pid: int) -> str:
    comm = next((each.comm for each in events if each.pid == pid and each.comm), "")
    return f"{comm} ({pid})" if comm else f"thread {pid}"


def _ms(nanoseconds: int) -> str:
    return f"{nanoseconds / _MS:.1f} ms"
