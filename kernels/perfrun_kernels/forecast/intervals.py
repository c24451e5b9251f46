"""Prediction intervals from how far earlier forecasts were off: split conformal, adapted as time goes on.

Source: Vovk, Gammerman and Shafer, 2005, for conformal; Gibbs and Candès, 2021, for adapting the level to what was
covered, as histories are not exchangeable.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs
import numpy as np

from perfrun_kernels.forecast.past import Floats

NOMINAL: Final = 0.9
_MOST_WINDOWS: Final = 30
_PACE: Final = 0.05
_LEAST_LEVEL, _MOST_LEVEL = 0.01, 0.3
_TINY: Final = 1e-12


@attrs.frozen(eq=False)
class Interval:
    """Lower and upper bound of each step; both are the mean where nothing was known to learn from."""

    lower: Floats
    upper: Floats

    def misses(self, actual: Floats) -> float | None:
        """Return the share of values outside, None where it was learnt from nothing or no value is known."""
        known = np.isfinite(actual)
        if not known.any() or np.array_equal(self.lower, self.upper):
            return None
        outside = (actual < self.lower) | (actual > self.upper)
        return float(outside[known].mean())


@attrs.frozen(eq=False)
class Seen:
    """An earlier forecast, and what is known by now of what happened; NaN where that is nothing."""

    mean: Floats
    interval: Interval
    actual: Floats


def around(mean: Floats, seen: Sequence[Seen], *, positive: bool) -> Interval:
    """Return the interval around ``mean`` by what was seen of earlier forecasts, oldest first.

    Errors are measured by the level, and by how they grow with the step. ``positive`` keeps bounds from below 0.
    """
    newest = seen[-_MOST_WINDOWS:]
    off = np.array([(each.actual - each.mean) / _scale(each.mean) for each in newest])
    if not np.isfinite(off).any():
        return Interval(mean, mean)
    growth = _growth(np.abs(off))
    sizes = np.sort((off / growth)[np.isfinite(off)])
    rank = min(sizes.size, int(np.ceil((sizes.size + 1) * (1 - _level(seen) / 2))))
    scale = growth * _scale(mean)
    lower = mean + min(float(sizes[sizes.size - rank]), 0.0) * scale
    upper = mean + max(float(sizes[rank - 1]), 0.0) * scale
    return Interval(np.maximum(lower, 0.0) if positive else lower, upper)


def _level(seen: Sequence[Seen]) -> float:
    """Return the share that may lie outside: less than stated where more has done so."""
    level = 1 - NOMINAL
    for each in seen:
        missed = each.interval.misses(each.actual)
        if missed is not None:
            level = float(np.clip(level + _PACE * (1 - NOMINAL - missed), _LEAST_LEVEL, _MOST_LEVEL))
    return level


def _growth(sizes: Floats) -> Floats:
    """Return how errors grow with the step, as a line around 1 that never falls."""
    known = np.isfinite(sizes)
    count = known.sum(axis=0)
    steps = np.arange(count.size)
    mean = np.where(known, sizes, 0).sum(axis=0) / np.maximum(count, 1)
    if (count > 0).sum() < 2 or not mean.any():  # noqa: PLR2004 -- a line has two points
        return np.ones(count.size)
    slope, start = np.polyfit(steps[count > 0], mean[count > 0], 1, w=np.sqrt(count[count > 0]))
    line = start + slope * steps if slope > 0 else np.full(count.size, float(mean[count > 0].mean()))
    return np.asarray(np.maximum(line, line.mean() / 4) / line.mean())


def _scale(mean: Floats) -> Floats:
    """Return what errors are measured by: half the level of the step, half that of the whole window."""
    size = np.abs(mean)
    return np.asarray(size / 2 + size.mean() / 2 + _TINY)
