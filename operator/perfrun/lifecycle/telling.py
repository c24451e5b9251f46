"""Faults and scalings for people: each in one line, from the intent to the proof."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Final

from perfrun.api.chaos import AnyFault, Backend
from perfrun.api.faults import FaultStatus, NodeFault, Scaling

_DONE: Final[dict[AnyFault, str]] = {
    "isolate": "isolated", "freeze": "frozen", "drain": "drained", "pod-kill": "hit by a pod kill",
    "spike": "watched for latency spikes",
}  # fmt: skip
_BY: Final[dict[Backend, str]] = {"native": "", "chaos-mesh": " by Chaos Mesh", "litmus": " by Litmus"}
_NAMES: Final = 4


def fault_line(fault: FaultStatus) -> str:
    """Return how a fault went, such as ``2 nodes (node-3, node-7) isolated 18:40:02–18:40:48 UTC, proven undone``."""
    who = nodes(fault.nodes)
    what = _DONE[fault.kind] + _BY[fault.backend]
    if fault.state == "Refused":
        return f"called off before anything happened: {fault.message or fault.reason or 'no reason is known'}"
    if fault.state == "Intended":
        return f"{who} to be {what} {_span(fault.starts_at, fault.ends_at)}"
    begun = min((each.injected_at for each in fault.nodes if each.injected_at), default=fault.starts_at)
    ended = [each.undone_at for each in fault.nodes if each.undone_at]
    if len(ended) == len(fault.nodes) and ended:
        when = _span(begun, max(ended))
    else:
        when = f"since {_clock(begun)}, until {_clock(fault.ends_at)} UTC at the latest"
    told = [f"{who} {what} {when}", _noticed(fault.nodes), _proven(fault)]
    return ", ".join(each for each in told if each) + (f" ({fault.message})" if fault.message else "")


def scaling_line(scaling: Scaling) -> str:
    """Return what was done to a workload's replicas, such as ``Deployment shop/web scaled from 3 to 5 and back``."""
    what = f"{scaling.kind} {scaling.namespace}/{scaling.name}"
    if scaling.restored:
        return f"{what} has its {scaling.before} replicas again"
    return f"{what} has {scaling.now} replicas for the run, and is yet to have its {scaling.before} again"


def nodes(failing: Sequence[NodeFault]) -> str:
    """Return how many nodes and which: ``1 node (node-3)``."""
    count = f"{len(failing)} node{'' if len(failing) == 1 else 's'}"
    names = [each.node for each in failing[:_NAMES]]
    more = f" and {len(failing) - _NAMES} more" if len(failing) > _NAMES else ""
    return f"{count} ({', '.join(names)}{more})" if names else count


def _noticed(failing: Sequence[NodeFault]) -> str:
    after = sorted(
        (each.not_ready_at - each.injected_at).total_seconds()
        for each in failing
        if each.injected_at is not None and each.not_ready_at is not None
    )
    if not after:
        return ""
    some = f"{len(after)} of them " if len(after) < len(failing) else ""
    first, last = f"{after[0]:.1f}", f"{after[-1]:.1f}"
    return f"{some}NotReady after {first} s" if first == last else f"{some}NotReady after {first} to {last} s"


def _proven(fault: FaultStatus) -> str:
    left = [each.node for each in fault.nodes if each.clean_at is None]
    if fault.state == "Undone":
        return "proven undone"
    if len(left) == len(fault.nodes):
        return "not proven undone yet" if any(each.undone_at for each in fault.nodes) else ""
    return f"proven undone but for {', '.join(left)}" if left else "proven undone on every node"


def _span(start: dt.datetime, end: dt.datetime) -> str:
    return f"{_clock(start)}–{_clock(end)} UTC"


def _clock(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).strftime("%H:%M:%S")
