"""Percentiles: the sample counts that MLPerf's early stopping states, and what no sample may break."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from perfrun.measuring.percentiles import bounds, ranks, samples_needed

SAMPLES = st.lists(st.floats(min_value=-1e6, max_value=1e6), min_size=1, max_size=300)
QUANTILES = st.sampled_from([0.5, 0.9, 0.95, 0.99, 0.999])
CONFIDENCES = st.sampled_from([0.5, 0.9, 0.95, 0.99, 0.999])


@pytest.mark.parametrize(
    ("quantile", "over", "needed"),
    [
        (0.99, 0, 459),
        (0.99, 1, 662),
        (0.99, 2, 838),
        (0.95, 0, 90),
        (0.95, 1, 130),
        (0.95, 2, 165),
        (0.9999, 0, 46_050),
    ],
)
def test_samples_needed_at_99_percent_are_those_of_early_stopping(quantile: float, over: int, needed: int) -> None:
    assert samples_needed(quantile, 0.99, over) == needed


@pytest.mark.parametrize(("needed", "over"), [(459, 0), (662, 1), (838, 2)])
def test_the_upper_bound_of_p99_drops_below_the_outliers_exactly_at_the_needed_count(needed: int, over: int) -> None:
    def upper(count: int) -> float:
        return bounds([1.0] * (count - over) + [9.0] * over, 0.99, 0.99).upper

    assert upper(needed) == 1.0
    assert upper(needed - 1) > 1.0


def test_a_bound_that_so_few_samples_cannot_give_is_infinite() -> None:
    found = bounds([1.0] * 458, 0.99, 0.99)
    assert found.upper == math.inf
    assert bounds([1.0, 2.0], 0.05, 0.99).lower == -math.inf


@given(st.integers(min_value=1, max_value=5000), QUANTILES, CONFIDENCES)
def test_ranks_keep_the_stated_confidence_and_are_the_tightest_that_do(
    count: int, quantile: float, confidence: float
) -> None:
    lower, upper = ranks(count, quantile, confidence)
    error = (1 - confidence) * (1 + 1e-9)
    if upper <= count:
        assert binom.sf(upper - 1, count, quantile) <= error
    assert binom.sf(upper - 2, count, quantile) > error * (1 - 1e-8)
    if lower >= 1:
        assert binom.cdf(lower - 1, count, quantile) <= error
    assert binom.cdf(lower, count, quantile) > error * (1 - 1e-8)


@given(SAMPLES, QUANTILES, CONFIDENCES, st.floats(min_value=0.1, max_value=400))
def test_the_value_lies_within_its_bounds_and_fewer_effective_samples_never_narrow_them(
    samples: list[float], quantile: float, confidence: float, effective: float
) -> None:
    plain, worth = bounds(samples, quantile, confidence), bounds(samples, quantile, confidence, effective)
    assert plain.lower <= plain.value <= plain.upper
    assert worth.lower <= plain.lower
    assert worth.upper >= plain.upper
    assert worth.effective_samples <= len(samples)


@given(SAMPLES, QUANTILES, st.randoms(use_true_random=False))
def test_the_order_of_samples_does_not_matter(samples: list[float], quantile: float, order: random.Random) -> None:
    shuffled = samples.copy()
    order.shuffle(shuffled)
    assert bounds(shuffled, quantile, 0.99) == bounds(samples, quantile, 0.99)


def test_effective_samples_scale_the_ranks_outwards() -> None:
    samples = [float(each) for each in range(1, 2001)]
    assert bounds(samples, 0.99, 0.99, 459.9).upper == 2000.0
    assert bounds(samples, 0.99, 0.99, 458.0).upper == math.inf
    # Of 662 independent samples the second largest bounds p99; of 2000 that are worth as much, the fourth largest.
    assert bounds(samples, 0.99, 0.99, 662.0).upper == 1997.0


def test_no_samples_are_an_error() -> None:
    with pytest.raises(ValueError, match="at least one sample"):
        bounds([], 0.99, 0.99)
