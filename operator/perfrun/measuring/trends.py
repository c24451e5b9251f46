"""How fast something grows that must not grow, such as the memory of a process, with an interval.

The slope is that of Theil and Sen, the median over all pairs of samples, which single outliers do not move. Its bounds
invert the Mann-Kendall test (Sen, 1968): the score of a series without a trend has a known variance, which Hamed and
Rao (1998) correct for samples that resemble their neighbours. Samples may come in segments, each with a level of its
own, as when a process was started again: pairs are formed within segments only, scores and variances add up (Hirsch
and Slack, 1984), and so what a new process takes to begin with is no growth.

A segment begins with a warm-up, in which caches fill. The slope of its second half is taken off before the cut is
looked for, so that steady growth is not taken for a warm-up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import attrs
import numpy as np
import numpy.typing as npt

from perfrun.measuring.correlation import effective_samples
from perfrun.measuring.distributions import normal_quantile, student_quantile
from perfrun.measuring.warmup import mser_cut

_FEWEST: Final = 20
"""Samples of a segment below which nothing is said of it: its correlation could not be known."""

_POINTS: Final = 400
"""Points to which a longer segment is averaged: pairs grow with the square."""

_FREEDOM: Final = 1 / 3
"""Degrees of freedom of an independent sample: how much samples resemble each other is an estimate itself, and one
that falls short where they are few."""

_SIGNIFICANT: Final = 0.975
_SHORTEST_CUT: Final = 40

_FAR_SMALLER: Final = 0.5
"""What a cut must leave of the standard error to be made."""

_Numbers = npt.NDArray[np.float64]


@attrs.frozen
class Segment:
    """Samples of one process: ``times`` in seconds, rising, of any origin, and as many ``values``."""

    times: Sequence[float]
    values: Sequence[float]


@attrs.frozen
class Growth:
    """A slope per second with one-sided bounds, each at the stated confidence.

    ``samples`` and ``seconds`` are those that count, warm-ups left out; ``effective_samples`` is what they are worth.
    ``rising`` is the chance that a series without a trend scores as high.
    """

    slope: float
    lower: float
    upper: float
    samples: int
    effective_samples: float
    seconds: float
    rising: float


@attrs.frozen
class _Part:
    """What one segment adds after its warm-up: the slopes of all pairs, and its score's variance, times ``factor``."""

    times: _Numbers
    values: _Numbers
    slopes: _Numbers
    score: float
    variance: float
    factor: float
    samples: int
    seconds: float


def growth(segments: Sequence[Segment], confidence: float) -> Growth | None:
    """Return the slope that the segments share, or None where all of them are too short to tell.

    Raises:
        ValueError: a segment has not as many times as values.
    """
    parts = [part for segment in segments if (part := _part(segment)) is not None]
    if not parts:
        return None
    slopes = np.sort(np.concatenate([part.slopes for part in parts]))
    deviation = math.sqrt(math.fsum(part.variance for part in parts))
    score = math.fsum(part.score for part in parts)
    worth = math.fsum(part.samples / part.factor for part in parts)
    times = student_quantile(confidence, max(1.0, worth * _FREEDOM))
    slope = float(np.median(slopes))
    lower, upper = _by_rank(slopes, times * deviation) or _by_spread(parts, slope, times, worth)
    samples = sum(part.samples for part in parts)
    return Growth(
        slope=slope,
        lower=lower,
        upper=upper,
        samples=samples,
        effective_samples=worth,
        seconds=math.fsum(part.seconds for part in parts),
        rising=_chance((score - math.copysign(1, score)) / deviation if score and deviation else 0.0),
    )


def _by_rank(slopes: _Numbers, reach: float) -> tuple[float, float] | None:
    """Return the slopes that many ranks from the middle, or None where there are not so many (Sen, 1968)."""
    low, high = math.floor((slopes.size - reach) / 2) - 1, math.ceil((slopes.size + reach) / 2)
    return (float(slopes[low]), float(slopes[high])) if low >= 0 and high < slopes.size else None


