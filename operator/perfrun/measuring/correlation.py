"""How many independent samples correlated ones are worth.

Samples taken one after the other resemble each other, and intervals that ignore this are too narrow. The integrated
autocorrelation time divides their number: it is summed by Geyer's initial positive sequence (Practical Markov Chain
Monte Carlo, 1992), which stops where the estimate has become noise.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Sequence
from typing import Final

_MAX_LAGS: Final = 500


def effective_samples(values: Sequence[float], starts: Sequence[int] = (0,)) -> float:
    """Return how many independent samples the values are worth: at least 1, at most their number.

    ``starts`` are the indices at which independent rounds begin: no correlation is assumed across them, and the
    rounds' own means are kept, so that rounds which differ as wholes count as correlated within.
    """
    count = len(values)
    if count == 0:
        return 0.0
    rounds = split(values, starts)
    mean = sum(values) / count
    centred = [[value - mean for value in part] for part in rounds]
    variance = _covariance(centred, 0, count)
    if variance <= 0:
        return float(count)
    time = -1.0
    longest = min(_MAX_LAGS, max(len(part) for part in rounds) - 1)
    for lag in range(0, longest + 1, 2):
        pair = (_covariance(centred, lag, count) + _covariance(centred, lag + 1, count)) / variance
        if pair <= 0:
            break
        time += 2 * pair
    return min(float(count), max(1.0, count / max(time, 1.0)))


def effective_for_quantile(values: Sequence[float], quantile_value: float, starts: Sequence[int] = (0,)) -> float:
    """Return how many independent samples the values are worth for a quantile.

    What matters for a quantile is not how values resemble each other, but how the exceedances of it cluster; where
    many values equal it, those that reach it count as well.
    """
    above = effective_samples([float(value > quantile_value) for value in values], starts)
    reaching = effective_samples([float(value >= quantile_value) for value in values], starts)
    return min(above, reaching)


def split(values: Sequence[float], starts: Sequence[int]) -> list[Sequence[float]]:
    """Return the rounds: the values cut at the indices at which rounds start, empty rounds left out."""
    edges = sorted({0, *(start for start in starts if 0 < start < len(values)), len(values)})
    return [values[begin:end] for begin, end in itertools.pairwise(edges)]


def _covariance(rounds: Sequence[Sequence[float]], lag: int, count: int) -> float:
    # Dividing by the full count at every lag keeps the estimate positive semi-definite.
    return sum(sum(map(operator.mul, part, part[lag:])) for part in rounds) / count
