"""How far off forecasts were, with bounds that know how few windows there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs
import numpy as np
from scipy.stats import t as student

from perfrun_kernels.forecast.past import Floats

_LEAST_BATCHES: Final = 3
_WINDOWS_A_BATCH: Final = 2


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
    count = min(above.size, max(_LEAST_BATCHES, int(worth / _WINDOWS_A_BATCH)))
    left = np.array([part.sum() for part in np.array_split(above - value * below, count)])
    deviation = float(np.sqrt(count / (count - 1) * (left**2).sum()) / whole)
    reach = float(np.exp(student.ppf(confidence, count - 1) * deviation / value))
    return Quotient(value, value / reach, value * reach)


def sums(actual: Floats, said: Floats) -> tuple[float, float]:
    """Return the sum of absolute errors and that of absolute values, where there are values."""
    known = np.isfinite(actual)
    return float(np.abs(actual - said)[known].sum()), float(np.abs(actual[known]).sum())


def wape(actuals: Sequence[Floats], said: Sequence[Floats]) -> float:
    """Return the weighted absolute percentage error of all windows together, as a ratio."""
    errors, values = zip(*(sums(*each) for each in zip(actuals, said, strict=True)), strict=True)
    return float(sum(errors) / sum(values))
