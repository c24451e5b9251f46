"""Our exact tails against SciPy, which the operator does without for the sake of its start."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, norm, t

from perfrun.measuring.distributions import least_over, most_over, normal_quantile, student_quantile

TRIALS = st.integers(min_value=1, max_value=20_000)
CHANCES = st.sampled_from([0.001, 0.01, 0.05, 0.1, 0.5, 0.9, 0.99])
ERRORS = st.sampled_from([0.05, 0.01, 0.01 / 3, 1e-6])


@given(TRIALS, CHANCES, ERRORS)
def test_most_over_is_the_largest_count_whose_lower_tail_stays_within_the_error(
    trials: int, chance: float, error: float
) -> None:
    most = most_over(trials, chance, error)
    assert binom.cdf(most, trials, chance) <= error * (1 + 1e-9)
    assert binom.cdf(most + 1, trials, chance) > error * (1 - 1e-9)


@given(TRIALS, CHANCES, ERRORS)
def test_least_over_is_the_smallest_count_whose_upper_tail_stays_within_the_error(
    trials: int, chance: float, error: float
) -> None:
    least = least_over(trials, chance, error)
    assert binom.sf(least - 1, trials, chance) <= error * (1 + 1e-9)
    assert binom.sf(least - 2, trials, chance) > error * (1 - 1e-9)


@given(st.floats(min_value=1, max_value=1e5), st.sampled_from([0.6, 0.9, 0.95, 0.99, 0.9999]))
def test_student_quantiles_agree_with_scipy(freedom: float, confidence: float) -> None:
    assert student_quantile(confidence, freedom) == pytest.approx(t.ppf(confidence, freedom), rel=1e-8)


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.995, 0.9999])
def test_normal_quantiles_agree_with_scipy(confidence: float) -> None:
    assert normal_quantile(confidence) == pytest.approx(norm.ppf(confidence), rel=1e-9, abs=1e-12)
