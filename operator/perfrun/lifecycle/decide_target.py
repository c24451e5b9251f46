"""What is said of a PerfTarget: whether features can use it as it stands; and which of its forecasts are kept."""

from __future__ import annotations

import datetime as dt

from perfrun.api.target import TargetStatus
from perfrun.lifecycle.check_target import target_problems
from perfrun.lifecycle.conditions import Condition, merged
from perfrun.lifecycle.keeping import surplus
from perfrun.lifecycle.values import Action, Decision, Discard, Emit, Kept, Target


def decide_target(target: Target, kept: tuple[Kept, ...], now: dt.datetime) -> Decision[TargetStatus]:
    """Return the target's status, and which of the forecasts ``kept`` for it go."""
    problem = "; ".join(target_problems(target.spec))
    message = problem or "usable"
    wanted: tuple[Condition, ...] = (Condition("Ready", "True", "Usable", message),)
    if problem:
        wanted = (
            Condition("Ready", "False", "InvalidTarget", message),
            Condition("Stalled", "True", "InvalidTarget", message),
        )
    generation = target.meta.generation
    status = target.status.replace(
        observed_generation=generation, message=message[:1024],
        conditions=merged(target.status.conditions, wanted, generation, now),
    )  # fmt: skip
    news = problem and target.status.message != status.message
    told: tuple[Action, ...] = (Emit("Warning", "InvalidTarget", message),) if news else ()
    return Decision(status, (*told, *map(Discard, surplus(kept, target.spec.forecast.keep))))
