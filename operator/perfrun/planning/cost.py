"""What a plan costs before it runs: people decide on pods, GPUs and minutes, so these are shown beforehand."""

from __future__ import annotations

import math
from typing import Final

import attrs

from perfrun.api.durations import seconds
from perfrun.api.plan import Plan, Stage

_POD_KINDS: Final = ("pod", "load")
_USUAL_SECONDS: Final = 3600.0


@attrs.frozen
class Cost:
    """What a plan may use.

    ``pods`` are benchmark pods, those that make load included. ``gpus`` is the most that are held at once (stages run
    one after the other, but for faults and pods that go along with a load). ``seconds`` and ``gpu_seconds`` are what
    the measuring is budgeted at when nothing goes wrong; the ``at_most`` figures add start-up and every attempt up to
    its time-out. ``requests`` are sent by one attempt at each load, at most where another load finds its rate;
    ``failing_nodes`` is the most that fail at once.
    """

    pods: int
    pods_at_most: int
    gpus: int
    gpu_seconds: float
    gpu_seconds_at_most: float
    queries: int
    seconds: float
    seconds_at_most: float
    requests: float = 0.0
    failing_nodes: int = 0


def cost(plan: Plan) -> Cost:
    """Return what a plan costs; seconds of wall clock, GPU-seconds as GPUs held × seconds."""
    pods = [stage for stage in plan.stages if stage.kind in _POD_KINDS]
    return Cost(
        pods=sum(stage.shards for stage in pods),
        pods_at_most=sum(stage.shards * stage.attempts for stage in pods),
        gpus=max((stage.gpus for stage in pods), default=0),
        gpu_seconds=sum(stage.gpus * stage.seconds for stage in pods),
        gpu_seconds_at_most=sum(stage.gpus * _at_most(stage) for stage in pods),
        queries=sum(stage.kind == "query" for stage in plan.stages),
        seconds=_expected(plan),
        seconds_at_most=sum(_at_most(stage) for stage in plan.stages),
        requests=sum(requests(stage, plan) for stage in plan.stages),
        failing_nodes=max((failing_nodes(stage) for stage in plan.stages), default=0),
    )


def longest(timeout: str | None, plan: Plan) -> float:
    """Return how long a run may take, in seconds: what its spec says, else an hour, or twice what the plan expects."""
    return seconds(timeout) if timeout is not None else max(_USUAL_SECONDS, 2 * _expected(plan))


def requests(stage: Stage, plan: Plan) -> float:
    """Return how many requests one attempt at a load sends, as a rule or at most; 0 for other stages."""
    schedule = stage.parameters.get("schedule", ()) if stage.kind == "load" else ()
    finding = next((each.parameters["schedule"] for each in plan.stages if each.id == stage.rate_of), ())
    highest = max((step["rate"] for step in finding), default=1.0)
    return math.fsum(each["seconds"] * each["rate"] for each in schedule) * highest


def failing_nodes(stage: Stage) -> int:
    """Return how many nodes a stage makes fail: none, where containers are held up or only watched."""
    fails = stage.kind == "fault" and stage.parameters.get("kind") != "spike"
    return int(stage.parameters["count"]) if fails else 0


def _expected(plan: Plan) -> float:
    return sum(_seconds(stage) for stage in plan.stages)


def _seconds(stage: Stage) -> float:
    if stage.alongside:
        return 0.0
    lead = float(stage.parameters.get("lead_seconds", 0.0)) if stage.kind == "load" else 0.0
    return lead + stage.seconds


def _at_most(stage: Stage) -> float:
    if stage.alongside:
        return 0.0
    starting = stage.start_timeout if stage.kind in _POD_KINDS else 0.0
    return (starting + stage.timeout) * stage.attempts
