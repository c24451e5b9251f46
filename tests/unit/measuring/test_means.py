"""Means and rates: bounds that cover as often as they say, also where samples resemble each other."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfrun.measuring.means import batch_mean, batch_mean_of, batch_means, mean, rate


def autoregressive(count: int, share: float, draw: random.Random) -> list[float]:
    value, values = 0.0, []
    for _ in range(count):
        value = share * value + draw.gauss(0, 1)
        values.append(5 + value)
    return values


def test_the_bounds_of_a_mean_miss_it_as_rarely_as_stated() -> None:
    draw = random.Random(1)
    misses = sum(mean([draw.gauss(0, 1) for _ in range(8)], 0.95).upper < 0 for _ in range(2000))
    assert 60 <= misses <= 140  # 100 expected, deviation 10


def test_batch_means_hold_on_a_correlated_series_where_plain_means_do_not() -> None:
    draw = random.Random(2)
    plain = batched = 0
    for _ in range(300):
        values = autoregressive(2000, 0.8, draw)
        plain += mean(values, 0.95).upper < 5
        batched += batch_mean(values, 0.95).upper < 5
    assert batched <= 30
    assert plain > 45


def test_few_rounds_that_differ_as_wholes_hold_where_short_batches_do_not() -> None:
    draw = random.Random(3)
    rounds = shorter = 0
    for _ in range(1000):
        parts = [[level + draw.gauss(0, 1) for _ in range(4)] for level in (draw.gauss(5, 2) for _ in range(5))]
        rounds += batch_mean_of(parts, 0.95).upper < 5
        shorter += batch_mean([value for part in parts for value in part], 0.95, [0, 4, 8, 12, 16]).upper < 5
    assert 25 <= rounds <= 75  # 50 expected, deviation 7
    assert shorter > 150


def test_rounds_are_worth_what_they_agree_among_themselves() -> None:
    alike = batch_mean_of([[1.0, 3.0], [3.0, 1.0], [1.0, 3.0]], 0.99)
    apart = batch_mean_of([[1.0, 1.1], [3.0, 3.1], [5.0, 5.1]], 0.99)
    assert (alike.value, alike.lower, alike.upper) == (2, 2, 2)
    assert (apart.samples, apart.value) == (6, pytest.approx(3.05))
    assert 2 <= apart.effective_samples < 4
    assert not math.isfinite(batch_mean_of([[1.0, 2.0]], 0.99).upper)


def test_one_value_has_no_bounds() -> None:
    found = mean([3.0], 0.99)
    assert (found.value, found.lower, found.upper) == (3.0, -math.inf, math.inf)


def test_no_value_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one value"):
        mean([], 0.99)


def test_batches_do_not_cross_rounds() -> None:
    values = [1.0] * 50 + [2.0] * 50
    assert set(batch_means(values, [0, 50])) == {1.0, 2.0}
    assert batch_means([1.0, 2.0, 3.0], [0, 1, 2]) == [1.0, 2.0, 3.0]


def test_a_rate_is_work_over_the_mean_duration_with_bounds_turned_over() -> None:
    durations = [0.010, 0.011, 0.009, 0.010] * 100
    found, time = rate(32.0, durations, 0.99), batch_mean(durations, 0.99)
    assert found.value == pytest.approx(3200)
    assert (found.lower, found.upper) == pytest.approx((32 / time.upper, 32 / time.lower))


@given(st.lists(st.floats(min_value=1e-6, max_value=1e3), min_size=1, max_size=200))
def test_a_rate_lies_within_its_bounds(durations: list[float]) -> None:
    found = rate(8.0, durations, 0.99)
    assert found.lower <= found.value * (1 + 1e-9)
    assert found.upper >= found.value * (1 - 1e-9)
    assert 1 <= found.effective_samples <= len(durations)
