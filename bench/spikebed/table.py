"""What was measured of spikes, as rows of name, median, least, most and the promised limit (0: none)."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Final

from spikebed import cost, scoring
from spikebed.kept import Kept
from spikebed.scoring import KINDS, Outcome

Row = tuple[str, float, float, float, float]
Say = Callable[[str], None]

PODS: Final = 3
IDLE: Final = "idle"
LOADED: Final = "at peak load"
PEAK: Final = "peak"
BESIDE: Final = "beside"
QUIET: Final = "quiet"
AGENTS: Final = {state: f"{state}, agents" for state in (IDLE, LOADED)}
LOADS: Final[tuple[cost.Load, ...]] = ("iperf3", "http")
WATCHED: Final = (1, PODS)

DETECT_MS: Final = 5.0
CONTAINER_WRONG: Final = 1.0
STAGE_WRONG: Final = 5.0
COST: Final = 3.0
SHOWN: Final = 12
"""How many wrong answers are printed."""

NONE: Final = 0.5
"""A promise of none, as a limit that has to be greater than 0."""


def cost_name(load: cost.Load, count: int) -> str:
    """Return under which name it is kept what it costs to watch so many pods."""
    return f"cost, {load}, {count}"


def rows(kept: Kept, say: Say = print) -> list[Row]:
    """Return the rows of what there is, and say what was taken for what."""
    shown: list[Row] = []
    for state in (IDLE, LOADED):
        if kept.get(state):
            shown += _state(state, kept, say)
        if state == IDLE:
            shown += [
                *_blamed(kept, say),
                *(row for load in LOADS for count in WATCHED for row in _costs(kept, load, count)),
            ]
            shown += [_alone("peak load that the pods answer well, 1/s", each, 0) for each in kept.get(PEAK)]
    return shown + _watched(kept, say)


def _state(state: str, kept: Kept, say: Say) -> list[Row]:
    found = [Outcome(**each) for each in kept.get(state)]
    agents = kept.get(AGENTS[state])
    say(scoring.matrix(f"{state}: container", ((each.truth, each.named) for each in found)))
    say(scoring.matrix(f"{state}: stage", ((f"{each.kind}", each.stage) for each in found)))
    for each in [each for each in found if not (each.place_right and each.stage_right)][:SHOWN]:
        say(f"spikes: {state}: wrong: {each.truth}: {each.why}")
    say(f"spikes: {state}: events from {', '.join(sorted({each['source'] for each in agents}))}")
    return [
        *(row for kind in KINDS for row in _delays(state, kind, [each for each in found if each.kind == kind])),
        _share(
            f"{state}: container told wrong, % of {len(found)}", [not e.place_right for e in found], CONTAINER_WRONG
        ),
        _share(f"{state}: stage told wrong, % of {len(found)}", [not e.stage_right for e in found], STAGE_WRONG),
        _alone(
            f"{state}: left out, as the pod was held up already", sum(each["injections.overlaid"] for each in agents), 0
        ),
        _alone(f"{state}: false alarms meanwhile", sum(each["false_alarms"] for each in agents), 0),
        _row(f"{state}: deadline of a probe", [1000 * each["deadline"] for each in agents], 0),
        _row(f"{state}: longest interval of probes", [1000 * each["interval.max"] for each in agents], 0),
        _row(f"{state}: cost of watching {PODS} pods, % of the CPUs", [100 * each["cost.mean"] for each in agents], 0),
    ]


def _blamed(kept: Kept, say: Say) -> list[Row]:
    found = [Outcome(**each) for each in kept.get(BESIDE)]
    if not found:
        return []
    blamed = [each for each in found if each.delay is not None and each.stage_right and not each.place_right]
    say(scoring.matrix("control: container", ((each.truth, each.named) for each in found)))
    return [_alone(f"fault in the container beside it: the wrong one blamed, of {len(found)}", len(blamed), NONE)]


def _watched(kept: Kept, say: Say) -> list[Row]:
    found = kept.get(QUIET)
    if not found:
        return []
    proven: dict[str, int] = {}
    for each in found:
        for stage, count in each["proven"].items():
            proven[stage] = proven.get(stage, 0) + count
    what = f"in {sum(each['seconds'] for each in found):g} s at peak load"
    say(f"spikes: nobody made any {what}: {proven or 'none seen'}")
    return [
        _alone(f"false alarms {what}", sum(each["false"] for each in found), NONE),
        _alone(f"alarms with a proven delay {what}", sum(proven.values()), 0),
    ]


def _costs(kept: Kept, load: cost.Load, count: int) -> list[Row]:
    """Return what is lost while pods are watched; least and most are the ends of the interval of 99 %."""
    found = [
        cost.Slice(**{name: value for name, value in each.items() if name != "seconds"})
        for each in kept.get(cost_name(load, count))
    ]
    if not found:
        return []
    carried = "throughput of iperf3" if load == "iperf3" else "requests of clients that never rest"
    what = f"{count} of {PODS} pods watched, {load}"
    return [
        (f"{carried} lost, {what}, %", *cost.lost(found), COST if count == 1 else 0),
        _row(f"cost by its own books, {what}, % of the CPUs", [each.cost for each in found], COST if count == 1 else 0),
        _row(f"tracing's part of it, {what}, % of the CPUs", [each.tracing for each in found], 0),
        _row(f"longest interval of probes, {what}", [each.interval for each in found], 0),
    ]


def _delays(state: str, kind: str, found: list[Outcome]) -> list[Row]:
    delays = [each.delay for each in found if each.delay is not None]
    name, missed = f"{kind}, {state}: effect → alarm", len(found) - len(delays)
    if not delays:
        return [(f"{name}: never seen, of {len(found)}", *(float("nan"),) * 3, 0.0)]
    unseen = f", {missed} not seen" if missed else ""
    return [
        (f"{name}, p99 of {len(found)}{unseen}", scoring.p99(delays), min(delays), max(delays), DETECT_MS),
        _row(name, delays, 0),
    ]


def _row(name: str, values: list[float], limit: float) -> Row:
    return (name, statistics.median(values), min(values), max(values), limit)


def _share(name: str, wrong: list[bool], limit: float) -> Row:
    return _alone(name, 100 * sum(wrong) / max(1, len(wrong)), limit)


def _alone(name: str, value: float, limit: float) -> Row:
    return (name, value, value, value, limit)
