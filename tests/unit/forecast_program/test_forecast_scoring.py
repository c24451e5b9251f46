"""Errors and their bounds, the choice of models, and intervals that cover what they say."""

from __future__ import annotations

import numpy as np
import pytest

from perfrun_kernels.forecast import accuracy, selecting
from perfrun_kernels.forecast.intervals import NOMINAL, Seen, around


def test_wape_weighs_errors_by_values_and_leaves_out_what_nobody_knows():
    actual, said = np.array([100.0, np.nan, 300.0]), np.array([110.0, 5.0, 270.0])
    assert accuracy.wape([actual], [said]) == pytest.approx(0.1)


def test_bounds_hold_as_often_as_they_say():
    rng = np.random.default_rng(1)
    errors = rng.gamma(9, 1 / 90, (1500, 20))
    found = [accuracy.quotient(each, np.ones(20), 0.95, 20) for each in errors]
    assert np.mean([each.upper >= 0.1 for each in found]) == pytest.approx(0.95, abs=0.025)
    assert np.mean([each.lower <= 0.1 for each in found]) == pytest.approx(0.95, abs=0.025)


def test_windows_that_overlap_are_worth_less_and_have_wider_bounds():
    worth = accuracy.effective(20, 3, 24)
    assert worth == pytest.approx(1 + 19 / 8)
    assert accuracy.effective(20, 24, 24) == 20
    errors = np.repeat(np.random.default_rng(2).uniform(5, 15, 4), 5)
    whole = np.full(20, 100.0)
    narrow, wide = (accuracy.quotient(errors, whole, 0.99, each) for each in (20, worth))
    assert wide.upper > narrow.upper
    assert wide.lower < narrow.lower


def test_no_error_at_all_has_no_bounds_apart():
    assert accuracy.quotient(np.zeros(5), np.ones(5), 0.99, 5) == accuracy.Quotient(0, 0, 0)


def test_being_better_in_every_window_is_seen_though_one_is_a_yardsticks_bad_week():
    rng = np.random.default_rng(3)
    yardstick = rng.gamma(20, 1 / 20, 20)
    errors = 0.8 * yardstick * rng.uniform(0.9, 1.1, 20)
    yardstick[7:9] *= 10
    found = accuracy.compared(errors, yardstick, 0.99, 20)
    assert found.value == pytest.approx(errors.sum() / yardstick.sum())
    assert found.lower < found.value < found.upper < 1
    assert accuracy.quotient(errors, yardstick, 0.99, 20).upper > 1
    assert accuracy.compared(errors, yardstick, 0.99, 4) == accuracy.quotient(errors, yardstick, 0.99, 4)


def test_no_skill_is_seldom_taken_for_skill():
    rng = np.random.default_rng(4)
    pairs = [(rng.gamma(9, 1 / 9, 20), rng.gamma(9, 1 / 9, 20)) for _ in range(250)]
    assert np.mean([accuracy.compared(*each, 0.99, 20).upper < 1 for each in pairs]) < 0.035


def test_newer_windows_weigh_more_in_the_choice():
    early = [{"a": 1.0, "b": 9.0, "c": 9.0, "d": 9.0, "e": 20.0}] * 5
    late = [{"a": 9.0, "b": 1.0, "c": 9.0, "d": 9.0, "e": 20.0}] * 5
    assert selecting.chosen([*early, *late])[0] == "b"
    assert selecting.chosen([*late, *early])[0] == "a"
    assert "e" not in selecting.chosen([*early, *late])
    assert selecting.chosen([]) == ()


def test_what_is_foretold_is_the_mean_of_the_chosen_and_the_median_of_all_before_any_choice():
    said = {"a": np.array([1.0, 1.0]), "b": np.array([3.0, 5.0]), "c": np.array([100.0, 100.0])}
    assert selecting.combined(said, ("a", "b")).tolist() == [2, 3]
    assert selecting.combined(said, ()).tolist() == [3, 5]


def walk(rng, windows, steps=24, shape=lambda rng, size: rng.normal(0, 10, size)):
    """Make forecasts and what happened, each with the interval that its predecessors taught."""
    seen = []
    for _ in range(windows):
        mean = 100 + 50 * np.sin(np.arange(steps) / 4)
        interval = around(mean, seen, positive=True)
        seen.append(Seen(mean, interval, np.maximum(mean + shape(rng, steps), 0)))
    return seen


@pytest.mark.parametrize(
    "shape",
    [
        lambda rng, size: rng.normal(0, 10, size),
        lambda rng, size: rng.exponential(20, size) - 5,
        lambda rng, size: np.cumsum(rng.normal(0, 5, size)),
        lambda rng, size: np.full(size, rng.normal(0, 10)),
    ],
    ids=["noise", "one-sided", "growing", "whole windows off"],
)
def test_intervals_cover_what_they_state(shape):
    seen = walk(np.random.default_rng(4), 120, shape=shape)[5:]
    missed = [each.interval.misses(each.actual) for each in seen]
    assert 1 - np.mean(missed) == pytest.approx(NOMINAL, abs=0.04)


def test_an_interval_grows_with_the_step_where_errors_do():
    seen = walk(np.random.default_rng(5), 60, shape=lambda rng, size: np.cumsum(rng.normal(0, 3, size)))
    interval = around(np.full(24, 100.0), seen, positive=True)
    widths = interval.upper - interval.lower
    assert widths[-1] > 2 * widths[0]
    assert (interval.lower >= 0).all()


def test_an_interval_that_was_learnt_from_nothing_says_so():
    mean = np.full(4, 3.0)
    interval = around(mean, [], positive=True)
    assert interval.misses(np.zeros(4)) is None
    assert np.array_equal(interval.lower, mean)
