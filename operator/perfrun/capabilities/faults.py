"""Fault tolerance: nodes fail under load, and the others must take over.

One load serves a whole scenario: a baseline just before, the time in which nodes fail, and a while in which they come
back. What happens "during failover" is everything from the injection to the end of that load: traffic moves twice,
away from the nodes and back to them, and a request that is lost on the way back is lost all the same.
"""

from __future__ import annotations

import math
from typing import Any, Final

from perfrun.api.base import JSON
from perfrun.api.durations import seconds
from perfrun.api.plan import Claim, Stage
from perfrun.api.service import Service
from perfrun.api.target import TargetSpec
from perfrun.capabilities.base import (
    Evidence,
    Measured,
    NotMeasured,
    PlanError,
    ScenarioPlan,
    Settings,
    claim_of,
)
from perfrun.capabilities.faults_values import measure
from perfrun.capabilities.traffic import Segment, connection_clusters, ids_stage, load_stage, seconds_for, service_of
from perfrun.capabilities.words.faults import NAME, VOCABULARY
from perfrun.language import quantities
from perfrun.language.model import Meaning, Scenario
from perfrun.language.vocabulary import Vocabulary
from perfrun.measuring.percentiles import samples_needed

TAIL_SECONDS: Final = 10.0
"""Seconds of load after the fault: nodes become ready again, and traffic returns to them."""

_UNITS: Final = {subject.key: subject.unit for subject in VOCABULARY.subjects} | {
    "rebalance_time": "s", "dropped": "requests",
}  # fmt: skip
_USUAL_FLOOR: Final = 90.0
"""Per cent of normal goodput that a system has when it is itself again, where the scenario states no floor."""

_MARGIN: Final = 3.0
_SHORTEST: Final = 10.0
_READING: Final = 5.0


class Faults:
    """The capability; see the module."""

    name = NAME

    def vocabulary(self, target: TargetSpec | None) -> Vocabulary:  # noqa: ARG002 -- the same for every target
        """Return the words of fault tolerance."""
        return VOCABULARY

    def plan(self, scenario: Scenario, target: TargetSpec, settings: Settings) -> ScenarioPlan:
        """Return the stages that scale, load, break and read, and the claims on the load.

        Raises:
            PlanError: the target names no Service, or permits no fault as long as the scenario needs.
        """
        service = service_of(scenario, target)
        nodes, count = _only(scenario, "nodes"), _only(scenario, "fail_nodes")
        lasts = _fault_seconds(scenario, target, settings.confidence)
        before, rate, first = seconds(target.load.baseline), target.load.rate, f"s{settings.index + 1}"
        load = load_stage(
            f"{first}-load", settings.index, service, target,
            (Segment(before, rate), Segment(lasts, rate), Segment(TAIL_SECONDS, rate)), target.load.size,
        )  # fmt: skip
        fault = Stage(
            id=f"{first}-fault", scenario=settings.index, kind="fault", alongside=load.id, seconds=lasts,
            parameters={
                "count": count, "offset": before, "seconds": lasts, "nodes": nodes,
                "kind": target.chaos.kind, "backend": target.chaos.backend,
            },
            timeout=load.timeout,
        )  # fmt: skip
        stages = [*_scaling(first, service, nodes, settings), load, fault]
        if service.request_log is not None:
            stages.append(ids_stage(f"{first}-ids", settings.index, load.id))
        claims = {
            index: _claim(meaning, load, _parameters(scenario, target, before, lasts))
            for index, meaning in scenario.outcomes(NAME).items()
        }
        return ScenarioPlan(stages=tuple(stages), claims=claims)

    def measure(self, claim: Claim, evidence: Evidence, confidence: float) -> Measured | NotMeasured:
        """Return the value that the generators' books give for a claim."""
        return measure(claim, evidence, confidence)


def _claim(meaning: Meaning, load: Stage, parameters: dict[str, JSON]) -> Claim:
    unit = _UNITS[meaning.key]
    limit = meaning.limit
    if limit is None:
        msg = f"the claim about {meaning.label} states no limit"
        raise PlanError(msg)
    value = limit.value if unit == limit.unit else quantities.convert(limit, unit)
    return claim_of(meaning, unit, load.id, value, **parameters)


def _parameters(scenario: Scenario, target: TargetSpec, before: float, lasts: float) -> dict[str, JSON]:
    load = target.load
    return {
        "baseline": before, "fault": lasts, "tail": TAIL_SECONDS, "floor": _floor(scenario),
        "sustained": seconds(load.sustained), "deadline": seconds(load.deadline),
        "drop_resolution": load.drop_resolution, "connections": load.connections * load.shards,
        "requests_per_connection": connection_clusters(load),
    }  # fmt: skip


def _floor(scenario: Scenario) -> float:
    """Return the per cent of normal goodput below which the system is not itself."""
    limits = [each.limit for each in scenario.meanings("throughput") if each.limit is not None]
    return max((quantities.convert(limit, "%") for limit in limits), default=_USUAL_FLOOR)


def _fault_seconds(scenario: Scenario, target: TargetSpec, confidence: float) -> float:
    """Return how long nodes fail: until recovery could be seen, and until enough requests could have been dropped.

    Raises:
        PlanError: the target permits no fault of that length.
    """
    load = target.load
    needs = {_SHORTEST: "any fault needs to be seen"}
    for claim in scenario.meanings("rebalance_time"):
        limit = quantities.convert(claim.limit, "s") if claim.limit is not None else 0.0
        stretch = seconds(load.sustained)
        needs[float(math.ceil(limit + stretch + _MARGIN))] = (
            f"a recovery within {limit:g} s needs, with {load.sustained} of sustained traffic after it"
        )
    if scenario.meanings("dropped"):
        requests = samples_needed(1 - load.drop_resolution, confidence)
        needs[seconds_for(requests, load.rate)] = (
            f"{requests} requests need at {load.rate:g}/s, so that a share of {load.drop_resolution:g} dropped would "
            "be caught (load.dropResolution)"
        )
    longest = max(needs)
    if longest > seconds(target.chaos.max_duration):
        msg = (
            f"scenario {scenario.name!r} needs a fault of {longest:g} s, which is what {needs[longest]}, but "
            f"chaos.maxDuration of the PerfTarget permits {target.chaos.max_duration}; "
            "permit more there, or raise load.rate"
        )
        raise PlanError(msg)
    return longest


def _scaling(first: str, service: Service, nodes: int, settings: Settings) -> tuple[Stage, ...]:
    if service.workload is None:
        return ()
    timeout = seconds(service.workload.timeout)
    return (
        Stage(
            id=f"{first}-scale", scenario=settings.index, kind="scale", parameters={"replicas": nodes},
            seconds=min(_READING, timeout), timeout=timeout,
        ),
    )  # fmt: skip


def _only(scenario: Scenario, key: str) -> int:
    found: list[Any] = [each.values["count"] for each in scenario.meanings(key)]
    if not found:
        what = "how many nodes it has" if key == "nodes" else "how many nodes fail"
        msg = f"scenario {scenario.name!r} does not state {what}; add the step that does"
        raise PlanError(msg)
    return int(found[-1])
