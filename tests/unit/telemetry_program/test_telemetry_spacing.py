"""Differences between samples, gaps, and how much they leave."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfrun_kernels.telemetry.spacing import complete, due, edges, gaps, spacing


def test_the_interval_is_the_median_and_the_longest_is_told():
    found = spacing(np.array([0.0, 15, 30, 45, 105, 120]))
    assert (found.samples, found.interval, found.longest) == (6, 15, 60)


def test_one_sample_has_no_interval():
    found = spacing(np.array([7.0]))
    assert math.isnan(found.interval)
    assert found.samples == 1


def test_equal_times_are_duplicates_and_no_interval_of_zero():
    found = spacing(np.array([0.0, 15, 15, 30]))
    assert (found.duplicates, found.interval) == (1, 15)


def test_what_comes_in_the_wrong_order_is_counted_and_sorted():
    found = spacing(np.array([0.0, 30, 15, 45]))
    assert (found.unordered, found.interval, found.longest) == (1, 15, 15)


def test_a_gap_lacks_what_was_due_within_it():
    (found,) = gaps(np.array([0.0, 15, 75, 90]), 15)
    assert (found.start, found.end, found.missing) == (15, 75, 3)


def test_one_and_a_half_intervals_are_no_gap_yet():
    assert gaps(np.array([0.0, 22.5]), 15) == ()
    assert len(gaps(np.array([0.0, 22.6]), 15)) == 1


def test_edges_are_gaps_only_where_more_than_one_sample_could_have_been():
    assert edges(np.array([10.0, 90]), 0, 100, 15) == ()
    before, after = edges(np.array([40.0, 55]), 0, 100, 15)
    assert (before.start, before.end, after.start, after.end) == (0, 40, 55, 100)


def test_a_window_without_samples_is_one_gap():
    (found,) = edges(np.array([]), 0, 150, 15)
    assert complete([found], 0, 150, 15) == 0


def test_every_second_sample_missing_leaves_a_half():
    times = np.arange(0.0, 3600, 30)
    assert complete(gaps(times, 15), 0, 3600, 15) == pytest.approx(0.5, abs=0.01)


@given(st.floats(0.5, 60), st.lists(st.booleans(), min_size=20, max_size=200))
def test_the_share_is_that_of_the_samples_that_were_kept(interval, kept):
    times = 1000 + interval * np.arange(len(kept))
    chosen = times[[True, *kept[1:-1], True]]
    end = float(times[-1])
    share = complete(gaps(chosen, interval), 1000, end, interval)
    missing = len(kept) - chosen.size
    assert share == pytest.approx(1 - missing / due(1000, end, interval))
