"""A fault as evidence: whether it really happened, to all its nodes at once, and between which moments.

Nothing is concluded from a fault that is not proven. An agent's word is one proof; traffic is another: a node that was
cut off and went on answering was not.
"""

from __future__ import annotations

import datetime as dt
from typing import Final

import attrs

from perfrun.api.base import JSON
from perfrun.api.faults import FaultStatus
from perfrun.capabilities.base import Evidence, NotMeasured
from perfrun.capabilities.books import Books, job, nodes_of
from perfrun.measuring.timeline import Timeline, last_served, named

_SIMULTANEOUS: Final = 1.0
"""Seconds within which all nodes must have failed to have failed at once."""

_EDGE: Final = 1.0
"""Seconds at both ends of a fault in which a node may answer: answers were on their way, and clocks differ."""


@attrs.frozen
class Failing:
    """A proven fault; times are seconds since the epoch.

    ``begins`` is when the first node failed, ``ends`` when the first was itself again or was about to be. ``nodes``
    failed, ``remaining`` serve on. ``run`` is the load by node.
    """

    begins: float
    ends: float
    nodes: tuple[str, ...]
    remaining: tuple[str, ...]
    run: Timeline
    facts: dict[str, JSON]

    def last_answer(self) -> float | None:
        """Return the end of the last window before the fault's end in which a failed node answered, or None."""
        during = self.run.between(self.run.start, self.ends)
        return max((at for node in self.nodes if (at := last_served(during, node)) is not None), default=None)


def failing(evidence: Evidence, books: Books) -> Failing | NotMeasured:
    """Return what the fault of a load was, or why it is no evidence."""
    fault = evidence.fault
    if fault is None:
        return _nothing(evidence, "FaultNotProven", "it is not known whether any node failed during the load")
    if fault.reason or fault.state == "Refused":
        message = fault.message or "the fault was called off before anything happened"
        return _nothing(evidence, fault.reason or "FaultRefused", message)
    injected = [each.injected_at.timestamp() for each in fault.nodes if each.injected_at is not None]
    silent = [each.node for each in fault.nodes if each.injected_at is None]
    if silent or not injected:
        told = ", ".join(silent) or "any node"
        return _nothing(evidence, "FaultNotProven", f"it is not proven that {told} failed ({fault.kind})")
    skew = max(injected) - min(injected)
    if skew > _SIMULTANEOUS:
        message = f"the nodes did not fail at once: {skew:.1f} s lay between the first and the last"
        return _nothing(evidence, "NotSimultaneous", message)
    nodes = tuple(each.node for each in fault.nodes)
    found = Failing(
        begins=min(injected),
        ends=_end(fault),
        nodes=nodes,
        remaining=tuple(each.node for each in evidence.serving if each.node not in nodes),
        run=named(books.timeline, nodes_of(evidence.serving)),
        facts=_facts(fault, injected),
    )
    return _still_answered(evidence, fault, found) or found


def _end(fault: FaultStatus) -> float:
    """Return when the observation ends: at the first node that is undone, but never after the planned end.

    A pod that was killed is undone at once, and what follows is what is observed.
    """
    undone = [each.undone_at.timestamp() for each in fault.nodes if each.undone_at is not None]
    return min([fault.ends_at.timestamp(), *(undone if fault.kind != "pod-kill" else [])])


def _facts(fault: FaultStatus, injected: list[float]) -> dict[str, JSON]:
    begins = min(injected)
    noticed = [each.not_ready_at for each in fault.nodes]
    return {
        "fault": fault.kind,
        "backend": fault.backend,
        "failed_nodes": [each.node for each in fault.nodes],
        "injected_at": dt.datetime.fromtimestamp(begins, dt.UTC).isoformat(),
        "injection_delay_seconds": round(begins - fault.starts_at.timestamp(), 3),
        "injection_skew_seconds": round(max(injected) - begins, 3),
        "not_ready_after_seconds": [
            None if each is None else round(each.timestamp() - begins, 3) for each in noticed
        ],
    }  # fmt: skip


def _still_answered(evidence: Evidence, fault: FaultStatus, found: Failing) -> NotMeasured | None:
    if fault.kind != "isolate":
        return None
    during = found.run.between(found.begins + _EDGE, found.ends - _EDGE)
    for node in found.nodes:
        answers = sum(window.served.get(node, 0) for window in during.windows)
        if answers:
            message = (
                f"node {node} gave {answers} good answers later than {_EDGE:g} s after it is said to have been "
                "cut off, so it was not"
            )
            return _nothing(evidence, "FaultNotProven", message, found.facts)
    return None


def _nothing(evidence: Evidence, reason: str, message: str, facts: dict[str, JSON] | None = None) -> NotMeasured:
    return NotMeasured(reason=reason, message=message, source=job(evidence), facts=facts or {})
