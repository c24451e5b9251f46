"""Where warm-up ends, by rule: the same samples are cut at the same place whoever looks, and sometimes nowhere.

MSER-5 (White, Cobb and Spratt, 2000) finds the cut that makes the mean of the rest most certain: samples are averaged
in batches of five, and of all cuts in the first half the one with the least squared standard error wins. Then a trend
test on what remains says whether there is a steady state at all: the Mann-Kendall test with the variance correction of
Hamed and Rao (1998) for correlation, and the slope of Theil and Sen, for a trend must be both certain and large enough
to matter.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Final

import attrs

from perfrun.measuring.correlation import split
from perfrun.measuring.distributions import normal_quantile

_BATCH: Final = 5
_POINTS: Final = 60
_FEWEST: Final = 8
_SIGNIFICANCE: Final = 0.99
_DRIFT: Final = 0.25
_REACH: Final = 5.0
_TO_DEVIATION: Final = 1.4826


@attrs.frozen
class Steady:
    """Where the steady state begins.

    ``cut`` is the index of the first sample that counts. ``found`` is False where what remains still drifts, by
    ``drift`` (a share of its median, over the whole remaining stretch).
    """

    cut: int
    found: bool
    drift: float = 0.0


def steady_state(samples: Sequence[float], starts: Sequence[int] = (0,), *, rising: bool = False) -> Steady:
    """Return where the steady state of a series begins, and whether there is one.

    ``starts`` are the indices at which repetitions of the same work (rounds) begin. With at least two rounds a
    sample is compared with the samples at the same place of other rounds, so work that grows within each round, as
    decoding does with its context, is no drift. Within a single round the two cannot be told apart, and only a
    decline counts as one, unless ``rising`` says that the work does not grow by itself, so that a rise is one too.
    """
    if len(samples) < _FEWEST * _BATCH:
        return Steady(cut=0, found=True)
    rounds = split(samples, starts)
    level = _without_profile(rounds) if len(rounds) > 1 else list(samples)
    calm = _clipped(level)
    cut = mser_cut(calm)
    trend = trend_of(_averaged(calm[cut:], max(1, (len(calm) - cut) // _POINTS)))
    # A cut that wants to go past the middle has not come to the end of the warm-up.
    certain = trend.certain or cut >= len(calm) // 2 - _BATCH
    matters = certain and abs(trend.drift) > _DRIFT and (rising or len(rounds) > 1 or trend.drift < 0)
    return Steady(cut=cut, found=not matters, drift=trend.drift)


def mser_cut(samples: Sequence[float], batch: int = _BATCH) -> int:
    """Return how many samples to leave out: the cut, in the first half, with the least marginal standard error."""
    means = _averaged(samples, batch)
    count = len(means)
    best, at = math.inf, 0
    total = squares = 0.0
    # From the end: sums over the remainder grow by one batch at a time, so that the search is linear.
    for cut in range(count - 1, -1, -1):
        total += means[cut]
        squares += means[cut] ** 2
        rest = count - cut
        error = max(0.0, squares - total * total / rest) / rest**2
        if cut <= count // 2 and error <= best:
            best, at = error, cut
    return at * batch


@attrs.frozen
class Trend:
    """Whether a series has a trend, and how far it leads from end to end, as a share of the median."""

    certain: bool
    drift: float


def trend_of(values: Sequence[float]) -> Trend:
    """Test a series for a trend: Mann-Kendall with the correction of Hamed and Rao, slope by Theil and Sen."""
    count = len(values)
    if count < _FEWEST:
        return Trend(certain=False, drift=0.0)
    pairs = [(i, j) for i in range(count) for j in range(i + 1, count)]
    score = sum((values[j] > values[i]) - (values[j] < values[i]) for i, j in pairs)
    slope = statistics.median((values[j] - values[i]) / (j - i) for i, j in pairs)
    middle = statistics.median(values)
    drift = slope * (count - 1) / abs(middle) if middle else 0.0
    variance = count * (count - 1) * (2 * count + 5) / 18 * _correction(values, slope)
    deviation = (abs(score) - 1) / math.sqrt(variance) if score else 0.0
    return Trend(certain=deviation > normal_quantile((1 + _SIGNIFICANCE) / 2), drift=drift)


def _correction(values: Sequence[float], slope: float) -> float:
    """Return the factor by which correlation widens the variance of the score; at least 1."""
    count = len(values)
    ranks = _ranks([value - slope * at for at, value in enumerate(values)])
    mean = sum(ranks) / count
    centred = [rank - mean for rank in ranks]
    spread = sum(value * value for value in centred)
    if spread == 0:
        return 1.0
    bound = normal_quantile(0.975) / math.sqrt(count)
    total = 0.0
    for lag in range(1, count // 2):
        similarity = sum(a * b for a, b in zip(centred, centred[lag:], strict=False)) / spread
        if abs(similarity) > bound:
            total += (count - lag) * (count - lag - 1) * (count - lag - 2) * similarity
    return max(1.0, 1 + 2 * total / (count * (count - 1) * (count - 2)))


def _ranks(values: Sequence[float]) -> list[float]:
    ranks = [0.0] * len(values)
    for rank, at in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        ranks[at] = float(rank)
    return ranks


def _averaged(values: Sequence[float], batch: int) -> list[float]:
    return [math.fsum(values[at : at + batch]) / batch for at in range(0, len(values) - batch + 1, batch)]


def _without_profile(rounds: Sequence[Sequence[float]]) -> list[float]:
    """Return every sample relative to what is usual at its place of a round, times the overall median."""
    overall = statistics.median(value for part in rounds for value in part)
    longest = max(len(part) for part in rounds)
    usual = [statistics.median(part[at] for part in rounds if at < len(part)) for at in range(longest)]
    return [value / usual[at] * overall if usual[at] else value for part in rounds for at, value in enumerate(part)]


def _clipped(values: Sequence[float]) -> list[float]:
    """Return the values with outliers pulled in: a single hiccup late in a series is no change of its level."""
    middle = statistics.median(values)
    reach = _REACH * _TO_DEVIATION * statistics.median(abs(value - middle) for value in values)
    if reach == 0:
        return list(values)
    return [min(max(value, middle - reach), middle + reach) for value in values]
