"""Named metrics: whatever a target can put into PromQL is a subject, judged over the window in which things happened.

A claim may stand alone (the metric's own window, or the time that the scenario observes) or join a scenario of another
capability; its window is then that of the other's stage.
"""

from __future__ import annotations

import math
from typing import Final

from perfrun.api.base import JSON
from perfrun.api.durations import seconds
from perfrun.api.plan import Claim, Stage
from perfrun.api.run import Source
from perfrun.api.target import Metric, Prometheus, TargetSpec
from perfrun.capabilities.base import (
    Evidence,
    Measured,
    NotMeasured,
    PlanError,
    QueryAnswer,
    ScenarioPlan,
    Settings,
    claim_of,
)
from perfrun.capabilities.words.custom import NAME, PARAMETER, custom_vocabulary
from perfrun.language import quantities
from perfrun.language.model import Meaning, Quantity, Scenario
from perfrun.language.vocabulary import Vocabulary
from perfrun.measuring import promql, timeseries

_ATTEMPTS: Final = 3
_STALE_STEPS: Final = 2.0
_MOST_MISSING: Final = 0.1


class Custom:
    """The capability; see the module."""

    name = NAME

    def vocabulary(self, target: TargetSpec | None) -> Vocabulary:
        """Return the words of the target's metrics."""
        return custom_vocabulary(target.metrics if target is not None else ())

    def plan(self, scenario: Scenario, target: TargetSpec, settings: Settings) -> ScenarioPlan:
        """Return a stage that observes, where the scenario says so, and a query stage for each claim.

        Raises:
            PlanError: the target has no Prometheus, or a metric's query is not a template.
        """
        prometheus = target.prometheus
        if prometheus is None:
            msg = (
                f"scenario {scenario.name!r} uses a named metric, but the target has no Prometheus; "
                "add spec.prometheus.url to the PerfTarget"
            )
            raise PlanError(msg)
        stages: list[Stage] = []
        after = settings.after
        observe = scenario.meanings("observe")
        if observe:
            stages.append(_observing(observe[-1], settings))
            after = stages[-1].id
        claims: dict[int, Claim] = {}
        for index, meaning in scenario.outcomes(NAME).items():
            metric = _metric(meaning, target)
            stage = f"s{settings.index + 1}-query-{len(claims) + 1}"
            stages.append(_query(stage, meaning, metric, prometheus, settings, after))
            claims[index] = _claim(meaning, metric, stage, prometheus)
        return ScenarioPlan(stages=tuple(stages), claims=claims)

    def measure(self, claim: Claim, evidence: Evidence, confidence: float) -> Measured | NotMeasured:  # noqa: ARG002 -- a computed value is exact
        """Return the worst value that the store's answer holds, in the claim's unit."""
        answer = evidence.answer
        if answer is None:
            return NotMeasured(
                reason=evidence.lost_reason or "NoAnswer",
                message=evidence.lost_message or "its query was never answered",
                broken=evidence.broken,
            )
        if answer.error:
            return _nothing("MetricsUnavailable", answer.error, answer)
        return _read(claim, answer)


def _observing(meaning: Meaning, settings: Settings) -> Stage:
    length = float(meaning.values["seconds"])
    return Stage(
        id=f"s{settings.index + 1}-observe",
        scenario=settings.index,
        kind="observe",
        seconds=length,
        timeout=length,
    )


def _query(
    stage: str, meaning: Meaning, metric: Metric, prometheus: Prometheus, settings: Settings, after: str
) -> Stage:
    parameters = {str(name): str(value) for name, value in meaning.values.get("parameters", {}).items()}
    try:
        promql.check(metric.query, frozenset(PARAMETER.findall(metric.name)))
        query = promql.render(metric.query, parameters, window=None)
    except promql.TemplateError as error:
        msg = f"the query of metric {metric.name!r} in the PerfTarget cannot be used: {error}"
        raise PlanError(msg) from error
    timeout = seconds(prometheus.timeout)
    return Stage(
        id=stage,
        scenario=settings.index,
        kind="query",
        parameters={
            "query": query,
            "sustained": meaning.sustained,
            "lookback": seconds(metric.window),
            "after": after,
            "min_samples": metric.min_samples,
        },
        seconds=timeout,
        timeout=timeout,
        attempts=_ATTEMPTS,
    )


