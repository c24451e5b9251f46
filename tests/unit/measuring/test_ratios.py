"""Ratios of durations measured in turns: what drifts cancels, and the bounds hold as often as they say."""

from __future__ import annotations

import random

import pytest

from perfrun.measuring.ratios import ratio_of_turns


def turns(ratio: float, count: int, each: int, seed: int, drift: float = 0.0) -> tuple[list[float], list[float]]:
    """Return durations of both sides; the machine slows down by ``drift`` over all turns."""
    chance = random.Random(seed)
    above, below = [], []
    for turn in range(count):
        pace = (1 + drift * turn / count) * chance.lognormvariate(0, 0.1)
        below += [pace * chance.lognormvariate(0, 0.02) for _ in range(each)]
        above += [pace * ratio * chance.lognormvariate(0, 0.02) for _ in range(each)]
    return above, below


def test_what_a_machine_does_to_both_sides_of_a_turn_cancels() -> None:
    above, below = turns(2.0, 40, 3, seed=1, drift=1.0)
    starts = list(range(0, 120, 3))
    found = ratio_of_turns(above, starts, below, starts, 0.99)
    assert found.lower < 2.0 < found.upper
    assert found.upper / found.lower < 1.05
    assert found.samples == 40


def test_each_bound_is_wrong_about_as_seldom_as_it_says() -> None:
    # Bounds at 95 %: of 400 trials 20 miss on each side; 36 or more would come once in 2000 times.
    low = high = 0
    for seed in range(400):
        above, below = turns(1.5, 40, 1, seed)
        found = ratio_of_turns(above, range(40), below, range(40), 0.95)
        low, high = low + (found.lower > 1.5), high + (found.upper < 1.5)
    assert max(low, high) < 36
    assert min(low, high) > 4


@pytest.mark.parametrize(
    ("above", "below", "said"),
    [([1.0, 1.0], [1.0], "2 turns of one side and 1"), ([], [], "expected as many"), ([0.0], [1.0], "positive")],
)
def test_sides_that_do_not_fit_each_other_are_refused(above: list[float], below: list[float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ratio_of_turns(above, range(len(above)), below, range(len(below)), 0.99)
