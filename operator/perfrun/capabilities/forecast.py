"""Performance modelling: how well the past foretells each metric, and which resource will be the bottleneck.

A pod reads the histories from the target's Prometheus, tries models on windows of the past without looking ahead, and
foretells what comes. Each forecast is kept and scored when its time has come; what was kept earlier is told beside the
backtest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from perfrun.api.base import JSON
from perfrun.api.durations import seconds
from perfrun.api.plan import Claim, Stage
from perfrun.api.target import TargetSpec
from perfrun.api.telemetry import Resource
from perfrun.capabilities.base import Evidence, Outcome, PlanError, ScenarioPlan, Settings
from perfrun.capabilities.forecast_values import measure
from perfrun.capabilities.history import key_of, prometheus_of
from perfrun.capabilities.pods import pod_stage
from perfrun.capabilities.usual_series import RESOURCES, foretold, histories
from perfrun.capabilities.words.forecast import NAME, vocabulary
from perfrun.language import quantities
from perfrun.language.model import Meaning, Quantity, Scenario
from perfrun.language.vocabulary import Vocabulary

EACH_SECONDS: Final = 120.0
"""Seconds that one metric may take: its history read, and every model tried on every window."""

ROOM_SECONDS: Final = 120.0
"""Seconds for the rest: the resources' histories, pictures."""

_SHORTEST: Final = 300.0
_LONGEST: Final = 30 * 86400.0


class Forecast:
    """The capability; see the module."""

    name = NAME

    def vocabulary(self, target: TargetSpec | None) -> Vocabulary:
        """Return the words of performance modelling; a target's own metrics are among them."""
        return vocabulary(tuple(target.forecast.metrics) if target is not None else ())

    def plan(self, scenario: Scenario, target: TargetSpec, settings: Settings) -> ScenarioPlan:
        """Return the pod's stage and a claim for every row of the table.

        Raises:
            PlanError: the target lacks what a row needs, or a row foretells too short or too long a time.
        """
        server = prometheus_of(scenario, target)
        claimed = scenario.outcomes(NAME)
        rows = {row["metric"]: _metric(row, target) for meaning in claimed.values() for row in meaning.values["rows"]}
        length = EACH_SECONDS * len(rows) + ROOM_SECONDS
        parameters = _parameters(server, [*rows.values()], target, settings.confidence)
        pod = pod_stage(NAME, NAME, parameters, length, target, settings)
        claims = {
            index: tuple(_claim(row, meaning, pod, rows) for row in meaning.values["rows"])
            for index, meaning in claimed.items()
        }
        return ScenarioPlan(stages=(pod,), claims=claims)

    def measure(self, claim: Claim, evidence: Evidence, confidence: float) -> Outcome:  # noqa: ARG002 -- the pod was told
        """Return how far off the backtest's forecasts were, and whether a simple rule would have done as well."""
        return measure(claim, evidence)


def _metric(row: Mapping[str, Any], target: TargetSpec) -> dict[str, JSON]:
    name, ahead = row["metric"], row["prediction_window"]
    horizon = quantities.convert(ahead, "s")
    if not _SHORTEST <= horizon <= _LONGEST:
        msg = f"{name!r} is to be foretold {quantities.show(ahead)} ahead; expected 5 minutes to 30 days"
        raise PlanError(msg)
    first, *others = histories(target, name)
    return {
        "key": key_of(name), "name": name, "query": first.query, "otherwise": [each.query for each in others],
        "unit": first.unit, "horizon_s": horizon,
    }  # fmt: skip


def _parameters(
    server: Mapping[str, JSON], metrics: list[dict[str, JSON]], target: TargetSpec, confidence: float
) -> dict[str, JSON]:
    wanted = target.forecast
    return {
        "prometheus": server, "metrics": metrics, "lookback_s": seconds(wanted.lookback), "windows": wanted.windows,
        "confidence": confidence, "deployments": wanted.deployments or "",
        "resources": {name: _resource(each) for name, each in (wanted.resources or RESOURCES).items()},
        "throughput": foretold(target, "Throughput").query, "latency": foretold(target, "Response time").query,
        "concurrency": wanted.concurrency or "",
    }  # fmt: skip


def _resource(resource: Resource) -> dict[str, JSON]:
    queries = {"utilization": resource.utilization, "saturation": resource.saturation, "errors": resource.errors}
    return {name: query for name, query in queries.items() if query}


def _claim(row: Mapping[str, Any], meaning: Meaning, pod: Stage, rows: Mapping[str, Mapping[str, JSON]]) -> Claim:
    """Return what a row promises; the first row's verdict also tells which resource is the bottleneck."""
    name, told = row["metric"], rows[row["metric"]]
    limit = meaning.limit or Quantity(0, "%")
    return Claim(
        subject=f"{NAME}.prediction_error",
        label=f"prediction error of {name} {quantities.show(row['prediction_window'])} ahead", comparator="<=",
        limit=limit.value, unit=limit.unit, stage=pod.id,
        parameters={
            "key": told["key"], "name": name, "unit": told["unit"], "horizon_s": told["horizon_s"],
            "ranking": name == next(iter(rows)),
        },
    )  # fmt: skip
