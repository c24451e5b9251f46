"""Which forecasts of a result are kept, what they tell later runs, and which of them go."""

from __future__ import annotations

import datetime as dt
from typing import Any

import attrs
import pytest
from foretold import MADE, QUERY, kept, result, scored
from hypothesis import given
from hypothesis import strategies as st

from perfrun.api.kept import ForecastStatus
from perfrun.api.plan import Stage
from perfrun.api.run import ArtifactLink, RunSpec, RunStatus, StageStatus
from perfrun.lifecycle.keeping import keeps, live_record, records, surplus
from perfrun.lifecycle.values import Emit, HandedIn, Keep, Kept, Meta, Missing, Run, RunObservation
from perfrun_kernels.contract import Table

METRICS = [
    {"key": "response_time", "name": "Response time", "query": "rt[$window]", "unit": "s", "horizon_s": 3600.0},
    {"key": "throughput", "name": "Throughput", "query": "tp[$window]", "unit": "1/s", "horizon_s": 86400.0},
]
STAGE = Stage(id="s1-forecast", scenario=0, kind="pod", program="forecast", parameters={"metrics": METRICS})
RUN = Run(Meta("llm-1", "team", "uid-1"), RunSpec(feature="x", target_ref="llm"), RunStatus())
LINK = ArtifactLink(name="x", url="memory:///x", digest="sha256:0", bytes=1)
DONE = RunStatus(stages=(StageStatus(id=STAGE.id, state="Done", attempt=1),))


def made(handed_in, status: RunStatus = DONE, run: Run = RUN):
    seen = RunObservation(results={STAGE.id: HandedIn(LINK, handed_in)})
    return keeps(run, [STAGE], status, seen)


def test_every_forecast_of_a_result_is_kept_with_what_it_takes_to_score_it():
    first, second = made(result(STAGE.id, METRICS, naive=True))
    assert isinstance(first, Keep)
    assert isinstance(second, Keep)
    assert (first.spec.metric, first.spec.query, first.spec.unit) == ("Response time", "query of response_time", "s")
    assert (first.spec.step, first.spec.horizon, first.spec.model) == ("5m", "1h", "Theta")
    assert (second.spec.step, second.spec.horizon) == ("2h", "24h")
    assert (len(first.spec.points), first.spec.points[0].mean, first.spec.points[0].naive) == (12, 100.0, 99.0)
    assert first.spec.backtest.to_wire() == {"wape": 8.0, "naive": 12.0, "coverage": 94.0, "nominal": 95.0}
    assert (first.spec.target_ref, first.spec.run, first.spec.made_at) == ("llm", "llm-1", MADE)


def test_a_forecast_has_the_same_name_each_time_and_another_in_every_run():
    names = [each.name for each in made(result(STAGE.id, METRICS))]
    assert names == [each.name for each in made(result(STAGE.id, METRICS))]
    other = Run(Meta("llm-1", "team", "uid-2"), RUN.spec, RUN.status)
    assert len({*names, *(each.name for each in made(result(STAGE.id, METRICS), run=other))}) == 4


def test_two_stages_of_a_run_may_foretell_the_same_metric():
    second = STAGE.replace(id="s2-forecast")
    status = RunStatus(stages=tuple(StageStatus(id=each, state="Done") for each in (STAGE.id, second.id)))
    results = {each: HandedIn(LINK, result(each, METRICS)) for each in (STAGE.id, second.id)}
    names = [each.name for each in keeps(RUN, [STAGE, second], status, RunObservation(results=results))]
    assert len(set(names)) == 4


def test_what_could_not_be_foretold_is_not_kept():
    assert [each.spec.key for each in made(result(STAGE.id, METRICS[1:]))] == ["throughput"]
    assert made(Missing("MalformedResult", "no result")) == ()
    assert made(result(STAGE.id, METRICS), DONE.replace(stages=(StageStatus(id=STAGE.id, state="Lost"),))) == ()
    assert keeps(RUN, [STAGE], DONE, RunObservation()) == ()


WHOLE = ("at", "mean", "lower", "upper")
UNEVEN = "not at whole seconds in equal steps"
EVERY_MINUTE = [[60.0 * i, 1.0, 1.0, 1.0] for i in range(4)]


