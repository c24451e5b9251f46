"""By how much fewer items one of two models gets right, both asked about the same items.

Only the items that tell the two apart say anything of the difference: what both get right, or both wrong, cancels.
The bounds are by Tango's score, which is sound where few items differ, or none, as it is when a model is converted
to another precision. There the usual interval has no width at all, and would prove what nobody saw.
"""

from __future__ import annotations

import math
from typing import Final

from perfrun.measuring.distributions import normal_quantile
from perfrun.measuring.means import Interval

_HALVINGS: Final = 60


def decrease(both: int, only_before: int, only_after: int, neither: int, confidence: float) -> Interval:
    """Return the share right before less the share right after, from -1 to 1, with one-sided bounds.

    The four counts are the items that both, only the one before, only the one after, or neither got right. A bound
    is the difference that a score test of level 1 - ``confidence`` just does not reject (T. Tango, Statistics in
    Medicine 17, 1998, with the closed form of the constrained estimate). ``samples`` is the number of items.

    Raises:
        ValueError: a count is negative, or there are no items.
    """
    items = both + only_before + only_after + neither
    if min(both, only_before, only_after, neither) < 0 or items == 0:
        msg = f"{both}, {only_before}, {only_after} and {neither} items were counted; expected none below 0, and some"
        raise ValueError(msg)
    quantile = normal_quantile(confidence)
    found = (only_before - only_after) / items
    return Interval(
        value=found,
        lower=-_upper(only_after, only_before, items, quantile),
        upper=_upper(only_before, only_after, items, quantile),
        samples=items,
        effective_samples=float(items),
    )


def _upper(more: int, less: int, items: int, quantile: float) -> float:
    """Return the largest difference that is not rejected, by bisection; the score falls as the difference grows."""
    low, high = (more - less) / items, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _score(more, less, items, middle) > -quantile:
            low = middle
        else:
            high = middle
    return high


def _score(more: int, less: int, items: int, difference: float) -> float:
    """Return the standardised distance of what was counted from ``difference``."""
    slope = (2 * items - more + less) * difference - more - less
    constant = less * difference * (1 - difference)
    # The share of `less` that is most likely where the difference is the one supposed.
    share = (math.sqrt(slope * slope + 8 * items * constant) - slope) / (4 * items)
    variance = items * (2 * share + difference * (1 - difference))
    distance = more - less - items * difference
    return distance / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, distance)
