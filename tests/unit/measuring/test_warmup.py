"""Warm-up is cut where it ends, outliers are not taken for it, and drift is recognised as no steady state."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from perfrun.measuring.warmup import mser_cut, steady_state, trend_of


def noise(count: int, level: float, seed: int, size: float = 0.02) -> list[float]:
    draw = random.Random(seed)
    return [level * (1 + draw.gauss(0, size)) for _ in range(count)]


def test_slow_first_samples_are_cut_and_hardly_more() -> None:
    found = steady_state(noise(60, 5.0, seed=1) + noise(940, 1.0, seed=2))
    assert found.found
    assert 60 <= found.cut <= 120


def test_a_decaying_start_is_cut_where_it_has_faded() -> None:
    values = [value * (1 + 3 * 0.97**at) for at, value in enumerate(noise(1000, 1.0, seed=3))]
    found = steady_state(values)
    assert found.found
    assert 80 <= found.cut <= 300


def test_the_first_round_may_be_warm_up_as_a_whole() -> None:
    values = noise(250, 2.0, seed=4) + noise(1000, 1.0, seed=5)
    found = steady_state(values, [0, 250, 500, 750, 1000])
    assert found.found
    assert 245 <= found.cut <= 320


def test_a_steady_series_loses_little() -> None:
    assert all(steady_state(noise(1000, 1.0, seed)).cut <= 500 for seed in range(20))
    assert all(steady_state(noise(1000, 1.0, seed)).found for seed in range(20))


def test_single_hiccups_late_in_the_series_do_not_move_the_cut() -> None:
    values = noise(1000, 1.0, seed=6)
    calm = steady_state(values).cut
    for at in (300, 301, 640, 910):
        values[at] = 50.0
    found = steady_state(values)
    assert found.found
    assert abs(found.cut - calm) <= 50


def test_drift_between_rounds_is_no_steady_state() -> None:
    values = [value * 2 ** (at / 250) for at, value in enumerate(noise(1000, 1.0, seed=7))]
    found = steady_state(values, [0, 250, 500, 750])
    assert not found.found
    assert found.drift > 0.25


def test_work_that_grows_within_each_round_is_no_drift() -> None:
    one = [1 + at / 250 for at in range(250)]
    values = [a * b for a, b in zip(one * 4, noise(1000, 1.0, seed=8), strict=True)]
    assert steady_state(values, [0, 250, 500, 750]).found


def test_in_a_single_round_growth_is_context_and_only_decline_is_drift() -> None:
    growing = [value * (1 + at / 1000) for at, value in enumerate(noise(1000, 1.0, seed=9))]
    assert steady_state(growing).found
    falling = [value * (2 - at / 1000) for at, value in enumerate(noise(1000, 1.0, seed=9))]
    assert not steady_state(falling).found


def test_too_few_samples_to_tell_are_left_as_they_are() -> None:
    assert steady_state([5.0, 1.0, 1.0]).cut == 0


def test_mser_leaves_at_least_half() -> None:
    assert mser_cut([float(at) for at in range(100)]) <= 50


def test_a_trend_is_certain_only_when_it_stands_out_of_the_noise() -> None:
    assert trend_of([float(at) for at in range(30)]).certain
    assert not trend_of(noise(30, 1.0, seed=10)).certain


def test_correlated_noise_is_less_often_taken_for_a_trend_than_the_plain_test_would() -> None:
    def walk(seed: int) -> list[float]:
        draw, value, values = random.Random(seed), 0.0, []
        for _ in range(60):
            value = 0.8 * value + draw.gauss(0, 1)
            values.append(10 + value)
        return values

    assert sum(trend_of(walk(seed)).certain for seed in range(100)) <= 15


@given(st.lists(st.floats(min_value=0, max_value=1e3), max_size=200), st.lists(st.integers(0, 220), max_size=4))
def test_the_cut_lies_in_the_first_half_whatever_the_samples(values: list[float], starts: list[int]) -> None:
    assert 0 <= steady_state(values, starts).cut <= len(values) // 2 + 5
