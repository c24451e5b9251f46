"""Resampling in blocks: how long a history remembers, and what a resample is."""

from __future__ import annotations

import numpy as np
import pytest

from perfrun_kernels.bottlenecks.blocks import memory, weights


def remembering(correlation, points=20_000):
    noise = np.random.default_rng(1).standard_normal(points)
    values = np.zeros(points)
    for index in range(1, points):
        values[index] = correlation * values[index - 1] + noise[index]
    return values


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
def test_memory_is_what_the_process_has(correlation):
    # Of a first-order autoregression it is (1 + r) / (1 − r).
    assert memory(remembering(correlation)) == pytest.approx((1 + correlation) / (1 - correlation), rel=0.15)


@pytest.mark.parametrize("values", [[], [3.0], [1.0] * 50, [np.nan] * 9, [1.0, np.nan, 1.0]])
def test_what_does_not_vary_remembers_nothing(values):
    assert memory(np.array(values)) == 1


@pytest.mark.parametrize(("points", "length"), [(2016, 1), (2016, 24), (101, 7), (100, 5000), (5, 1)])
def test_a_resample_has_as_many_points_as_there_were(points, length):
    drawn = weights(points, length, 200)
    assert drawn.shape == (200, points)
    assert np.all(drawn.sum(axis=1) == points)
    assert np.all(drawn == np.round(drawn))
    # All points are drawn alike.
    assert drawn.mean() == 1
    assert np.abs(drawn.mean(axis=0) - 1).max() < 1


def test_blocks_widen_the_error_of_a_mean_as_memory_does():
    values = remembering(0.9, 4000)
    alone, blocks = (np.std(weights(values.size, length) @ values / values.size) for length in (1, 60))
    assert blocks / alone == pytest.approx(np.sqrt(19), rel=0.25)


def test_the_same_history_gives_the_same_resamples():
    assert np.array_equal(weights(50, 3, 10), weights(50, 3, 10))
