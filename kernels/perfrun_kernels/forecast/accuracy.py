"""How far off forecasts were, with bounds that know how few windows there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs
import numpy as np
from scipy.stats import norm
from scipy.stats import t as student

from perfrun_kernels.forecast.past import Floats

_LEAST_BATCHES: Final = 3
_WINDOWS_A_BATCH: Final = 2
_LEAST_DRAWN: Final = 8
"""Batches from which it makes sense to draw."""

_DRAWS: Final = 10_000


@attrs.frozen
class Quotient:
    """Σ numerators / Σ denominators with a bound on each side, each at the confidence that was asked for."""

    value: float
    lower: float
    upper: float


def effective(windows: int, stride: int, ahead: int) -> float:
    """Return how many windows without overlap so many that overlap are worth."""
    return 1 + (windows - 1) * min(1.0, stride / ahead)


def quotient(above: Floats, below: Floats, confidence: float, worth: float) -> Quotient:
    """Return the quotient of two sums over windows; the lower sum must be above 0.

    Neighbouring windows resemble each other, so that batches of them are taken for what is independent: at least two
    windows without overlap in each, by ``worth``, how many of these there are. The variance is that of a ratio
    estimate (Cochran, 1977, 6.4) over batches, the bounds are Student's on the logarithm, which keeps them above 0.

    Args:
        above: one number a window, such as the sum of absolute errors.
        below: one number a window, such as the sum of absolute values.
        confidence: of each bound by itself, 0.5 to below 1.
        worth: effective windows.
    """
    whole = float(below.sum())
    value = float(above.sum()) / whole
    if value == 0:
        return Quotient(0.0, 0.0, 0.0)
    count = _batches(above.size, worth)
    left = _summed(above - value * below, count)
    deviation = float(np.sqrt(count / (count - 1) * (left**2).sum()) / whole)
    reach = float(np.exp(student.ppf(confidence, count - 1) * deviation / value))
    return Quotient(value, value / reach, value * reach)


def compared(errors: Floats, yardstick: Floats, confidence: float, worth: float) -> Quotient:
    """Return forecasts' errors by the yardstick's, one number of each a window; the sum of the latter is above 0.

    A level shift lets the yardstick be wrong for a whole season, and a bound that takes such a week for noise says
    nothing any more. So batches of windows are drawn again and again with both of their errors (block bootstrap), and
    the percentiles of the quotient are taken, wider by as much as few batches vary less than they should (Hesterberg,
    2015, 5.3). With few batches there is little to draw from, and the bounds are those of ``quotient``.
    """
    count = _batches(errors.size, worth)
    if count < _LEAST_DRAWN:
        return quotient(errors, yardstick, confidence, worth)
    drawn = np.random.default_rng(0).integers(0, count, (_DRAWS, count))
    above, below = (_summed(each, count)[drawn].sum(axis=1) for each in (errors, yardstick))
    level = float(norm.cdf(-np.sqrt(count / (count - 1)) * student.ppf(confidence, count - 1)))
    # Draws of nothing but batches in which the yardstick is never wrong have no quotient.
    quotients = np.divide(above, below, out=np.full(_DRAWS, np.inf), where=below > 0)
    lower, upper = np.quantile(quotients, [level, 1 - level], method="inverted_cdf")
    return Quotient(float(errors.sum() / yardstick.sum()), float(lower), float(upper))


def _batches(windows: int, worth: float) -> int:
    return min(windows, max(_LEAST_BATCHES, int(worth / _WINDOWS_A_BATCH)))


def _summed(values: Floats, count: int) -> Floats:
    return np.array([part.sum() for part in np.array_split(values, count)])


def sums(actual: Floats, said: Floats) -> tuple[float, float]:
    """Return the sum of absolute errors and that of absolute values, where there are values."""
    known = np.isfinite(actual)
    return float(np.abs(actual - said)[known].sum()), float(np.abs(actual[known]).sum())


def wape(actuals: Sequence[Floats], said: Sequence[Floats]) -> float:
    """Return the weighted absolute percentage error of all windows together, as a ratio."""
    errors, values = zip(*(sums(*each) for each in zip(actuals, said, strict=True)), strict=True)
    return float(sum(errors) / sum(values))
