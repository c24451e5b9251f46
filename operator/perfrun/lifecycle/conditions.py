"""Conditions, projected from the phase: computed here and nowhere else.

The projections follow kstatus, as generic tools read it: ``Reconciling`` and ``Stalled`` are never both there and
are removed when false; only Stalled reads as failed, while Ready=False alone reads as in progress.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Literal

import attrs

from perfrun.api.base import JSON
from perfrun.api.durations import rfc3339
from perfrun.api.run import Phase

Truth = Literal["True", "False", "Unknown"]


@attrs.frozen
class Condition:
    """One condition, without its times."""

    type: str
    status: Truth
    reason: str
    message: str = ""


def merged(
    before: Sequence[dict[str, JSON]], wanted: Iterable[Condition], generation: int, now: dt.datetime
) -> tuple[dict[str, JSON], ...]:
    """Return the conditions as stored; the transition time of one whose status stays is kept."""
    old = {each["type"]: each for each in before}
    return tuple(_stored(old.get(each.type), each, generation, now) for each in wanted)


def _stored(old: dict[str, JSON] | None, each: Condition, generation: int, now: dt.datetime) -> dict[str, JSON]:
    same = old is not None and old["status"] == each.status
    return {
        "type": each.type, "status": each.status, "reason": each.reason or "Unknown", "message": each.message[:1024],
        "observedGeneration": generation,
        "lastTransitionTime": old["lastTransitionTime"] if old is not None and same else rfc3339(now)[:19] + "Z",
    }  # fmt: skip


def run_conditions(phase: Phase, reason: str, message: str) -> tuple[Condition, ...]:
    """Return the conditions of a PerfRun in a phase."""
    if not phase.finished:
        return (
            Condition("Finished", "False", phase.value, message),
            Condition("Ready", "Unknown", phase.value, message),
            Condition("Reconciling", "True", phase.value, message),
        )
    if phase is Phase.PASSED:
        return (Condition("Finished", "True", phase.value, message), Condition("Ready", "True", phase.value, message))
    why = "SLOViolated" if phase is Phase.FAILED else reason or phase.value
    return (
        Condition("Finished", "True", phase.value, message),
        Condition("Ready", "False", why, message),
        Condition("Stalled", "True", why, message),
    )
