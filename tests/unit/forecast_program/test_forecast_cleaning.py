"""Gaps, outliers and level shifts are found where they were put, and nothing where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from perfrun_kernels.forecast.cleaning import clean, stretches

DAY, WEEK = 24, 168


def usual(rng, weeks=5, noise=0.03):
    steps = np.arange(weeks * WEEK)
    course = 100 * (1 + 0.4 * np.sin(2 * np.pi * steps / DAY)) * np.where(steps % WEEK >= 5 * DAY, 0.7, 1.0)
    return course * np.exp(rng.normal(0, noise, steps.size))


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def test_a_history_without_trouble_is_left_as_it_is(rng):
    values = usual(rng)
    past, repairs = clean(values, (DAY, WEEK))
    assert repairs.sentence == "nothing"
    assert np.array_equal(past.values, values)
    assert past.seasons == (DAY, WEEK)


def test_a_gap_is_filled_as_the_week_goes(rng):
    values = usual(rng)
    holed = values.copy()
    holed[400:430] = np.nan
    past, repairs = clean(holed, (DAY, WEEK))
    assert list(stretches(repairs.missing)) == [(400, 430)]
    assert np.abs(past.values[400:430] / values[400:430] - 1).mean() < 0.06


def test_an_incident_is_replaced_by_what_is_usual(rng):
    values = usual(rng)
    struck = values.copy()
    struck[500:504] *= 3
    past, repairs = clean(struck, (DAY, WEEK))
    assert list(stretches(repairs.outliers)) == [(500, 504)]
    assert np.abs(past.values[500:504] / values[500:504] - 1).max() < 0.2
    assert np.array_equal(past.raw, struck)


def test_what_lies_before_a_level_shift_is_moved(rng):
    values = usual(rng)
    values[600:] *= 1.5
    past, repairs = clean(values, (DAY, WEEK))
    [shift] = repairs.shifts
    assert abs(shift.at - 600) <= 6
    assert shift.ratio == pytest.approx(1.5, abs=0.1)
    assert past.values[300:460].mean() / past.values[636:796].mean() == pytest.approx(1, abs=0.1)


def test_a_smaller_shift_counts_at_a_deployment(rng):
    values = usual(rng)
    values[600:] *= 1.06
    assert clean(values, (DAY, WEEK))[1].shifts == ()
    [shift] = clean(values, (DAY, WEEK), [600])[1].shifts
    assert shift.ratio == pytest.approx(1.06, abs=0.03)


def test_weekends_are_neither_outliers_nor_shifts(rng):
    assert clean(usual(rng, weeks=3), (DAY, WEEK))[1].sentence == "nothing"
    assert clean(usual(rng, weeks=1), (DAY, WEEK))[1].shifts == ()


def test_a_short_history_without_seasons_is_made_whole():
    past, repairs = clean(np.array([1.0, np.nan, 3.0, np.nan]), (DAY, WEEK))
    assert past.values.tolist() == [1, 2, 3, 3]
    assert past.seasons == ()
    assert int(repairs.missing.sum()) == 2
