"""Named metrics: what an answer of the store is worth."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import pytest

from perfrun.api.feature import Policy
from perfrun.api.plan import Claim, Comparator
from perfrun.api.run import TimeWindow
from perfrun.api.target import Metric, Prometheus, TargetSpec
from perfrun.api.verdicts import Verdict
from perfrun.capabilities.base import Evidence, Measured, NotMeasured, QueryAnswer
from perfrun.capabilities.custom import Custom
from perfrun.judging.judge import judge
from perfrun.planning.compile import plan

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
WINDOW = TimeWindow(start=START, end=START + dt.timedelta(seconds=100))
T0, T1 = WINDOW.start.timestamp(), WINDOW.end.timestamp()


def claim(comparator: Comparator = "<", *, sustained: bool = False, limit: float = 1.0, **changes: Any) -> Claim:
    parameters = {"metric_unit": "ratio", "sustained": sustained, "min_samples": 1, "step": 10.0} | changes
    return Claim(
        subject="custom.error ratio", label="error ratio", comparator=comparator, limit=limit, unit="%",
        parameters=parameters,
    )  # fmt: skip


def answer(**changes: Any) -> QueryAnswer:
    values: dict[str, Any] = {"query": "errors", "window": WINDOW, "step": "10s", "url": "http://prometheus"}
    return QueryAnswer(**(values | changes))


def points(*values: float, step: float = 10.0) -> tuple[tuple[float, float], ...]:
    return tuple((T0 + step * index, value) for index, value in enumerate(values))


def measure(what: Claim, of: QueryAnswer) -> Measured | NotMeasured:
    return Custom().measure(what, Evidence(answer=of), 0.99)


def value(what: Claim, of: QueryAnswer) -> Measured:
    found = measure(what, of)
    assert isinstance(found, Measured), found
    return found


def test_an_instant_value_is_exact_and_in_the_limits_unit() -> None:
    found = value(claim(), answer(series={"{}": ((T1, 0.005),)}))
    assert (found.value, found.lower, found.upper, found.samples) == (0.5, 0.5, 0.5, 1)
    assert found.source.query == "errors"
    assert found.window == WINDOW


@pytest.mark.parametrize(("comparator", "worst", "labels"), [("<", 3.0, '{pod="b"}'), (">", 1.0, '{pod="a"}')])
def test_of_several_series_the_worst_counts_and_is_named(comparator: Comparator, worst: float, labels: str) -> None:
    found = value(claim(comparator), answer(series={'{pod="a"}': ((T1, 0.01),), '{pod="b"}': ((T1, 0.03),)}))
    assert (found.value, found.facts["labels"]) == (worst, labels)
    assert found.note == f"worst of 2 series, {labels}"


def test_a_sustained_claim_is_held_to_the_worst_point() -> None:
    series = {"{}": points(*[0.001] * 5, 0.02, *[0.001] * 5)}
    assert value(claim(sustained=True), answer(series=series)).value == 2.0
    assert value(claim(">", sustained=True), answer(series=series)).value == 0.1


@pytest.mark.parametrize(
    ("series", "reason"),
    [
        ({}, "no series"),
        ({"{}": ((T1, math.nan),)}, "no number"),
        ({"{}": ((T1, math.inf),)}, "no number"),
        ({"{}": ((T1 - 60, 0.001),)}, "no number"),
    ],
)
def test_nothing_no_number_and_stale_numbers_are_no_data(series: dict[str, Any], reason: str) -> None:
    found = measure(claim(), answer(series=series))
    assert isinstance(found, NotMeasured)
    assert (found.reason, found.no_data, found.broken) == ("NoData", True, False)
    assert reason in found.message


def judged(what: Claim, of: QueryAnswer) -> tuple[Verdict, str]:
    judgement = judge(what, measure(what, of), Policy(), 0.99)
    return judgement.verdict, judgement.reason


def test_gaps_keep_a_sustained_claim_from_passing_but_not_from_failing() -> None:
    whole, gaps = points(*[0.001] * 11), (*points(*[0.001] * 5), (T1, 0.001))
    assert judged(claim(sustained=True), answer(series={"{}": whole})) == (Verdict.PASS, "LimitMet")
    assert judged(claim(sustained=True), answer(series={"{}": gaps})) == (Verdict.INCONCLUSIVE, "TooFewSamples")
    bad = (*points(*[0.5] * 3), (T1, 0.001))
    assert judged(claim(sustained=True), answer(series={"{}": bad})) == (Verdict.FAIL, "LimitExceeded")


def test_a_series_that_vanished_halfway_is_missing_data() -> None:
    series = {'{pod="a"}': points(*[0.001] * 11), '{pod="b"}': points(*[0.001] * 4)}
    assert judged(claim(sustained=True), answer(series=series)) == (Verdict.INCONCLUSIVE, "TooFewSamples")


def test_fewer_points_than_the_metric_demands_bound_nothing() -> None:
    what = claim(sustained=True, min_samples=20)
    assert judged(what, answer(series={"{}": points(*[0.001] * 11)})) == (Verdict.INCONCLUSIVE, "TooFewSamples")
    assert "11 of at least 20 points" in value(what, answer(series={"{}": points(*[0.001] * 11)})).note


def test_the_answers_own_step_counts_where_the_server_was_asked_more_coarsely() -> None:
    coarse = answer(series={"{}": points(*[0.001] * 3, step=50.0)}, step="50s")
    assert judged(claim(sustained=True), coarse)[0] is Verdict.PASS


def test_a_failed_query_is_metrics_unavailable_and_warnings_are_kept() -> None:
    found = measure(claim(), answer(error="http://prometheus did not answer within 10s"))
    assert isinstance(found, NotMeasured)
    assert (found.reason, found.no_data) == ("MetricsUnavailable", False)
    warned = value(claim(), answer(series={"{}": ((T1, 0.1),)}, warnings=("partial response",)))
    assert "warning: partial response" in warned.note
    assert warned.facts["warnings"] == ["partial response"]


def test_a_query_that_was_never_answered_says_why() -> None:
    found = Custom().measure(claim(), Evidence(lost_reason="NoWindow", lost_message="its pod was lost"), 0.99)
    assert isinstance(found, NotMeasured)
    assert (found.reason, found.message) == ("NoWindow", "its pod was lost")


@pytest.mark.parametrize(
    ("unit", "limit", "expected"),
    [("ratio", "0.1%", (0.1, "%")), ("s", "250 ms", (250.0, "ms")), ("1/s", "5 requests per second", (5.0, "1/s"))],
)
def test_limits_keep_the_unit_in_which_they_were_written_where_the_metric_can_be_told_in_it(
    unit: str, limit: str, expected: tuple[float, str]
) -> None:
    target = TargetSpec(
        prometheus=Prometheus(url="http://p"), metrics=(Metric(name="checkout", query="up", unit=unit),)
    )
    compiled = plan(f"Feature: F\n  Scenario: S\n    Then checkout should be below {limit}\n", target)
    made = compiled.scenarios[0].steps[0].claim
    assert made is not None
    assert (made.limit, made.unit) == expected


def test_values_of_features_reach_the_query_as_label_values_only() -> None:
    metric = Metric(name="errors of {service}", query='errors{service="$service"}', unit="1/s")
    target = TargetSpec(prometheus=Prometheus(url="http://p"), metrics=(metric,))
    text = "Feature: F\n  Scenario: S\n    Then errors of 'a\"} or up{b=\"' should be below 1 per second\n"
    (stage,) = plan(text, target).stages
    assert stage.parameters["query"] == r'errors{service="a\"} or up{b=\""}'
