"""Slopes with intervals: they miss as rarely as they say, and neither warm-up nor a new process counts as growth."""

from __future__ import annotations

import math

import numpy as np
import pytest

from perfrun.measuring.trends import Segment, growth


def wandering(count: int, share: float, draw: np.random.Generator) -> np.ndarray:
    """Return values of an autoregressive process."""
    steps = draw.standard_normal(count + 100)
    for at in range(1, steps.size):
        steps[at] += share * steps[at - 1]
    return steps[100:]


def segment(values: np.ndarray, every: float = 1.0) -> Segment:
    return Segment((np.arange(values.size) * every).tolist(), values.tolist())


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_the_bounds_miss_no_growth_as_rarely_as_stated(share: float) -> None:
    draw = np.random.default_rng(1)
    found = [growth([segment(wandering(120, share, draw))], 0.95) for _ in range(200)]
    assert sum(each.lower > 0 for each in found if each) <= 20  # 10 expected; more than 20 once in a thousand
    assert sum(each.upper < 0 for each in found if each) <= 20


def test_steady_growth_is_found_and_its_bounds_hold_it() -> None:
    draw = np.random.default_rng(2)
    for _ in range(20):
        found = growth([segment(3 * np.arange(200) + 20 * wandering(200, 0.5, draw), every=2.0)], 0.999)
        assert found is not None
        assert 0 < found.lower < 1.5 < found.upper < 3
        assert found.rising < 1e-6
        assert found.effective_samples < found.samples == 200
        assert found.seconds == 398


def test_what_a_new_process_takes_is_no_growth() -> None:
    draw = np.random.default_rng(3)
    parts = [segment(level + draw.normal(0, 1, 60)) for level in (0, 1000, 5000)]
    apart, together = growth(parts, 0.99), growth([segment(np.concatenate([p.values for p in parts]))], 0.99)
    assert apart is not None
    assert together is not None
    assert abs(apart.slope) < 0.1
    assert apart.lower < 0 < apart.upper
    assert apart.samples == 180
    assert together.slope > 1


def test_a_warm_up_is_cut_and_what_grows_after_it_is_seen() -> None:
    draw = np.random.default_rng(4)
    at = np.arange(400)
    for slope in (0.0, 0.5):
        values = 1000 * (1 - np.exp(-at / 10)) + slope * at + draw.normal(0, 2, at.size)
        found = growth([segment(values)], 0.99)
        assert found is not None
        assert found.slope == pytest.approx(slope, abs=0.02)
        assert 200 <= found.samples < 400


def test_memory_that_does_not_move_has_a_slope_of_nothing() -> None:
    found = growth([segment(np.full(100, 4096.0))], 0.99)
    assert found is not None
    assert (found.slope, found.lower, found.upper, found.rising) == (0, 0, 0, 0.5)


def test_memory_that_jumps_once_late_is_not_certain_to_stay() -> None:
    found = growth([segment(np.repeat([0.0, 4096.0], [60, 40]))], 0.99)
    assert found is not None
    assert found.lower < 0 < found.upper


def test_few_samples_say_nothing_and_those_that_resemble_each_other_little() -> None:
    assert growth([], 0.99) is None
    assert growth([segment(np.arange(19.0))], 0.99) is None
    found = growth([segment(np.cos(np.arange(24) * math.tau / 24))], 0.99)
    assert found is not None
    assert found.effective_samples < 6
    assert found.lower < -0.1 < 0.1 < found.upper


def test_growth_that_is_nearly_a_line_is_certain_however_few_samples_it_is_worth() -> None:
    found = growth([segment(100 * np.arange(30.0) + 50 * np.cos(np.arange(30) * math.tau / 30))], 0.99)
    assert found is not None
    assert found.effective_samples < 6
    assert 50 < found.lower < 100 < found.upper < 150


def test_long_series_are_averaged_and_keep_their_slope() -> None:
    draw = np.random.default_rng(6)
    found = growth([segment(0.01 * np.arange(5000) + draw.normal(0, 1, 5000))], 0.99)
    assert found is not None
    assert found.samples == 5000
    assert found.slope == pytest.approx(0.01, rel=0.05)


def test_as_many_times_as_values_are_expected() -> None:
    with pytest.raises(ValueError, match="2 times and 1 values"):
        growth([Segment([0.0, 1.0], [1.0])], 0.99)
