"""How the samples of one series lie in time; only their times matter here.

All moments are seconds since the epoch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

import attrs
import numpy as np

from perfrun_kernels.prometheus.series import Floats

GAP: Final = 1.5
"""Two samples further apart than this many stated intervals have a gap between them: at least one is not there."""


@attrs.frozen
class Gap:
    """A stretch without a sample in which ``missing`` were due."""

    start: float
    end: float
    missing: int

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end - self.start


@attrs.frozen
class Spacing:
    """The differences between neighbouring samples, in seconds; NaN where there are fewer than two.

    ``interval`` is their median, ``jitter`` the way from the 1st to the 99th percentile. ``duplicates`` are samples
    with the same time as the one before, ``unordered`` those that the server gave after a later one.
    """

    samples: int
    interval: float
    p99: float
    longest: float
    jitter: float
    duplicates: int
    unordered: int


def spacing(times: Floats) -> Spacing:
    """Return how samples at ``times`` are spaced."""
    given = np.diff(times)
    unordered = int((given < 0).sum())
    differences = np.diff(np.sort(times)) if unordered else given
    apart = differences[differences > 0]
    duplicates = int(differences.size - apart.size)
    if not apart.size:
        return Spacing(times.size, math.nan, math.nan, math.nan, math.nan, duplicates, unordered)
    low, middle, high = np.percentile(apart, (1, 50, 99))
    longest = float(apart.max())
    return Spacing(times.size, float(middle), float(high), longest, float(high - low), duplicates, unordered)


def gaps(times: Floats, interval: float) -> tuple[Gap, ...]:
    """Return the gaps between ``times``, which are sorted, where one sample is due every ``interval``."""
    differences = np.diff(times)
    wide = np.flatnonzero(differences > GAP * interval)
    return tuple(_gap(float(times[each]), float(times[each + 1]), interval) for each in wide)


def edges(times: Floats, start: float, end: float, interval: float) -> tuple[Gap, ...]:
    """Return the gaps before the first and after the last of ``times``, in a window from ``start`` to ``end``."""
    if not times.size:
        return (Gap(start, end, due(start, end, interval)),)
    ends = ((start, float(times[0])), (float(times[-1]), end))
    return tuple(_gap(begin, until, interval) for begin, until in ends if until - begin > GAP * interval)


def due(start: float, end: float, interval: float) -> int:
    """Return how many samples are due between two moments, at least one."""
    return max(1, round((end - start) / interval))


def complete(found: Iterable[Gap], start: float, end: float, interval: float) -> float:
    """Return the share of the samples due between ``start`` and ``end`` that ``found`` gaps leave."""
    missing = sum(each.missing for each in found)
    return max(0.0, 1.0 - missing / due(start, end, interval))


def _gap(start: float, end: float, interval: float) -> Gap:
    return Gap(start, end, max(1, round((end - start) / interval) - 1))
