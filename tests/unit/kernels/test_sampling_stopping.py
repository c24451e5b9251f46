import itertools

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfrun_kernels.sampling.parameters import Look, StoppingRule
from perfrun_kernels.sampling.stopping import Watch

LIMIT = 1.0
FAST, SLOW = 0.5, 2.0
RULE = StoppingRule(min_samples=10, max_rounds=100, looks=(), looks_skip=0, limit_seconds=LIMIT)


def watch(rule: StoppingRule, deadline: float = 1.0) -> Watch:
    return Watch(rule, deadline, lambda: 0.0)


def rounds(guard: Watch, steps: list[float], size: int) -> int:
    """Feed steps in rounds of ``size`` and return how many were taken."""
    for start in range(0, len(steps), size):
        for taken, step in enumerate(steps[start : start + size], start + 1):
            if guard.step(step):
                return taken
        if guard.round():
            return start + size
    return len(steps)


def test_without_looks_it_stops_at_the_end_of_the_round_that_has_enough() -> None:
    guard = watch(RULE)
    assert (rounds(guard, [FAST] * 100, 4), guard.reason) == (12, "samples")


def test_the_number_of_rounds_is_bounded() -> None:
    guard = watch(attrs.evolve(RULE, max_rounds=2))
    assert (rounds(guard, [FAST] * 100, 4), guard.reason) == (8, "rounds")


def test_the_budget_ends_it_in_the_middle_of_a_round() -> None:
    ticks = itertools.count()
    guard = Watch(RULE, 3, lambda: next(ticks))
    assert (rounds(guard, [FAST] * 100, 50), guard.reason, guard.left()) == (4, "budget", 0.0)


@pytest.mark.parametrize(("slow", "reason"), [(0, "look-accepted"), (3, "look-rejected")])
def test_a_look_decides_at_its_exact_sample(slow: int, reason: str) -> None:
    rule = attrs.evolve(RULE, min_samples=1000, looks=(Look(20, 0, 3),))
    guard = watch(rule)
    assert (rounds(guard, [SLOW] * slow + [FAST] * 100, 8), guard.reason) == (20, reason)


def test_a_look_waits_for_the_end_of_the_first_round() -> None:
    guard = watch(attrs.evolve(RULE, looks=(Look(5, 0, 3),)))
    assert (rounds(guard, [FAST] * 100, 30), guard.reason) == (30, "look-accepted")


def test_an_undecided_look_passes_on_to_the_next_and_then_to_the_sample_count() -> None:
    rule = attrs.evolve(RULE, looks=(Look(5, 0, 3), Look(15, 0, 3)))
    guard = watch(rule)
    assert (rounds(guard, [SLOW] + [FAST] * 99, 4), guard.reason) == (16, "samples")


def test_steps_before_the_skip_do_not_count_in_a_look() -> None:
    guard = watch(attrs.evolve(RULE, looks=(Look(10, 0, 1),), looks_skip=6))
    assert (rounds(guard, [SLOW] * 6 + [FAST] * 94, 4), guard.reason) == (16, "look-accepted")


@given(st.lists(st.sampled_from([FAST, SLOW]), min_size=60, max_size=60), st.integers(1, 60))
def test_a_decision_agrees_with_counting_afterwards(steps: list[float], size: int) -> None:
    looks = (Look(10, 1, 5), Look(20, 3, 9), Look(40, 8, 15))
    guard = watch(attrs.evolve(RULE, min_samples=1, looks=looks))
    rounds(guard, steps, size)
    expected = "samples"
    for look in looks:
        slow = sum(step > LIMIT for step in steps[: look.samples])
        if slow <= look.accept_at_most or slow >= look.reject_at_least:
            expected = "look-accepted" if slow <= look.accept_at_most else "look-rejected"
            break
    assert guard.reason == expected
