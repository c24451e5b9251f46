"""Looking early at fixed places: the total error, enumerated exactly, stays within what the confidence leaves."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from perfrun.measuring.looks import Look, looks, spent


def chances_of_decision(boundary: Sequence[Look], chance: float) -> tuple[float, float]:
    """Return how likely looking ends in acceptance and in rejection, where each sample is over with ``chance``.

    Exact: the distribution of the count over the limit is carried from look to look among those undecided.
    """
    undecided, before, accepted, rejected = {0: 1.0}, 0, 0.0, 0.0
    for look in boundary:
        fresh = look.samples - before
        masses = binom.pmf(range(fresh + 1), fresh, chance)
        after: dict[int, float] = {}
        for over, weight in undecided.items():
            for more, mass in enumerate(masses):
                after[over + more] = after.get(over + more, 0.0) + weight * mass
        accepted += sum(weight for over, weight in after.items() if over <= look.accept_at_most)
        rejected += sum(weight for over, weight in after.items() if over >= look.reject_at_least)
        undecided = {
            over: weight for over, weight in after.items() if look.accept_at_most < over < look.reject_at_least
        }
        before = look.samples
    return accepted, rejected


@pytest.mark.parametrize(
    ("quantile", "at"), [(0.99, (700, 1400, 2800)), (0.95, (150, 300, 600, 900)), (0.5, (20, 40, 80))]
)
def test_at_the_limit_itself_neither_error_is_more_likely_than_stated(quantile: float, at: tuple[int, ...]) -> None:
    accepted, rejected = chances_of_decision(looks(quantile, 0.99, at), 1 - quantile)
    assert accepted <= 0.01
    assert rejected <= 0.01


def test_clear_cases_are_settled_at_the_first_look() -> None:
    boundary = looks(0.99, 0.99, (1000, 2000, 4000))
    assert chances_of_decision(boundary[:1], 0.0001)[0] > 0.99
    assert chances_of_decision(boundary[:1], 0.1)[1] > 0.99


@settings(deadline=None)
@given(
    st.sampled_from([0.5, 0.9, 0.95, 0.99]),
    st.sampled_from([0.9, 0.95, 0.99]),
    st.lists(st.integers(min_value=1, max_value=3000), min_size=1, max_size=5, unique=True),
    st.sampled_from([1.0, 1.5, 32.0]),
)
def test_a_design_effect_only_makes_decisions_rarer_and_boundaries_never_cross(
    quantile: float, confidence: float, at: list[int], effect: float
) -> None:
    plain = looks(quantile, confidence, sorted(at))
    for look, careful in zip(plain, looks(quantile, confidence, sorted(at), effect), strict=True):
        assert -1 <= careful.accept_at_most <= look.accept_at_most < look.reject_at_least
        assert look.reject_at_least <= careful.reject_at_least <= careful.samples + 1


def test_confidence_is_spent_in_equal_shares() -> None:
    assert spent(0.99, 4) == pytest.approx(0.9975)
    assert spent(0.99, 0) == pytest.approx(0.99)
