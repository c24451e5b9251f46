"""The picture of forecasts: what was, what is foretold, and how far off each window was."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfrun_kernels.pictures import forecast, svg
from perfrun_kernels.pictures.values import Backtested, Foresight, ForetoldMetric, Stretch

NOW, STEP, STEPS = 1.79e9, 300.0, 12


def window(number, of, actual, off=0.05, naive_off=0.1):
    origin = NOW - (of - number) * STEPS * STEP
    at = origin + STEP * np.arange(1, STEPS + 1)
    mean = actual * (1 + off)
    return Backtested(origin, at, actual, mean, mean * 0.9, mean * 1.1, actual * (1 + naive_off))


def metric(windows=20, level=5.0, hours=48, **given):
    at = NOW - STEP * np.arange(hours * 12)[::-1]
    ahead = NOW + STEP * np.arange(1, STEPS + 1)
    tested = tuple(window(number, windows, np.full(STEPS, level)) for number in range(windows))
    values = np.full(STEPS, level)
    made = ForetoldMetric(
        "Throughput", "1/s", "WAPE 5 %.", NOW, "good", at, level * (1.5 + np.sin(at / 9000)), tested,
        ahead, values, values * 0.8, values * 1.2,
    )  # fmt: skip
    return attrs.evolve(made, **given)


def draw(*metrics):
    return forecast.draw(Foresight("Title", "Below", metrics))


def test_each_window_has_its_error_beside_the_naive_one(read):
    tested = [*metric().backtest[:-1], window(19, 20, np.full(STEPS, 5.0), off=0.08)]
    drawn = read(draw(metric(backtest=tuple(tested))))
    bars = [float(each.get("height")) for each in drawn.all("rect", fill=svg.SKY) if each.get("fill-opacity") == "0.8"]
    assert len(bars) == 20
    assert bars[19] / bars[0] == pytest.approx(8 / 5, rel=0.02)
    assert "window 20: 8 %, seasonal naive 10 %" in drawn.tips()


def test_an_error_that_has_no_measure_has_no_bar(read):
    zero = window(0, 1, np.zeros(STEPS))
    drawn = read(draw(metric(backtest=(zero, *metric(windows=4).backtest))))
    assert sum(each.get("fill-opacity") == "0.8" for each in drawn.all("rect", fill=svg.SKY)) == 4


def test_a_line_is_broken_where_there_was_nothing(read):
    whole = metric()
    kept = (whole.history_at < NOW - 20 * 3600) | (whole.history_at > NOW - 15 * 3600)
    cut = attrs.evolve(whole, history_at=whole.history_at[kept], history=whole.history[kept])
    dark = [len(read(draw(each)).all("polyline", stroke=svg.INK)) for each in (whole, cut)]
    assert dark[1] == dark[0] + 2  # in the overview and in the backtest, which begins 20 h ago


def test_repairs_and_shifts_are_marked_where_they_are(read):
    gap, shift = Stretch(NOW - 36 * 3600, NOW - 30 * 3600, "filled"), Stretch(NOW - 24 * 3600, NOW - 24 * 3600)
    drawn = read(draw(metric(repaired=(gap,), shifts=(shift,))))
    assert "filled" in drawn.tips()
    [box] = [each for each in drawn.all("rect", fill=svg.RED) if each.find("*") is not None]
    width = svg.WIDTH * 0.9 * 6 / 49
    assert float(box.get("width")) == pytest.approx(width, rel=0.1)


def test_the_forecast_begins_where_it_was_made(read):
    drawn = read(draw(metric()))
    assert "forecast, with its 95 % interval" in drawn.words()
    made = next(each for each in drawn.all("line", stroke=svg.AMBER) if each.get("stroke-dasharray"))
    [line] = drawn.all("polyline", stroke=svg.AMBER)
    points = [tuple(map(float, each.split(","))) for each in line.get("points").split()]
    assert points[0][0] > float(made.get("x1"))
    assert len(points) == STEPS


def test_why_a_metric_is_not_foretold_is_said(read):
    nothing = np.empty(0)
    drawn = read(draw(ForetoldMetric("GPU", "", "NoSuchMetric: there is none.", NOW, "unknown", nothing, nothing)))
    assert "NoSuchMetric: there is none." in drawn.words()


def test_a_long_history_makes_no_large_file():
    at = NOW - 60.0 * np.arange(50_000)[::-1]
    long = metric(history_at=at, history=np.random.default_rng(1).normal(size=at.size))
    assert len(draw(long)) < 120_000


def test_thinning_keeps_what_stands_out():
    at = np.arange(50_000.0)
    values = np.zeros(at.size)
    values[31_417], values[100] = 7.0, -3.0
    thinned_at, thinned = forecast._thinned(at, values)
    assert at.size > 10 * thinned_at.size
    assert {7.0, -3.0} <= set(thinned)
    assert np.all(np.diff(thinned_at) > 0)


finite = st.floats(-1e9, 1e9)


@settings(max_examples=60, deadline=None)
@given(st.lists(finite, min_size=STEPS, max_size=STEPS), st.integers(0, 3), st.integers(0, 60), st.booleans())
def test_nothing_leaves_the_page_whatever_the_values(read, values, windows, points, unknown):
    shape = np.array(values)
    if unknown:
        shape[3] = np.nan
    tested = tuple(window(number, windows, shape) for number in range(windows))
    at = NOW - STEP * np.arange(points)[::-1]
    found = metric(
        backtest=tested, history_at=at, history=np.resize(shape, points), mean=shape, lower=shape - 1, upper=shape + 1
    )
    text = draw(found)
    assert "nan" not in text
    assert not read(text).outside()
