"""What counts as data in an answer of the metrics store: a number that is not there must never look like a good one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import attrs

Points = Sequence[tuple[float, float]]
"""(unix seconds, value) pairs, ascending."""


@attrs.frozen
class Reading:
    """One number out of an answer: the worst that its series hold.

    ``labels`` are those of the series that it comes from, ``points`` the finite points of that series, ``series`` how
    many series had data. ``fewest`` and ``missing`` speak of the series with the least data, those without any
    included: its finite points, and the share of the expected ones (0 to 1) that are not there.
    """

    value: float
    labels: str
    points: int
    series: int
    fewest: int
    missing: float


def finite(points: Points) -> list[tuple[float, float]]:
    """Return the points that hold a number; NaN (a staleness marker, 0/0) and infinity (x/0) are missing data."""
    return [(at, value) for at, value in points if math.isfinite(value)]


def last(points: Points, end: float, stale_after: float) -> float | None:
    """Return the newest number, or None where there is none or it is older than ``stale_after`` seconds at ``end``."""
    if not points or not math.isfinite(points[-1][1]) or end - points[-1][0] > stale_after:
        return None
    return points[-1][1]


def missing_share(points: Points, start: float, end: float, step: float) -> float:
    """Return the share of a window's expected points (one each ``step`` seconds) that are missing, 0 to 1."""
    expected = math.floor((end - start) / step + 1e-9) + 1
    return max(0.0, 1.0 - len(finite(points)) / expected) if expected > 0 else 1.0


def worst(series: Mapping[str, Points], *, highest: bool, window: tuple[float, float], step: float) -> Reading | None:
    """Return the worst point of the worst series over a window, or None where no series holds a number.

    ``highest`` says that large is bad. ``window`` is (start, end) in seconds.
    """
    held = {labels: kept for labels, points in series.items() if (kept := finite(points))}
    if not held:
        return None
    pick = max if highest else min
    extremes = {labels: pick(value for _, value in points) for labels, points in held.items()}
    labels = pick(extremes, key=extremes.__getitem__)
    fewest = min(len(finite(points)) for points in series.values())
    missing = max(missing_share(points, *window, step) for points in series.values())
    return Reading(extremes[labels], labels, len(held[labels]), len(held), fewest, missing)


def newest(series: Mapping[str, Points], *, highest: bool, end: float, stale_after: float) -> Reading | None:
    """Return the worst of the series' newest numbers, or None where no series has a fresh one."""
    held = {labels: value for labels, points in series.items() if (value := last(points, end, stale_after)) is not None}
    if not held:
        return None
    pick = max if highest else min
    labels = pick(held, key=held.__getitem__)
    fewest = min(len(finite(points)) for points in series.values())
    return Reading(held[labels], labels, len(finite(series[labels])), len(held), fewest, 0.0)
