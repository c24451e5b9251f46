"""Load balancing: traffic that grows, and how evenly, how fast and at what cost in CPU the nodes serve it.

One load serves a whole scenario: a baseline at the profile's rate, then the increased traffic, on which every claim
is measured. CPU is asked from Prometheus over the same stretch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

from perfrun.api.base import JSON
from perfrun.api.durations import seconds
from perfrun.api.plan import Claim, Stage
from perfrun.api.service import Load as LoadSettings
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
from perfrun.capabilities.cpu import CPU_QUERY
from perfrun.capabilities.load_values import measure
from perfrun.capabilities.traffic import Segment, connection_clusters, load_stage, seconds_for, service_of
from perfrun.capabilities.words.load import NAME, VOCABULARY
from perfrun.language import quantities
from perfrun.language.model import Meaning, Scenario
from perfrun.language.vocabulary import Vocabulary
from perfrun.measuring.percentiles import samples_needed
from perfrun.measuring.spread import answers_needed

_UNITS: Final = {subject.key: subject.unit for subject in VOCABULARY.subjects} | {"cpu": "%"}

_NODES: Final = 10
"""Nodes for which a load is long enough to tell even sharing from chance; how many serve is known only in a run."""

_LONGEST: Final = 120.0
"""Seconds to which increased traffic is prolonged at most; what takes longer to prove is not begun."""

_CORRELATION: Final = 20
"""Requests that are taken to be worth one independent one when the length of a load is planned."""

_QUERY_ATTEMPTS: Final = 3


class Load:
    """The capability; see the module."""

    name = NAME

    def vocabulary(self, target: TargetSpec | None) -> Vocabulary:  # noqa: ARG002 -- the same for every target
        """Return the words of load balancing."""
        return VOCABULARY

    def plan(self, scenario: Scenario, target: TargetSpec, settings: Settings) -> ScenarioPlan:
        """Return the load, the query for CPU where it is claimed, and the claims.

        Raises:
            PlanError: the target names no Service, or no Prometheus where CPU is claimed.
        """
        service = service_of(scenario, target)
        claimed = scenario.outcomes(NAME)
        row = _profile(scenario)
        normal = float(row["qps"])
        increased = normal * _factor(scenario)
        before = seconds(target.load.baseline)
        length = max(
            seconds(target.load.step), *_lengths(claimed.values(), increased, target.load, settings.confidence)
        )
        load = load_stage(
            f"s{settings.index + 1}-{NAME}", settings.index, service, target,
            (Segment(before, normal), Segment(length, increased)), row["request_size"], _latency_limit(scenario),
        )  # fmt: skip
        stages = [load]
        if any(meaning.key == "cpu" for meaning in claimed.values()):
            stages.append(_cpu_stage(scenario, target, settings, load.id, before))
        claims = {index: _claim(meaning, load, before, scenario, settings) for index, meaning in claimed.items()}
        return ScenarioPlan(stages=tuple(stages), claims=claims)

    def measure(self, claim: Claim, evidence: Evidence, confidence: float) -> Measured | NotMeasured:
        """Return the value that the generators' books, or Prometheus, give for a claim."""
        return measure(claim, evidence, confidence)


def _claim(meaning: Meaning, load: Stage, before: float, scenario: Scenario, settings: Settings) -> Claim:
    unit = _UNITS[meaning.key]
    limit = quantities.convert(meaning.limit, unit) if meaning.limit is not None else math.nan
    parameters: dict[str, JSON] = {
        "segment": 1, "begins": before, "ends": load.seconds, "latency_limit": _latency_limit(scenario),
        "sustained": meaning.sustained,
    }  # fmt: skip
    if meaning.key == "response_time":
        parameters["quantile"] = float(meaning.values["percentile"])
    stage = f"s{settings.index + 1}-cpu" if meaning.key == "cpu" else load.id
    return claim_of(meaning, unit, stage, limit, **parameters)


def _profile(scenario: Scenario) -> Mapping[str, Any]:
    """Return the row of the workload profile that the scenario names."""
    said = scenario.meanings("profile")
    rows = {row["profile_type"]: row for each in scenario.meanings("profiles") for row in each.values["rows"]}
    name = said[-1].values["profile"] if said else ""
    if name not in rows:
        msg = (
            f"scenario {scenario.name!r} names no workload profile that a table describes; "
            "add a step such as 'Given a \"light\" workload profile' and a table with a row for it"
        )
        raise PlanError(msg)
    return dict(rows[name])


def _factor(scenario: Scenario) -> float:
    said = scenario.meanings("scale")
    return float(said[-1].values["factor"]) if said else 1.0


def _latency_limit(scenario: Scenario) -> float | None:
    """Return the tightest limit on latency of the scenario in seconds, or None where it has none."""
    limits = [each.limit for each in scenario.meanings("response_time") if each.limit is not None]
    return min((quantities.convert(limit, "s") for limit in limits), default=None)


def _lengths(claimed: Iterable[Meaning], rate: float, load: LoadSettings, confidence: float) -> list[float]:
    """Return how long the claims need the increased traffic to last, in seconds, where that is long enough at all."""
    lengths = [0.0]
    for meaning in claimed:
        if meaning.key == "response_time":
            needed = samples_needed(float(meaning.values["percentile"]), confidence) * _CORRELATION
            lengths.append(seconds_for(needed, rate))
        elif meaning.key == "difference" and meaning.limit is not None:
            limit = quantities.convert(meaning.limit, "%") / 100
            needed = answers_needed(_NODES, limit, confidence, connection_clusters(load))
            lengths.append(seconds_for(needed, rate))
    return [length for length in lengths if length <= _LONGEST]


def _cpu_stage(scenario: Scenario, target: TargetSpec, settings: Settings, load: str, offset: float) -> Stage:
    if target.prometheus is None:
        msg = (
            f"scenario {scenario.name!r} limits the CPU of nodes, but the target has no Prometheus; "
            "add spec.prometheus.url to the PerfTarget"
        )
        raise PlanError(msg)
    timeout = seconds(target.prometheus.timeout)
    return Stage(
        id=f"s{settings.index + 1}-cpu",
        scenario=settings.index,
        kind="query",
        parameters={"query": CPU_QUERY, "after": load, "offset": offset, "sustained": False},
        # The last samples of the stretch are there two scrapes after it.
        seconds=2 * seconds(target.prometheus.step),
        timeout=timeout,
        attempts=_QUERY_ATTEMPTS,
    )
