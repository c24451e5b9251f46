"""What the same time of earlier weeks had on average: hard to beat where weeks resemble each other."""

from __future__ import annotations

from typing import Final

import numpy as np

from perfrun_kernels.forecast.past import Floats, Past

_MOST_CYCLES: Final = 4
_FOLLOWING: Final = 0.5
"""How much of the last day's departure from its own average is expected to last."""


def naive(raw: Floats, season: int, steps: int) -> Floats:
    """Return seasonal naive, the yardstick: the same time one season before."""
    last = raw[-season:]
    return last[np.arange(steps) % last.size]


def average(past: Past, steps: int) -> Floats:
    """Return the mean of the same time of up to four of the longest seasons that the history holds."""
    season = past.seasons[-1] if past.seasons else 1
    return _mean(past.values, season, past.values.size + np.arange(steps))


def levelled(past: Past, steps: int) -> Floats:
    """Return the average, moved half as far as the last day was off its own average."""
    if not past.seasons:
        return average(past, steps)
    values, season = past.values, past.seasons[-1]
    day = np.arange(values.size - past.seasons[0], values.size)
    usual = _mean(values, season, day).mean() if values.size >= season + day.size else values[day].mean()
    off = values[day].mean() - usual
    ahead = average(past, steps)
    if past.positive and usual > 0:
        return np.asarray(ahead * (1 + _FOLLOWING * off / usual))
    return np.asarray(ahead + _FOLLOWING * off)


def _mean(values: Floats, season: int, at: np.typing.NDArray[np.int_]) -> Floats:
    """Return for each step the mean of the cycles before it that are there; at least one must be."""
    # The first cycle back that lies before all of them: what is foretold may not be looked up.
    nearest = int((at[-1] - at[0]) // season) + 1
    cycles = range(nearest, nearest + _MOST_CYCLES)
    rows = [values[at - cycle * season] for cycle in cycles if at[0] - cycle * season >= 0]
    return np.asarray(np.mean(rows, axis=0))
