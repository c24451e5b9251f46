"""System metrics: whether each type is recorded as often as stated, for everything that has it, and kept long enough.

A pod asks the target's Prometheus itself, for the hour that has passed or for one that it waits for, and hands in how
each row of the table is recorded. What should have been recorded is known to the cluster: it is filled in when the pod
is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from perfrun.api.base import JSON
from perfrun.api.plan import Claim, Stage
from perfrun.api.target import TargetSpec
from perfrun.capabilities.base import Evidence, Outcome, PlanError, ScenarioPlan, Settings
from perfrun.capabilities.history import key_of, prometheus_of
from perfrun.capabilities.pods import pod_stage
from perfrun.capabilities.telemetry_values import measure
from perfrun.capabilities.usual_series import recorded
from perfrun.capabilities.words.telemetry import NAME, vocabulary
from perfrun.language import quantities
from perfrun.language.model import Quantity, Scenario
from perfrun.language.vocabulary import Vocabulary

ROOM_SECONDS: Final = 120.0
"""Seconds besides the period: what is read before and after it, and judged."""

_FEWEST: Final = 10
"""Samples that a series must have in the period, so that its interval can be told."""


class Telemetry:
    """The capability; see the module."""

    name = NAME

    def vocabulary(self, target: TargetSpec | None) -> Vocabulary:
        """Return the words of system metrics; a target's own types are among them."""
        return vocabulary(tuple(target.telemetry.metrics) if target is not None else ())

    def plan(self, scenario: Scenario, target: TargetSpec, settings: Settings) -> ScenarioPlan:
        """Return the pod's stage and a claim for every row of the table.

        Raises:
            PlanError: the target lacks what a row needs, or the period is too short for it.
        """
        server = prometheus_of(scenario, target)
        period = _period(scenario)
        tables = {index: meaning.values["rows"] for index, meaning in scenario.outcomes(NAME).items()}
        rows = {row["metric_type"]: _row(row, period, target) for table in tables.values() for row in table}
        length = (0.0 if target.telemetry.window == "recorded" else period) + ROOM_SECONDS
        parameters: dict[str, JSON] = {
            "prometheus": server, "period_s": period, "window": target.telemetry.window,
            "completeness": target.telemetry.completeness, "rows": [*rows.values()],
        }  # fmt: skip
        pod = pod_stage(NAME, NAME, parameters, length, target, settings)
        claims = {
            index: tuple(_claim(row, pod, rows[row["metric_type"]]) for row in table) for index, table in tables.items()
        }
        return ScenarioPlan(stages=(pod,), claims=claims)

    def measure(self, claim: Claim, evidence: Evidence, confidence: float) -> Outcome:  # noqa: ARG002 -- sample times are exact
        """Return how often a type of metric was really recorded, and what else speaks against its row."""
        return measure(claim, evidence)


def _period(scenario: Scenario) -> float:
    """Return how long is to be looked at, in seconds."""
    found = scenario.meanings("collect")
    if not found:
        example = "When collecting metrics for 1 hour"
        msg = f"scenario {scenario.name!r} does not say for how long; add a step such as {example!r}"
        raise PlanError(msg)
    return float(found[-1].values["seconds"])


def _row(row: Mapping[str, Any], period: float, target: TargetSpec) -> dict[str, JSON]:
    name, stated = row["metric_type"], row["sampling_rate"]
    where = recorded(target, name)
    interval = quantities.convert(stated, "s")
    if period < _FEWEST * interval:
        msg = (
            f"{name!r} is to be recorded every {quantities.show(stated)}, and {period:g} s hold fewer than {_FEWEST} "
            "of these; collect metrics for longer"
        )
        raise PlanError(msg)
    if where.per == "pod" and target.service is None:
        msg = (
            f"{name!r} is to be recorded for every pod of the Service (spec.telemetry.metrics), but the target names "
            "none; add spec.service.name to the PerfTarget"
        )
        raise PlanError(msg)
    return {
        "key": key_of(name), "name": name, "series": [*where.series], "per": where.per, "label": where.label,
        "interval_s": interval, "retention_s": quantities.convert(row["retention_period"], "s"),
    }  # fmt: skip


def _claim(row: Mapping[str, Any], pod: Stage, told: Mapping[str, JSON]) -> Claim:
    stated: Quantity = row["sampling_rate"]
    return Claim(
        subject=f"{NAME}.recorded", label=f"sampling interval of {row['metric_type']}", comparator="<=",
        limit=stated.value, unit=stated.unit, stage=pod.id,
        parameters={
            "key": told["key"], "name": told["name"], "per": told["per"], "retention_s": told["retention_s"],
            "interval_s": told["interval_s"], "period_s": pod.parameters["period_s"],
            "completeness": pod.parameters["completeness"],
        },
    )  # fmt: skip
