"""Sums of errors: exact where they can be, and silent about what is not known."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfrun.measuring.scoring import Foretold, apart, score

POINTS = [Foretold(60.0, 10, 8, 12, 11), Foretold(120.0, 20, 18, 22, 20), Foretold(180.0, 30, 28, 32, 33)]


def test_errors_are_weighed_by_what_happened():
    found = score(POINTS, {60.0: 12, 120.0: 20, 180.0: 36})
    assert (found.points, found.covered, found.error, found.actual) == (3, 2, 8, 68)
    assert found.wape == pytest.approx(100 * 8 / 68)
    assert found.naive_wape == pytest.approx(100 * 4 / 68)
    assert found.coverage == pytest.approx(200 / 3)


@pytest.mark.parametrize("unknown", [{}, {180.0: math.nan}, {180.0: math.inf}, {181.0: 30.0}])
def test_what_is_not_known_counts_for_nothing(unknown):
    found = score(POINTS, {60.0: 10, 120.0: 20} | unknown)
    assert (found.points, found.error, found.actual) == (2, 0, 30)


def test_an_error_in_percent_of_nothing_is_none():
    assert score(POINTS, {60.0: 0, 120.0: 0, 180.0: 0}).wape is None
    assert score(POINTS, {}).wape is None


def test_negative_values_weigh_as_much_as_positive_ones():
    assert score([Foretold(0, -10, -20, 0)], {0: -8}).wape == 25


def test_seasonal_naive_is_told_only_where_every_point_tells():
    mixed = [POINTS[0], Foretold(120.0, 20, 18, 22)]
    assert score(mixed, {60.0: 10, 120.0: 20}).naive_wape is None
    assert score(mixed, {60.0: 10}).naive_wape == 10


def test_spans_that_touch_do_not_overlap():
    assert apart([(0, 10), (10, 20), (5, 15), (20, 30)]) == 3
    assert apart([]) == 0


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 10)), max_size=8))
def test_as_many_spans_are_taken_as_can_be(drawn):
    spans = [(float(begin), float(begin + length)) for begin, length in drawn]

    def most(left):
        return max((1 + most([each for each in left if each[0] >= end]) for _, end in left), default=0)

    assert apart(spans) == most(spans)
