"""What the forecast program hands in: numbers with reasons where there are none, tables, pictures, files."""

from __future__ import annotations

import base64
import json

import attrs
import numpy as np
import pytest

from perfrun_kernels.contract import Result
from perfrun_kernels.faults import UnmeasurableError
from perfrun_kernels.forecast import results
from perfrun_kernels.forecast.averages import average, levelled
from perfrun_kernels.forecast.foreseeing import foresee, setting_of
from perfrun_kernels.forecast.history import History
from perfrun_kernels.forecast.parameters import Metric, Wanted
from perfrun_kernels.pictures import forecast as picture

METRIC = Metric("load", "Load", "q", "1/s", 86_400.0)
STEP = 3600.0


def history(values):
    return History("sum(load)", STEP, 1.7e9 + STEP * np.arange(values.size), values, 0)


@pytest.fixture(scope="module")
def seen():
    steps = np.arange(35 * 24)
    values = (100 + 40 * np.sin(2 * np.pi * steps / 24)) * np.exp(np.random.default_rng(1).normal(0, 0.05, steps.size))
    values[300:306] = np.nan
    values[-30] = np.nan
    values[600:603] *= 4
    setting = attrs.evolve(setting_of(history(values), METRIC), models={"average": average, "levelled": levelled})
    wanted = Wanted("http://p", 1.0, (METRIC,), 35 * 86_400.0, 20, 0.99, "", None)
    return foresee(history(values), setting, wanted, map)


def test_every_number_is_named_by_the_metric_and_finite(seen):
    part = results.part(METRIC, seen, ["a warning"])
    result = Result(
        "r", "s", 1, "Completed", 0, 1, scalars=dict(part.scalars), facts=dict(part.facts), tables=dict(part.tables)
    )
    assert Result.from_json(result.to_json()).scalars == part.scalars
    assert (
        part.scalars["load.wape.lower"].value < part.scalars["load.wape"].value < part.scalars["load.wape.upper"].value
    )
    assert part.scalars["load.windows"].value == 20
    assert part.facts["load.warnings"] == "a warning"
    assert part.facts["load.reason"] == ""
    assert part.facts["load.overlap"] == "windows do not overlap"
    assert "2 gaps (7 steps)" in part.facts["load.repaired"]
    assert "1 outlier or incident (3 steps)" in part.facts["load.repaired"]


def test_tables_have_what_was_said_and_only_what_is_known_to_have_happened(seen):
    tables = results.part(METRIC, seen).tables
    backtest = np.array(tables["load.backtest"].rows)
    assert backtest.shape == (20 * 24 - 1, 7)
    assert set(backtest[:, 0]) == set(range(20))
    forecast = np.array(tables["load.forecast"].rows)
    assert np.diff(forecast[:, 0]).tolist() == [STEP] * 23
    assert forecast[0, 0] == seen.history.at[-1] + STEP
    assert (forecast[:, 2] <= forecast[:, 1]).all()
    assert (forecast[:, 1] <= forecast[:, 3]).all()
    assert len(tables["load.history"].rows) <= results.MOST_POINTS


def test_a_long_history_is_thinned_to_means(seen):
    at, values = results.thinned(seen, 24)
    assert at.size == 35
    assert values[0] == pytest.approx(seen.history.values[:24].mean())
    assert at[0] == seen.history.at[23]


def test_what_cannot_be_foretold_has_its_sentence_everywhere():
    error = UnmeasurableError("TooLittleHistory", "wait", {"history": 5.0, "needed": 9.0})
    part = results.part(METRIC, error)
    assert part.scalars["load.wape"].value is None
    assert part.scalars["load.wape"].reason == "wait"
    assert (part.scalars["load.history"].value, part.scalars["load.needed"].value) == (5, 9)
    assert (part.facts["load.reason"], part.facts["load.why"]) == ("TooLittleHistory", "wait")
    assert part.tables == {}


def test_the_picture_shows_both_a_forecast_and_why_there_is_none(seen):
    metrics = [METRIC, attrs.evolve(METRIC, key="none", name="None")]
    outcomes = {"load": seen, "none": UnmeasurableError("NoSuchMetric", "there is no such metric")}
    shown = results.foresight(metrics, outcomes, 2e9, "the CPU saturates first")
    drawn = picture.draw(shown)
    for words in ("Load", "there is no such metric", "the CPU saturates first"):
        assert words in drawn
    told = json.loads(base64.b64decode(results.document(results.models(metrics, outcomes)).data))
    assert told["none"]["reason"] == "NoSuchMetric"
    assert len(told["load"]["windows"]) == 20