def _claim(meaning: Meaning, metric: Metric, stage: str, prometheus: Prometheus) -> Claim:
    if meaning.limit is None:
        msg = f"the claim about {metric.name!r} states no limit"
        raise PlanError(msg)
    own = quantities.canonical(metric.unit)
    unit = _shown_unit(meaning.limit, own)
    return claim_of(
        meaning, unit, stage, quantities.convert(meaning.limit, unit),
        metric_unit=own, sustained=meaning.sustained, min_samples=metric.min_samples, step=seconds(prometheus.step),
    )  # fmt: skip


def _shown_unit(limit: Quantity, own: str) -> str:
    """Return the unit of the limit, in which people think, unless the metric's values cannot be told in it."""
    try:
        quantities.convert(Quantity(1.0, own), limit.unit)
    except quantities.QuantityError:
        return own
    return limit.unit


def _metric(meaning: Meaning, target: TargetSpec) -> Metric:
    for metric in target.metrics:
        if metric.name == meaning.key:
            return metric
    msg = f"the target names no metric {meaning.key!r}; add it to spec.metrics of the PerfTarget"
    raise PlanError(msg)


def _read(claim: Claim, answer: QueryAnswer) -> Measured | NotMeasured:
    highest = claim.comparator in ("<", "<=")
    step = _step(claim, answer)
    start, end = answer.window.start.timestamp(), answer.window.end.timestamp()
    if claim.parameters["sustained"]:
        reading = timeseries.worst(answer.series, highest=highest, window=(start, end), step=step)
    else:
        reading = timeseries.newest(answer.series, highest=highest, end=end, stale_after=_STALE_STEPS * step)
    if reading is None:
        return _nothing("NoData", _no_data(answer), answer, no_data=True)
    return _measured(claim, answer, reading, highest=highest)


def _measured(claim: Claim, answer: QueryAnswer, reading: timeseries.Reading, *, highest: bool) -> Measured:
    value = quantities.convert(Quantity(reading.value, str(claim.parameters["metric_unit"])), claim.unit)
    # What was not seen may have been worse: missing data leaves the unfavourable side open, and the other as it is.
    missing = _missing(claim, reading)
    unseen = (math.inf if highest else -math.inf) if missing else value
    facts: dict[str, JSON] = {"labels": reading.labels, "series": reading.series}
    if claim.parameters["sustained"]:
        facts["missing_share"] = round(reading.missing, 4)
    if answer.warnings:
        facts["warnings"] = list(answer.warnings)
    return Measured(
        value=value, lower=min(value, unseen), upper=max(value, unseen), samples=reading.points,
        effective_samples=float(reading.points), window=answer.window, source=_source(answer), facts=facts,
        note=_note(reading, answer, missing),
    )  # fmt: skip


def _missing(claim: Claim, reading: timeseries.Reading) -> str:
    """Return what is missing of a sustained claim's data, or nothing where there is enough."""
    if not claim.parameters["sustained"]:
        return ""
    needed = int(claim.parameters["min_samples"])
    if reading.fewest < needed:
        return f"{reading.fewest} of at least {needed} points with data"
    if reading.missing > _MOST_MISSING:
        return f"{reading.missing:.0%} of the points missing"
    return ""


def _step(claim: Claim, answer: QueryAnswer) -> float:
    """Return the resolution of the answer in seconds; the adapter may have widened what was planned."""
    try:
        return seconds(answer.step)
    except ValueError:
        return float(claim.parameters["step"])


def _note(reading: timeseries.Reading, answer: QueryAnswer, missing: str) -> str:
    parts = [missing] if missing else []
    if reading.series > 1:
        parts.append(f"worst of {reading.series} series")
    if reading.labels not in ("", "{}"):
        parts.append(reading.labels)
    parts.extend(f"warning: {each}" for each in answer.warnings)
    return ", ".join(parts)


def _no_data(answer: QueryAnswer) -> str:
    if not answer.series:
        return "the query found no series in the window"
    points = sum(len(each) for each in answer.series.values())
    return (
        f"the query found no number in the window (series: {len(answer.series)}, points that are no number or stale: "
        f"{points})"
    )


def _nothing(reason: str, message: str, answer: QueryAnswer, *, no_data: bool = False) -> NotMeasured:
    return NotMeasured(
        reason=reason, message=message, no_data=no_data, source=_source(answer), window=answer.window,
        facts={"warnings": list(answer.warnings)} if answer.warnings else {},
    )  # fmt: skip


def _source(answer: QueryAnswer) -> Source:
    return Source(kind="Prometheus", name=answer.url, query=answer.query, step=answer.step)
