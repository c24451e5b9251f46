"""Who may disturb a target: runs that load or break it are alone on it, and take their turns by age.

Every run comes to the same order by itself, from what the API server wrote on all of them, so no lock has to be held
or taken back.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from perfrun.lifecycle.values import OtherRun, Run

SETTLING = dt.timedelta(seconds=2)
"""Age from which a run may disturb: creation times are whole seconds, so until then another of the same age, whose
turn is earlier by its name, may still appear."""


def blocked_by(run: Run, others: Iterable[OtherRun]) -> str | None:
    """Return the name of the run that must be over before this one may disturb the target, or None."""
    earlier = [each for each in others if each.disturbs and (each.created, each.name) < _turn(run, each)]
    return min(earlier, key=lambda each: (each.created, each.name)).name if earlier else None


def may_disturb_at(run: Run, now: dt.datetime) -> dt.datetime:
    """Return from when on the run may disturb at all."""
    return now if run.meta.created is None else run.meta.created + SETTLING


def _turn(run: Run, other: OtherRun) -> tuple[dt.datetime, str]:
    # A run without a creation time is not stored anywhere, so it is younger than all that are.
    if run.meta.created is None:
        return (other.created + dt.timedelta(seconds=1), run.meta.name)
    return (run.meta.created, run.meta.name)
