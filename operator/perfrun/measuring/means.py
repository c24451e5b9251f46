"""Means and rates with intervals, by batch means: batches long enough to be nearly independent, then Student's t."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import attrs

from perfrun.measuring.correlation import split
from perfrun.measuring.distributions import student_quantile

BATCHES: Final = 20
"""Batches that a series is cut into: enough for a t quantile near the normal one, few enough to be long."""

_SMALLEST: Final = 2


@attrs.frozen
class Interval:
    """A value with its one-sided bounds, each at the stated confidence; a bound that does not exist is infinite."""

    value: float
    lower: float
    upper: float
    samples: int
    effective_samples: float


def mean(values: Sequence[float], confidence: float) -> Interval:
    """Return the mean of independent values with its bounds by Student's t, in their unit.

    Raises:
        ValueError: there are no values.
    """
    count = len(values)
    if count == 0:
        msg = "a mean needs at least one value"
        raise ValueError(msg)
    centre = math.fsum(values) / count
    if count < _SMALLEST:
        return Interval(centre, -math.inf, math.inf, count, float(count))
    variance = math.fsum((value - centre) ** 2 for value in values) / (count - 1)
    reach = student_quantile(confidence, count - 1) * math.sqrt(variance / count)
    return Interval(centre, centre - reach, centre + reach, count, float(count))


def batch_mean(values: Sequence[float], confidence: float, starts: Sequence[int] = (0,)) -> Interval:
    """Return the mean of correlated values with its bounds, by batch means.

    Batches do not cross the ``starts`` of independent rounds. ``effective_samples`` is the number of independent
    values that would give the mean the same variance.

    Raises:
        ValueError: there are no values.
    """
    return _from_batches(values, batch_means(values, starts), confidence)


def batch_mean_of(rounds: Sequence[Sequence[float]], confidence: float) -> Interval:
    """Return the mean of correlated values with its bounds, each round being one batch.

    For few rounds: shorter batches would take what a round has in common for agreement. Rounds are equally long.

    Raises:
        ValueError: there are no values.
    """
    values = [value for part in rounds for value in part]
    return _from_batches(values, [math.fsum(part) / len(part) for part in rounds if part], confidence)


def _from_batches(values: Sequence[float], batches: Sequence[float], confidence: float) -> Interval:
    """Return the mean of the values with the bounds of the batches' mean, by Student's t."""
    overall = mean(batches, confidence)
    count = len(values)
    centre = math.fsum(values) / count
    shift = centre - overall.value
    spread = math.fsum((value - centre) ** 2 for value in values) / max(1, count - 1)
    batch_spread = math.fsum((value - overall.value) ** 2 for value in batches) / max(1, len(batches) - 1)
    worth = float(count) if batch_spread == 0 else min(float(count), max(1.0, len(batches) * spread / batch_spread))
    return Interval(centre, overall.lower + shift, overall.upper + shift, count, worth)


def batch_means(values: Sequence[float], starts: Sequence[int] = (0,)) -> list[float]:
    """Return the means of about :data:`BATCHES` equally long batches; what does not fill a batch is left out."""
    rounds = split(values, starts)
    size = max(1, len(values) // BATCHES)
    whole = [math.fsum(part[at : at + size]) / size for part in rounds for at in range(0, len(part) - size + 1, size)]
    # Many rounds shorter than a batch: each round is a batch of its own.
    return whole or [math.fsum(part) / len(part) for part in rounds]


def rate(
    work_per_value: float, durations: Sequence[float], confidence: float, starts: Sequence[int] = (0,)
) -> Interval:
    """Return work per time, where each duration (seconds) took the same work, with its bounds.

    The rate is work over the mean duration, so its bounds are those of the mean, turned over; a mean whose lower
    bound is not positive leaves the rate unbounded from above.
    """
    time = batch_mean(durations, confidence, starts)
    upper = work_per_value / time.lower if time.lower > 0 else math.inf
    lower = work_per_value / time.upper if math.isfinite(time.upper) else -math.inf
    return Interval(work_per_value / time.value, lower, upper, time.samples, time.effective_samples)
