"""Series of samples and what befalls them: gaps, resets, deployments, incidents, twins.

Each of them is a function from one series to another, so that a test says what it does to a history where it does it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

DAY: Final = 86_400.0
WEEK: Final = 7 * DAY
HOUR: Final = 3_600.0


@attrs.frozen(eq=False)
class Series:
    """Samples by ``times`` (seconds since the epoch, ascending) of what ``labels`` name, ``__name__`` included."""

    labels: Mapping[str, str]
    times: Floats
    values: Floats

    def named(self, **labels: str) -> Series:
        """Return the same samples with other labels; an empty one is removed."""
        kept = {name: value for name, value in {**self.labels, **labels}.items() if value}
        return attrs.evolve(self, labels=kept)


@attrs.frozen
class Shape:
    """How a quantity goes up and down around ``level``.

    ``daily``, ``weekly`` and ``trend`` (a week) are shares of the level; ``noise`` is the standard deviation of the
    logarithm of what comes on top, of which ``memory`` is the correlation from one minute to the next.
    """

    level: float
    daily: float = 0.5
    weekly: float = 0.2
    trend: float = 0.0
    noise: float = 0.02
    memory: float = 0.9


def grid(
    start: float, end: float, interval: float, rng: np.random.Generator | None = None, jitter: float = 0
) -> Floats:
    """Return the moments of a scrape every ``interval`` s in [``start``, ``end``), each up to ``jitter`` s late."""
    times = np.arange(start, end, interval)
    late = rng.uniform(0, jitter, times.size) if rng is not None and jitter else 0.0
    # Prometheus keeps milliseconds.
    return np.asarray(np.round(times + late, 3), dtype=np.float64)


def follow(shape: Shape, times: Floats, rng: np.random.Generator) -> Floats:
    """Return the shape's values at ``times``: a day with two humps, quieter weekends, a trend, lognormal noise."""
    day = 2 * np.pi * (times % DAY) / DAY
    course = -np.cos(day) - 0.35 * np.cos(2 * day + 0.6)
    weekend = ((times // DAY + 3) % 7 >= 5).astype(np.float64)  # the epoch was a Thursday
    weeks = (times - times[-1]) / WEEK if times.size else times
    base = 1 + shape.daily * course / 1.35 - shape.weekly * weekend + shape.trend * weeks
    values = shape.level * np.maximum(base, 0.02) * np.exp(_noise(shape, times, rng))
    return np.asarray(values, dtype=np.float64)


def _noise(shape: Shape, times: Floats, rng: np.random.Generator) -> Floats:
    """Return noise whose memory does not depend on how often it is looked at."""
    if not shape.noise or not times.size:
        return np.zeros_like(times)
    minutes = np.arange(times[0], times[-1] + 120, 60.0)
    steps = rng.normal(0, shape.noise * np.sqrt(1 - shape.memory**2), minutes.size)
    level = np.empty_like(steps)
    level[0] = rng.normal(0, shape.noise)
    for index in range(1, steps.size):
        level[index] = shape.memory * level[index - 1] + steps[index]
    return np.asarray(np.interp(times, minutes, level), dtype=np.float64)


def gauge(labels: Mapping[str, str], times: Floats, shape: Shape, rng: np.random.Generator) -> Series:
    """Return a gauge that follows the shape."""
    return Series(labels, times, follow(shape, times, rng))


def counter(labels: Mapping[str, str], times: Floats, rates: Any, start: float = 0.0) -> Series:
    """Return a counter that grows by ``rates`` (1/s, one value, or one for each of ``times``)."""
    spaces = np.diff(times, prepend=times[0])
    return Series(labels, times, start + np.cumsum(np.broadcast_to(rates, times.shape) * spaces))


def reset(series: Series, at: float) -> Series:
    """Let a counter begin anew, as that of a process that restarted."""
    after = series.times >= at
    if not after.any():
        return series
    values = series.values.copy()
    values[after] -= values[after][0]
    return attrs.evolve(series, values=values)


def without(series: Series, start: float, end: float) -> Series:
    """Leave the samples in [``start``, ``end``) out."""
    return _only(series, (series.times < start) | (series.times >= end))


def between(series: Series, start: float, end: float) -> Series:
    """Keep only the samples in [``start``, ``end``)."""
    return _only(series, (series.times >= start) & (series.times < end))


def thinned(series: Series, every: int) -> Series:
    """Keep one sample of ``every``."""
    return Series(series.labels, series.times[::every], series.values[::every])


def scaled(series: Series, start: float, end: float, factor: float) -> Series:
    """Multiply what lies in [``start``, ``end``): an incident, or with an end of infinity a deployment."""
    inside = (series.times >= start) & (series.times < end)
    return attrs.evolve(series, values=np.where(inside, series.values * factor, series.values))


def replaced(series: Series, start: float, end: float, value: float) -> Series:
    """Set what lies in [``start``, ``end``) to one value, such as NaN."""
    inside = (series.times >= start) & (series.times < end)
    return attrs.evolve(series, values=np.where(inside, value, series.values))


def delayed(series: Series, seconds: float) -> Series:
    """Date every sample later: the clock of whoever dates them is ahead."""
    return attrs.evolve(series, times=np.round(series.times + seconds, 3))


def _only(series: Series, kept: npt.NDArray[np.bool_]) -> Series:
    return Series(series.labels, series.times[kept], series.values[kept])
