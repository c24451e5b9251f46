"""What stopping early saved against fixed budgets: the price of a verdict is seconds of hardware."""

from __future__ import annotations

import math

from perfrun.api.plan import Stage
from perfrun.api.run import RunStatus
from perfrun.lifecycle.wording import lasting


def saved(status: RunStatus) -> str:
    """Return what a run saved, such as ``1m48s`` or ``1m48s (108 GPU-seconds)``; empty where nothing ended early."""
    pairs = [(stage, length) for stage, length in _saved(status) if length > 0]
    if not pairs:
        return ""
    gpus = math.fsum(stage.gpus * length for stage, length in pairs)
    total = lasting(math.fsum(length for _, length in pairs))
    return f"{total} ({gpus:.0f} GPU-seconds)" if gpus else total


def saved_lines(status: RunStatus, scenario: int) -> list[str]:
    """Return what the stages of a scenario saved, a line each."""
    return [_line(stage, length) for stage, length in _saved(status) if stage.scenario == scenario]


def _saved(status: RunStatus) -> list[tuple[Stage, float]]:
    stages = {stage.id: stage for stage in status.frozen.plan.stages} if status.frozen is not None else {}
    return [
        (stages[each.id], each.saved_seconds)
        for each in status.stages
        if each.saved_seconds is not None and each.id in stages
    ]


def _line(stage: Stage, length: float) -> str:
    gpus = f", {stage.gpus * length:.0f} GPU-seconds" if stage.gpus else ""
    took, budget = lasting(stage.seconds - length), lasting(stage.seconds)
    return f"{stage.id} needed {took} of its {budget}, {lasting(length)}{gpus} less than planned"
