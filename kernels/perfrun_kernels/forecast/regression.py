"""Regressions: of each step ahead on what was, and of the course on sines and cosines.

Sources: direct forecasts, Ben Taieb and Hyndman, 2012; dynamic harmonic regression, Hyndman and Athanasopoulos, 2021,
10.5.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from perfrun_kernels.forecast.past import Floats, Past

_RIDGE: Final = 1e-3
_ROUNDS: Final = 3
_HUBER: Final = 1.5
_MAD: Final = 1.4826
_MOST_ROWS: Final = 1500
"""Origins from which a regression learns, the newest ones."""

_BESIDE: Final = (3, 2)
_COURSE: Final = (10, 6)
"""Pairs of sine and cosine of each season, the shortest first: beside other columns, and by themselves."""

_MEMORY: Final = 3
"""Values of which the next one is a weighted sum."""


def lagged(past: Past, steps: int) -> Floats:
    """Foretell logarithms where all values are above 0."""
    if not past.positive:
        return lagged_as_it_is(past, steps)
    return np.asarray(np.exp(_ahead(np.log(past.values), past.seasons, steps)))


def lagged_as_it_is(past: Past, steps: int) -> Floats:
    """Foretell the values themselves."""
    return _ahead(past.values, past.seasons, steps)


def _ahead(values: Floats, seasons: tuple[int, ...], steps: int) -> Floats:
    return np.array([_direct(values, seasons, step) for step in range(1, steps + 1)])


def _direct(values: Floats, seasons: tuple[int, ...], step: int) -> float:
    lags = [each for each in _lags(seasons, step) if each <= values.size // 2]
    deepest = max(lags)
    origins = np.arange(max(deepest, values.size - 1 - _MOST_ROWS), values.size)
    columns = [values[origins - lag] for lag in lags]
    recent = np.concatenate([[0.0], np.cumsum(values)])
    columns += [(recent[origins + 1] - recent[origins + 1 - width]) / width for width in (3, 12) if width <= deepest]
    table = np.column_stack([np.ones(origins.size), *columns, *_fourier(origins + step, seasons, _BESIDE)])
    known = origins + step < values.size
    if known.sum() <= table.shape[1]:
        # A history this short determines no weights.
        return float(values[-1])
    weights = _fit(table[known], values[origins[known] + step])
    return float(table[-1] @ weights)


def _lags(seasons: tuple[int, ...], step: int) -> list[int]:
    lags = [0, 1, 2]
    for season, most in zip(seasons, (3, 2), strict=False):
        for cycle in range(1, most + 1):
            # The same time of an earlier cycle as that which is foretold, and as that at which it is.
            lags += [each for each in (cycle * season - step, cycle * season) if each > lags[2]]
    return sorted(set(lags))


def harmonic(past: Past, steps: int) -> Floats:
    """Regress on sines and cosines of the seasons; what is left over follows its own last values, and fades."""
    values = np.log(past.values) if past.positive else past.values
    at = np.arange(values.size + steps)
    table = np.column_stack([np.ones(at.size), *_fourier(at, past.seasons, _COURSE)])
    course = table @ _fit(table[: values.size], values)
    left = values - course[: values.size]
    lags = range(_MEMORY)
    rows = np.column_stack([left[_MEMORY - 1 - lag : left.size - 1 - lag] for lag in lags])
    memory = _fit(rows, left[_MEMORY:])
    tail = left[-_MEMORY:].tolist()
    for _ in range(steps):
        tail.append(float(np.dot(memory, tail[: -_MEMORY - 1 : -1])))
    ahead = course[values.size :] + np.array(tail[_MEMORY:])
    return np.asarray(np.exp(ahead) if past.positive else ahead)


def _fourier(at: NDArray[np.int_], seasons: tuple[int, ...], most: tuple[int, ...]) -> list[Floats]:
    """Return sines and cosines of each season at the steps ``at``."""
    columns = []
    for season, count in zip(seasons, most, strict=False):
        for order in range(1, min(count, (season - 1) // 2) + 1):
            angle = 2 * np.pi * order * at / season
            columns += [np.sin(angle), np.cos(angle)]
    return columns


def _fit(table: Floats, target: Floats) -> Floats:
    """Return the weights of a linear regression, by Huber's loss so that incidents do not lead it, with some ridge."""
    scale = np.sqrt((table**2).mean(axis=0)) + 1e-12
    scaled = table / scale
    trust = np.ones(target.size)
    weights = np.zeros(table.shape[1])
    for _ in range(_ROUNDS):
        weighted = scaled * trust[:, None]
        gram = weighted.T @ scaled
        gram[np.diag_indices_from(gram)] += _RIDGE * target.size / 100
        weights = np.linalg.solve(gram, weighted.T @ target)
        missed = np.abs(target - scaled @ weights)
        bound = _HUBER * _MAD * np.median(missed) + 1e-12
        trust = np.minimum(1.0, bound / np.maximum(missed, 1e-12))
    return np.asarray(weights / scale)
