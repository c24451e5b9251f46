import math

import pytest

from perfrun.measuring.noninferiority import decrease


@pytest.mark.parametrize("counts", [(43, 0, 1, 0), (60, 12, 5, 23), (900, 3, 3, 94), (10, 0, 9, 1)])
def test_the_bounds_are_the_differences_that_a_score_test_just_rejects(counts):
    """The estimate that the test needs is found by trying all, without the closed form."""
    _, more, less, _ = counts
    items = sum(counts)
    found = decrease(*counts, 0.99)
    for bound, sign in ((found.lower, 1), (found.upper, -1)):
        shares = [step / 200_000 for step in range(1, 200_000) if 0 < step / 200_000 + bound < 1]
        rest = items - more - less
        likely = max(
            (share for share in shares if 2 * share + bound < 1),
            key=lambda share: (
                more * math.log(share + bound) + less * math.log(share) + rest * math.log(1 - 2 * share - bound)
            ),
        )
        score = (more - less - items * bound) / math.sqrt(items * (2 * likely + bound - bound**2))
        assert score == pytest.approx(sign * 2.3263479, rel=2e-3)


def test_items_that_never_differ_still_leave_a_bound():
    """Then the bound has a closed form, z²/(n + z²)."""
    found = decrease(both=70, only_before=0, only_after=0, neither=30, confidence=0.99)
    assert found.value == 0
    assert found.upper == pytest.approx(2.3263479**2 / (100 + 2.3263479**2), rel=1e-6)
    assert found.lower == -found.upper


def test_the_sides_mirror_each_other():
    one, other = decrease(50, 9, 4, 37, 0.95), decrease(50, 4, 9, 37, 0.95)
    assert (one.value, one.lower, one.upper) == pytest.approx((-other.value, -other.upper, -other.lower))


def test_all_items_lost_bound_the_decrease_from_below_only():
    found = decrease(both=0, only_before=20, only_after=0, neither=0, confidence=0.99)
    assert found.value == found.upper == 1
    assert 0.5 < found.lower < 1


@pytest.mark.parametrize("items", [100, 400])
@pytest.mark.parametrize("differing", [0.02, 0.06, 0.2])
@pytest.mark.parametrize("margin", [0.0, 0.01, 0.02])
def test_a_true_decrease_is_below_the_upper_bound_as_often_as_stated(items, differing, margin):
    """By summing the exact chances of all outcomes: at 99 % the bound is missed in at most 1.5 % of all experiments."""
    before, after = (differing + margin) / 2, (differing - margin) / 2
    missed = 0.0
    for more in range(items + 1):
        for less in range(items + 1 - more):
            chance = _chance(items, more, less, before, after)
            if chance > 1e-9 and decrease(items - more - less, more, less, 0, 0.99).upper < margin:
                missed += chance
    assert missed <= 0.015


def _chance(items, more, less, before, after):
    rest = items - more - less
    ways = math.lgamma(items + 1) - math.lgamma(more + 1) - math.lgamma(less + 1) - math.lgamma(rest + 1)
    sizes = zip((more, less, rest), (before, after, 1 - before - after), strict=True)
    logs = [count * math.log(share) if share > 0 else (0.0 if count == 0 else -math.inf) for count, share in sizes]
    return math.exp(ways + sum(logs))


@pytest.mark.parametrize("counts", [(0, 0, 0, 0), (5, -1, 0, 0)])
def test_counts_that_are_none_are_refused(counts):
    with pytest.raises(ValueError, match="items were counted"):
        decrease(*counts, 0.99)
