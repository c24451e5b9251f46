"""When a kept forecast is scored, with what, and what becomes of it where that is not to be had."""

from __future__ import annotations

import datetime as dt

import pytest
from foretold import MADE, STEP, kept, points

from perfrun.api.kept import Backtest, ForecastStatus
from perfrun.api.run import TimeWindow
from perfrun.api.target import Prometheus, TargetSpec
from perfrun.capabilities.base import QueryAnswer
from perfrun.lifecycle.decide_forecast import AGAIN, GRACE, SETTLING, decide_forecast, due
from perfrun.lifecycle.values import Emit, ForecastObservation, Missing

END = MADE + 4 * STEP
DUE = END + SETTLING
TARGET = TargetSpec(prometheus=Prometheus(url="http://prometheus"))
ACTUAL = (104.0, 110.0, 60.0, 126.0)


def answered(values=ACTUAL, **changes) -> ForecastObservation:
    series = {"{}": tuple(((MADE + (i + 1) * STEP).timestamp(), value) for i, value in enumerate(values))}
    window = TimeWindow(start=MADE + STEP, end=END)
    return ForecastObservation(TARGET, QueryAnswer(**{"query": "q", "window": window, "series": series} | changes))


def scored_condition(status: ForecastStatus) -> tuple[str, str]:
    (found,) = status.conditions
    assert found["type"] == "Scored"
    return found["status"], found["reason"]


def test_it_waits_until_all_of_it_has_happened_and_is_recorded():
    decision = decide_forecast(kept(), None, MADE)
    assert decision.look_at == DUE == due(kept().spec)
    assert scored_condition(decision.status) == ("False", "NotDue")
    assert (decision.status.observed_generation, decision.actions) == (1, ())
    assert "after 2026-01-05 12:21:00 UTC" in decision.status.message


def test_looking_again_before_it_is_due_changes_nothing():
    first = decide_forecast(kept(), None, MADE).status
    assert decide_forecast(kept(status=first), None, MADE + STEP).status == first


def test_it_is_compared_with_what_happened_once():
    decision = decide_forecast(kept(), answered(), DUE)
    status = decision.status
    # Off by 4, 0, 30 and 26 of 400 altogether; the last two are outside of ±20.
    assert (status.state, status.wape, status.coverage) == ("Scored", 15.0, 50.0)
    assert (status.points, status.covered, status.absolute_error, status.absolute_actual) == (4, 2, 60.0, 400.0)
    assert (status.scored_at, status.naive_wape, decision.look_at) == (DUE, None, None)
    assert scored_condition(status) == ("True", "Scored")
    assert status.message == "WAPE 15 % (backtest 8 %), 2 of 4 points within the 95 % interval"
    assert decision.actions == (Emit("Normal", "Scored", status.message),)
    again = decide_forecast(kept(status=status), answered((0.0,) * 4), DUE + GRACE)
    assert (again.status, again.actions, again.look_at) == (status, (), None)


def test_seasonal_naive_is_told_of_where_the_run_told_it():
    told = tuple(each.replace(naive=100.0) for each in points())
    status = decide_forecast(kept(points=told, backtest=Backtest()), answered(), DUE).status
    assert status.naive_wape == 20.0
    assert status.message == "WAPE 15 %, seasonal naive 20 %, 2 of 4 points within its interval"


def test_a_point_that_stays_unknown_among_many_is_told_of():
    many = points((100.0,) * 20)
    window = TimeWindow(start=MADE, end=MADE + 20 * STEP)
    series = {"{}": tuple((each.at.timestamp(), 100.0) for each in many[:-2])}
    seen = ForecastObservation(TARGET, QueryAnswer("q", window, series=series))
    status = decide_forecast(kept(points=many), seen, window.end + SETTLING).status
    assert (status.state, status.points) == ("Scored", 18)
    assert status.message.endswith("18 of 18 points within the 95 % interval, 2 points unknown")


LACKING = {
    "TargetNotFound": ForecastObservation(Missing("TargetNotFound", "PerfTarget llm was not found")),
    "NoPrometheus": ForecastObservation(TargetSpec()),
    "MetricsUnavailable": answered(error="Prometheus at http://prometheus did not answer within 10s", series={}),
    "PartialData": answered(warnings=("a store is down",)),
    "TooManySeries": answered(series={"{a=1}": (), "{a=2}": ()}),
    "TooLittleData": answered(ACTUAL[:3]),
}


@pytest.mark.parametrize("reason", LACKING)
def test_what_cannot_be_read_is_looked_for_again_and_then_given_up(reason):
    decision = decide_forecast(kept(), LACKING[reason], DUE)
    assert (decision.status.state, decision.look_at, decision.actions) == ("Waiting", DUE + AGAIN, ())
    assert scored_condition(decision.status) == ("False", reason)
    last = decide_forecast(kept(status=decision.status), LACKING[reason], DUE + GRACE - AGAIN / 2)
    assert (last.status.state, last.look_at) == ("Waiting", DUE + GRACE)
    end = decide_forecast(kept(status=last.status), LACKING[reason], DUE + GRACE)
    assert (end.status.state, end.look_at) == ("GivenUp", None)
    assert scored_condition(end.status) == ("False", reason)
    assert end.status.message.startswith("given up: ")
    assert [each.reason for each in end.actions if isinstance(each, Emit)] == ["ForecastGivenUp"]
    assert (end.status.wape, end.status.coverage, end.status.scored_at) == (None, None, None)


def test_no_data_at_all_is_too_little():
    status = decide_forecast(kept(), answered(series={}), DUE).status
    assert status.message == "0 of 4 points have a value in Prometheus; expected at least 90%"


def test_what_comes_late_is_scored_late():
    before = decide_forecast(kept(), LACKING["MetricsUnavailable"], DUE).status
    status = decide_forecast(kept(status=before), answered(), DUE + 3 * AGAIN).status
    assert (status.state, status.scored_at) == ("Scored", DUE + 3 * AGAIN)


def test_an_error_in_percent_of_nothing_is_given_up_at_once():
    decision = decide_forecast(kept(), answered((0.0,) * 4), DUE)
    assert (decision.status.state, scored_condition(decision.status)) == ("GivenUp", ("False", "AllZero"))


def test_a_forecast_that_is_being_deleted_is_left_alone():
    decision = decide_forecast(kept(deleting=True), answered(), DUE)
    assert (decision.status, decision.actions, decision.look_at) == (kept().status, (), None)


def test_a_clock_that_reaches_the_time_between_look_and_decision_looks_again_at_once():
    assert decide_forecast(kept(), None, DUE + dt.timedelta(seconds=1)).look_at == DUE + dt.timedelta(seconds=1)
