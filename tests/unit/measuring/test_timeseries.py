"""What counts as data in an answer."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from perfrun.measuring.timeseries import finite, last, missing_share, newest, worst

NAN = math.nan


def test_only_numbers_count() -> None:
    assert finite([(0, 1.0), (5, NAN), (10, math.inf), (15, 2.0)]) == [(0, 1.0), (15, 2.0)]


def test_the_newest_point_counts_only_while_it_is_fresh_and_a_number() -> None:
    assert last([(0, 1.0), (10, 2.0)], end=12, stale_after=10) == 2.0
    assert last([(0, 1.0), (10, 2.0)], end=30, stale_after=10) is None
    assert last([(0, 1.0), (10, NAN)], end=10, stale_after=10) is None
    assert last([], end=10, stale_after=10) is None


def test_missing_points_are_counted_against_the_step() -> None:
    whole = [(float(at), 1.0) for at in range(0, 101, 10)]
    assert missing_share(whole, 0, 100, 10) == 0
    assert missing_share(whole[:6], 0, 100, 10) == 1 - 6 / 11
    assert missing_share([], 0, 100, 10) == 1


def test_the_worst_point_of_the_worst_series_is_found_in_both_directions() -> None:
    series = {"{a}": ((0.0, 1.0), (10.0, 9.0)), "{b}": ((0.0, 3.0), (10.0, NAN)), "{c}": ((0.0, NAN),)}
    high = worst(series, highest=True, window=(0, 10), step=10)
    low = worst(series, highest=False, window=(0, 10), step=10)
    assert high is not None
    assert low is not None
    assert (high.value, high.labels, high.points, high.series) == (9.0, "{a}", 2, 2)
    assert (low.value, low.labels) == (1.0, "{a}")
    # The series without any number is the one with the least data.
    assert (high.fewest, high.missing) == (0, 1.0)


def test_nothing_but_what_is_no_number_is_no_reading() -> None:
    assert worst({"{a}": ((0.0, NAN),)}, highest=True, window=(0, 10), step=10) is None
    assert worst({}, highest=True, window=(0, 10), step=10) is None
    assert newest({"{a}": ((0.0, NAN),)}, highest=True, end=0, stale_after=5) is None


@given(
    st.dictionaries(
        st.sampled_from(["{a}", "{b}", "{c}"]),
        st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=5).map(
            lambda values: tuple((float(at), value) for at, value in enumerate(values))
        ),
        min_size=1,
    ),
    st.booleans(),
)
def test_no_series_is_worse_than_the_worst(series: dict[str, tuple[tuple[float, float], ...]], highest: bool) -> None:
    found = worst(series, highest=highest, window=(0, 4), step=1)
    numbers = [value for points in series.values() for _, value in finite(points)]
    assert (found is None) == (not numbers)
    if found is not None:
        assert found.value == (max(numbers) if highest else min(numbers))
        assert math.isfinite(found.value)
