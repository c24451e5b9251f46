"""What is said of a PerfTarget: whether features can use it as it stands."""

from __future__ import annotations

import datetime as dt

from perfrun.api.target import TargetStatus
from perfrun.lifecycle.check_target import target_problems
from perfrun.lifecycle.conditions import Condition, merged
from perfrun.lifecycle.values import Decision, Emit, Target


def decide_target(target: Target, now: dt.datetime) -> Decision[TargetStatus]:
    """Return the target's status."""
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
    return Decision(status, (Emit("Warning", "InvalidTarget", message),) if news else ())
