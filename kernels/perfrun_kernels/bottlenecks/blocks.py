"""Resampling of a history in blocks: neighbouring points say much the same, so a point is no independent evidence.

Circular block bootstrap (Politis and Romano 1992). The figures wanted here are functions of sums over points, so that
a resample is a weight for each point: how often it was drawn.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

RESAMPLES: Final = 1000
MEMORIES: Final = 5.0
"""Length of a block as a multiple of the memory: with two of them, intervals of 90 % held the truth of three simulated
days in 80 % of cases, with five in 88 %."""

_SEED: Final = 20_251
_WINDOW: Final = 5.0
_FEWEST_BLOCKS: Final = 10


def memory(residuals: Numbers) -> float:
    """Return the integrated autocorrelation time of evenly spaced values, in points; NaN are left out.

    tau = 1 + 2 Σ r(k), up to the first k ≥ 5 tau (Sokal 1997).
    """
    found = residuals[np.isfinite(residuals)]
    centred = found - found.mean() if found.size else found
    power = float(np.mean(centred**2)) if found.size else 0.0
    if power <= 0:
        return 1.0
    padded = np.fft.rfft(centred, 2 * centred.size)
    correlations = np.fft.irfft(padded * np.conj(padded))[: centred.size] / (power * centred.size)
    taus = 2 * np.cumsum(correlations) - 1
    reached = np.flatnonzero(np.arange(taus.size) >= _WINDOW * taus)
    return float(max(1.0, taus[reached[0]] if reached.size else taus[-1]))


def weights(points: int, length: int, resamples: int = RESAMPLES) -> Numbers:
    """Return how often each point is drawn in each resample, as an array of resamples × points.

    Blocks of ``length`` points are drawn with replacement until there are as many points as there were; at least ten
    of them are. The seed is fixed, so the same history gives the same figures.
    """
    length = max(1, min(length, points // _FEWEST_BLOCKS))
    count = -(-points // length)
    starts = np.random.default_rng(_SEED).integers(0, points, (resamples, count))
    drawn = (starts[:, :, None] + np.arange(length)).reshape(resamples, -1)[:, :points] % points
    offset = np.arange(resamples)[:, None] * points
    return np.bincount((drawn + offset).ravel(), minlength=resamples * points).reshape(resamples, points).astype(float)