def about_throughput(columns: tuple[str, ...], rows: list[list[float]]) -> dict[str, Any]:
    return {"tables": {"throughput.forecast": Table(list(columns), rows)}}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (about_throughput(WHOLE[:2], [[0, 1]]), "no column lower, upper; found at, mean"),
        (about_throughput(WHOLE, []), "0 points; expected 1 to 500"),
        (about_throughput(WHOLE, [*EVERY_MINUTE, [500.0, 1.0, 1.0, 1.0]]), UNEVEN),
        (about_throughput(WHOLE, EVERY_MINUTE[::-1]), UNEVEN),
        (about_throughput(WHOLE, [[0.5, 1.0, 1.0, 1.0]]), UNEVEN),
        ({"facts": {}}, "query String should have at least 1 character"),
    ],
)
def test_what_is_no_forecast_is_told_of(changes, told):
    (action,) = made(result(STAGE.id, METRICS[1:], **changes))
    assert isinstance(action, Emit)
    assert (action.type, action.reason) == ("Warning", "ForecastNotKept")
    assert action.message.startswith("the forecast of Throughput cannot be kept: ")
    assert told in action.message


def test_a_record_is_of_the_same_query_and_horizon_only():
    alike = {"key": "throughput", "query": "query of throughput", "horizon": "24h"}
    others = [
        scored("other-horizon", 50, 100, **alike | {"horizon": "6h"}),
        scored("other-query", 50, 100, **alike | {"query": QUERY}),
        scored("other-metric", 50, 100, **alike | {"key": "response_time"}),
        kept("waiting", **alike),
        kept("given-up", ForecastStatus(state="GivenUp"), **alike),
    ]
    found = records(STAGE, result(STAGE.id, METRICS), [*others, scored("alike", 10, 100, **alike)])
    assert set(found) == {"throughput"}
    assert (found["throughput"].count, found["throughput"].wape) == (1, 10.0)
    assert records(STAGE, None, others) == {}
    assert records(STAGE.replace(program="telemetry"), result(STAGE.id, METRICS), others) == {}


def test_a_record_is_pooled_over_all_points_and_counts_those_that_do_not_overlap():
    # The mean of 10 % and 50 % would be 30 %; of what happened, 60 of 500 was foretold wrongly.
    first, second = scored("a", 40, 400, covered=4, naive=80), scored("b", 20, 100, covered=2, naive=20, after=10)
    third = scored("c", 0, 500, covered=4, naive=100, after=20)
    pair = live_record([second, first])
    assert (pair.count, pair.apart, pair.wape, pair.coverage, pair.naive) == (2, 1, 12.0, 75.0, 20.0)
    assert (pair.since, pair.nominal) == (MADE, 95.0)
    assert live_record([first, second, third]).apart == 2


def test_a_record_says_nothing_of_seasonal_naive_where_not_all_runs_did():
    assert live_record([scored("a", 40, 400, naive=80), scored("b", 20, 100)]).naive is None


def waiting(index: int, key: str = "throughput") -> Kept:
    return kept(f"{key}-{index:03}", key=key, made_at=MADE + dt.timedelta(minutes=index))


def over(index: int, key: str = "throughput") -> Kept:
    return kept(
        f"{key}-{index:03}", ForecastStatus(state="Scored" if index % 2 else "GivenUp"), key=key,
        made_at=MADE + dt.timedelta(minutes=index),
    )  # fmt: skip


def test_the_newest_that_are_over_stay():
    assert surplus([over(i) for i in range(5)], 3) == ("throughput-000", "throughput-001")
    assert surplus([over(i) for i in range(3)], 3) == ()


def test_of_those_that_wait_the_newest_stays_and_those_that_are_due_first():
    assert surplus([waiting(i) for i in range(6)], 3) == ("throughput-003", "throughput-004")
    assert surplus([waiting(i) for i in range(3)], 1) == ("throughput-001",)
    assert surplus([waiting(i) for i in range(4)], 3) == ()


def test_metrics_are_counted_apart_and_what_goes_already_is_not_counted():
    both = [over(i, key) for i in range(3) for key in ("throughput", "response_time")]
    both += [attrs.evolve(each, spec=each.spec.replace(horizon="6h")) for each in both]
    assert surplus(both, 3) == ()
    assert surplus([*both, kept("throughput-x", ForecastStatus(state="Scored"), deleting=True)], 3) == ()


@given(st.integers(1, 6), st.integers(1, 8), st.integers(1, 60))
def test_however_often_runs_come_forecasts_reach_their_time_and_never_pile_up(keep, every, horizon):
    """Runs every so many minutes, each foretelling so many minutes."""
    alive: dict[str, Kept] = {}
    reached = 0
    for minute in range(4 * (horizon + every)):
        for name, each in list(alive.items()):
            if each.status.state == "Waiting" and each.spec.made_at + dt.timedelta(minutes=horizon) <= MADE + (
                dt.timedelta(minutes=minute)
            ):
                reached += 1
                alive[name] = kept(name, ForecastStatus(state="Scored"), made_at=each.spec.made_at)
        if minute % every == 0:
            made = waiting(minute)
            alive[made.meta.name] = made
        for name in surplus(alive.values(), keep):
            del alive[name]
        assert len(alive) <= 2 * keep + 1
    assert reached > 1
