"""What a plan costs before it runs: people decide on pods, GPUs and minutes, so these are shown beforehand."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from perfrun.api.plan import Plan, Stage


@attrs.frozen
class Cost:
    """What a plan may use.

    ``gpus`` is the most that are held at once (stages run one after the other). ``seconds`` and ``gpu_seconds`` are
    what the measuring is budgeted at when nothing goes wrong; the ``at_most`` figures add start-up and every attempt
    up to its time-out.
    """

    pods: int
    pods_at_most: int
    gpus: int
    gpu_seconds: float
    gpu_seconds_at_most: float
    queries: int
    seconds: float
    seconds_at_most: float


def cost(plan: Plan) -> Cost:
    """Return what a plan costs; seconds of wall clock, GPU-seconds as GPUs held × seconds."""
    pods = [stage for stage in plan.stages if stage.kind == "pod"]
    return Cost(
        pods=len(pods),
        pods_at_most=sum(stage.attempts for stage in pods),
        gpus=max((stage.gpus for stage in pods), default=0),
        gpu_seconds=sum(stage.gpus * stage.seconds for stage in pods),
        gpu_seconds_at_most=sum(stage.gpus * _at_most(stage) for stage in pods),
        queries=sum(stage.kind == "query" for stage in plan.stages),
        seconds=_total(plan.stages),
        seconds_at_most=sum(_at_most(stage) for stage in plan.stages),
    )


def _total(stages: Iterable[Stage]) -> float:
    return sum(stage.seconds for stage in stages)


def _at_most(stage: Stage) -> float:
    starting = stage.start_timeout if stage.kind == "pod" else 0.0
    return (starting + stage.timeout) * stage.attempts