def _by_spread(parts: Sequence[_Part], slope: float, times: float, worth: float) -> tuple[float, float]:
    """Return bounds by the standard error of a regression, as many ``times`` of it from the slope.

    Few independent samples have no ranks to spare, however close to a line they are.
    """
    residuals = [part.values - slope * part.times for part in parts]
    spread = math.fsum(float(each.var()) * each.size for each in residuals)
    length = math.fsum(float(part.times.var()) * part.times.size for part in parts)
    error = math.sqrt(spread / length / worth)
    return slope - times * error, slope + times * error


def _part(segment: Segment) -> _Part | None:
    if len(segment.times) != len(segment.values):
        msg = f"a segment has {len(segment.times)} times and {len(segment.values)} values; expected as many of both"
        raise ValueError(msg)
    times, values = (_averaged(np.asarray(each, np.float64)) for each in (segment.times, segment.values))
    cut = _warm_up(times, values)
    times, values = times[cut:], values[cut:]
    if times.size < _FEWEST:
        return None
    slopes = _slopes(times, values)
    residuals = values - np.median(slopes) * times
    factor = max(_hamed_rao(residuals), times.size / effective_samples(residuals.tolist()))
    counts = len(segment.times) * times.size / (times.size + cut)
    return _Part(
        times=times, values=values, slopes=slopes,
        score=float(np.sign(slopes).sum()), variance=_variance(values) * factor, factor=factor,
        samples=round(counts), seconds=float(times[-1] - times[0]),
    )  # fmt: skip


def _warm_up(times: _Numbers, values: _Numbers) -> int:
    """Return how many samples to leave out, at most half: none, unless the rest alone is far more certain.

    A cut is only as good as the choice of it: among samples that merely wander, the best one would flatter the bounds.
    """
    if times.size < _SHORTEST_CUT:
        return 0
    half = times.size // 2
    slope = np.median(_slopes(times[half:], values[half:]))
    flat = values - slope * (times - times[0])
    cut = mser_cut(flat.tolist())
    return cut if _error(flat[cut:]) < _FAR_SMALLER * _error(flat) else 0


def _error(values: _Numbers) -> float:
    """Return the marginal standard error, by which MSER compares cuts."""
    return float(values.std()) / math.sqrt(values.size)


def _slopes(times: _Numbers, values: _Numbers) -> _Numbers:
    """Return the slopes of all pairs of samples."""
    early, late = np.triu_indices(times.size, 1)
    slopes: _Numbers = (values[late] - values[early]) / (times[late] - times[early])
    return slopes


def _variance(values: _Numbers) -> float:
    """Return the variance of the score of as many independent values, with as many ties (Kendall, 1975)."""
    count = values.size
    ties = np.unique(values, return_counts=True)[1].astype(np.float64)
    tied = float((ties * (ties - 1) * (2 * ties + 5)).sum())
    return (count * (count - 1) * (2 * count + 5) - tied) / 18


def _hamed_rao(residuals: _Numbers) -> float:
    """Return the factor by which correlation widens the variance of the score; at least 1 (their equation 10)."""
    count = residuals.size
    _, place, ties = np.unique(residuals, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(ties) - (ties - 1) / 2)[place]
    centred = ranks - ranks.mean()
    spread = float(centred @ centred)
    if spread == 0:
        return 1.0
    lags = np.arange(1, count - 2)
    similar = np.correlate(centred, centred, "full")[count : count + lags.size] / spread
    similar[np.abs(similar) <= normal_quantile(_SIGNIFICANT) / math.sqrt(count)] = 0
    total = float(((count - lags) * (count - lags - 1) * (count - lags - 2) * similar).sum())
    return max(1.0, 1 + 2 * total / (count * (count - 1) * (count - 2)))


def _averaged(values: _Numbers) -> _Numbers:
    """Return means of consecutive values, at most :data:`_POINTS`; what does not fill a mean is left out."""
    size = -(-values.size // _POINTS)
    if size <= 1:
        return values
    means: _Numbers = values[: values.size // size * size].reshape(-1, size).mean(axis=1)
    return means


def _chance(deviations: float) -> float:
    """Return the chance of at least so many deviations above the mean of a normal distribution."""
    return math.erfc(deviations / math.sqrt(2)) / 2
