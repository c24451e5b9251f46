"""What Prometheus is told of forecasts: the present moment of the newest, and how the last one did."""

from __future__ import annotations

import datetime as dt

import pytest
from foretold import MADE, STEP, kept, points, scored

from perfrun.controller.forecasts import Forecasts, expose
from perfrun.controller.telemetry import Telemetry
from perfrun.lifecycle.values import Kept, Key

METRIC = ("team", "llm", "throughput", "20m")


def known(*forecasts: Kept) -> Forecasts:
    found = Forecasts()
    for each in forecasts:
        found.note(
            Key("PerfForecast", "team", each.meta.name), {"spec": each.spec.to_wire(), "status": each.status.to_wire()}
        )
    return found


@pytest.mark.parametrize(
    ("after", "mean"),
    [(0, None), (1, 100.0), (300, 100.0), (301, 110.0), (900, 90.0), (1200, 100.0), (1201, None)],
)
def test_a_moment_belongs_to_the_step_that_ends_after_it(after, mean):
    told = known(kept()).present(MADE + dt.timedelta(seconds=after))
    assert told.get((*METRIC, "mean")) == mean
    assert len(told) == (0 if mean is None else 3)


def test_the_newest_forecast_speaks_even_where_an_older_one_reaches_further():
    newer = kept("newer", made_at=MADE + STEP, points=tuple(each.replace(mean=5.0) for each in points()))
    told = known(newer, kept("older")).present(MADE + STEP)
    assert told[*METRIC, "mean"] == 5.0
    assert (told[*METRIC, "lower"], told[*METRIC, "upper"]) == (80.0, 120.0)


def test_when_the_newest_goes_the_one_before_speaks_again():
    both = known(kept("newer", made_at=MADE + STEP, points=points((5.0,))), kept("older"))
    assert both.present(MADE + STEP)[*METRIC, "mean"] == 5.0
    both.forget(Key("PerfForecast", "team", "newer"))
    assert both.present(MADE + STEP)[*METRIC, "mean"] == 100.0


def test_what_is_foretold_of_another_horizon_is_another_matter():
    both = known(kept("hour", horizon="1h", points=points((5.0,))), kept("minutes"))
    assert both.horizons() == {METRIC: 1200.0, (*METRIC[:3], "1h"): 3600.0}
    told = both.present(MADE + STEP)
    assert (told[*METRIC, "mean"], told[*METRIC[:3], "1h", "mean"]) == (100.0, 5.0)


def test_the_last_that_was_scored_is_told_of_as_a_ratio():
    found = known(scored("b", 40, 100, covered=2, after=10), scored("a", 10, 100), kept("waiting"))
    assert found.last_scored("wape") == {METRIC: 0.4}
    assert found.last_scored("coverage") == {METRIC: 0.5}
    assert known(kept("waiting")).last_scored("wape") == {}


def test_all_of_it_is_exposed():
    telemetry = Telemetry()
    expose(known(kept(), scored("a", 10, 100)), telemetry.gauge, lambda: MADE + STEP)
    told = telemetry.exposition().decode()
    labels = 'horizon="20m",metric="throughput",namespace="team",target="llm"'
    assert 'perfrun_forecast{bound="upper",' + labels + "} 120.0" in told
    assert f"perfrun_forecast_horizon_seconds{{{labels}}} 1200.0" in told
    assert f"perfrun_forecast_wape_ratio{{{labels}}} 0.1" in told
    assert f"perfrun_forecast_coverage_ratio{{{labels}}} 1.0" in told
