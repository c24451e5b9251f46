"""The ratio of two durations that were measured in turns, with its bounds.

What a machine does to one side of a turn it does to the other, so that the ratio is taken turn by turn: whatever
drifts slowly cancels. Logarithms make it symmetric; consecutive turns that resemble each other are batched.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from perfrun.measuring.correlation import split
from perfrun.measuring.means import Interval, batch_mean


def ratio_of_turns(
    above: Sequence[float], above_starts: Sequence[int], below: Sequence[float], below_starts: Sequence[int],
    confidence: float,
) -> Interval:  # fmt: skip
    """Return the geometric mean over all turns of mean ``above`` over mean ``below``, with one-sided bounds.

    ``starts`` are the indices at which turns begin; both sides have as many, and values are positive. ``samples`` is
    the number of turns.

    Raises:
        ValueError: the sides differ in their number of turns, there is none, or a value is not positive.
    """
    over, under = split(above, above_starts), split(below, below_starts)
    if len(over) != len(under) or not above or not below:
        msg = f"there are {len(over)} turns of one side and {len(under)} of the other; expected as many of both"
        raise ValueError(msg)
    if min(*above, *below) <= 0:
        msg = f"a duration of {min(*above, *below):g} s was handed in; expected positive ones"
        raise ValueError(msg)
    logs = [math.log(_mean(one)) - math.log(_mean(other)) for one, other in zip(over, under, strict=True)]
    found = batch_mean(logs, confidence)
    value, lower, upper = (math.exp(each) for each in (found.value, found.lower, found.upper))
    return Interval(value, lower, upper, found.samples, found.effective_samples)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
