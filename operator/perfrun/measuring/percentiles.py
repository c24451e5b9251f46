"""Percentiles with bounds that assume nothing about the distribution: order statistics and the exact binomial.

The number of samples at or below the true quantile is binomial, so a sample of known rank bounds the quantile with
known confidence. A p99 needs 459 samples before its largest one bounds it from above at 99 %: the rule by which
MLPerf's load generator stops early (MLPerf Inference, early stopping). A percentile is never averaged.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import attrs

from perfrun.measuring.distributions import least_over, most_over


@attrs.frozen
class Bounds:
    """A quantile with its one-sided bounds, each at the stated confidence; a bound that does not exist is infinite.

    ``samples`` were taken; they are worth ``effective_samples`` independent ones.
    """

    value: float
    lower: float
    upper: float
    samples: int
    effective_samples: float


def bounds(samples: Sequence[float], quantile: float, confidence: float, effective: float | None = None) -> Bounds:
    """Return a quantile of the samples with its bounds, in the samples' unit.

    ``quantile`` lies between 0 and 1 (0.99 for p99), ``effective`` is how many independent samples they are worth:
    the ranks are found for that many and scaled outwards to the samples at hand.

    Raises:
        ValueError: there are no samples.
    """
    if not samples:
        msg = "a percentile needs at least one sample"
        raise ValueError(msg)
    ordered = sorted(samples)
    count = len(ordered)
    worth = min(count, max(1, math.floor(effective))) if effective is not None else count
    lower_rank, upper_rank = ranks(worth, quantile, confidence)
    below = (lower_rank - 1) * count // worth + 1 if lower_rank else 0
    above = count - (worth - upper_rank) * count // worth if upper_rank <= worth else count + 1
    middle = min(count, max(1, math.ceil(quantile * count)))
    return Bounds(
        value=ordered[middle - 1],
        lower=ordered[min(below, middle) - 1] if below else -math.inf,
        upper=ordered[max(above, middle) - 1] if above <= count else math.inf,
        samples=count,
        effective_samples=min(float(count), effective) if effective is not None else float(count),
    )


def ranks(count: int, quantile: float, confidence: float) -> tuple[int, int]:
    """Return the ranks (the smallest sample has rank 1) that bound a quantile from below and from above.

    The lower rank is 0 and the upper rank count + 1 where so few samples give no such bound.
    """
    error, chance = 1.0 - confidence, 1.0 - quantile
    over = most_over(count, chance, _slack(error))
    return count - least_over(count, chance, _slack(error)) + 1, count - over


def samples_needed(quantile: float, confidence: float, over: int = 0) -> int:
    """Return how many samples prove that the quantile lies below a limit which ``over`` of them exceed."""
    low, high = 0, over + 1
    while most_over(high, 1.0 - quantile, _slack(1.0 - confidence)) < over:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        if most_over(middle, 1.0 - quantile, _slack(1.0 - confidence)) < over:
            low = middle
        else:
            high = middle
    return high


def _slack(error: float) -> float:
    # 1 - 0.99 is a little more than 0.01 in binary; the last digits must not decide whether a sample suffices.
    return round(error, 15)
