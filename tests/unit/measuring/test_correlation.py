"""Effective sample sizes of series whose correlation is known."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfrun.measuring.correlation import effective_for_quantile, effective_samples, split


def autoregressive(count: int, share: float, seed: int) -> list[float]:
    draw, value, values = random.Random(seed), 0.0, []
    for _ in range(count):
        value = share * value + draw.gauss(0, 1)
        values.append(value)
    return values


def test_independent_samples_are_worth_nearly_their_number() -> None:
    draw = random.Random(1)
    assert effective_samples([draw.random() for _ in range(4000)]) > 3000


@pytest.mark.parametrize("share", [0.5, 0.8, 0.95])
def test_an_autoregressive_series_is_worth_what_theory_says(share: float) -> None:
    values = autoregressive(20_000, share, seed=2)
    assert effective_samples(values) == pytest.approx(20_000 * (1 - share) / (1 + share), rel=0.25)


def test_rounds_that_differ_as_wholes_are_worth_little_more_than_their_number() -> None:
    draw = random.Random(3)
    rounds = [[level + draw.gauss(0, 0.01) for _ in range(200)] for level in (1.0, 2.0, 3.0, 2.5, 1.5)]
    starts = [index * 200 for index in range(5)]
    assert effective_samples([value for part in rounds for value in part], starts) < 20


def test_exceedances_in_one_burst_are_worth_less_than_the_same_number_spread_out() -> None:
    burst = [9.0 if 500 <= at < 520 else 1.0 for at in range(1000)]
    spread = [9.0 if at % 50 == 0 else 1.0 for at in range(1000)]
    assert effective_for_quantile(burst, 1.0) < 200
    assert effective_for_quantile(spread, 1.0) > 800


@given(
    st.lists(st.floats(min_value=-1e6, max_value=1e6), min_size=1, max_size=200),
    st.lists(st.integers(min_value=-5, max_value=250), max_size=5),
)
def test_samples_are_worth_at_least_one_and_never_more_than_their_number(
    values: list[float], starts: list[int]
) -> None:
    assert 1.0 <= effective_samples(values, starts) <= len(values)
    assert [value for part in split(values, starts) for value in part] == values


def test_constant_samples_are_worth_their_number_and_none_are_worth_nothing() -> None:
    assert effective_samples([2.0] * 50) == 50
    assert effective_samples([]) == 0
