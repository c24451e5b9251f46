"""Which resource saturates first: the USE method (Gregg 2013) and the utilisation law (Denning and Buzen 1978).

By that law the use of a resource is throughput times its demand for each request, U = XD, plus what runs anyway. So use
is fitted as a straight line of throughput, and where the line reaches 1 the resource is full. Which one is full first
is asked of every resample of the history, so that "first" comes with how sure it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import attrs
import numpy as np

from perfrun_kernels.bottlenecks.blocks import MEMORIES, memory, weights
from perfrun_kernels.bottlenecks.values import Curve, Interval, Missing, Numbers, Observed, Ranked, Readings

FULL: Final = 0.95
"""Utilisation that counts as full where a twentieth of the time is above it: means over a step hide shorter rushes."""

WAITING: Final = (0.1, 0.5)
"""A resource is full, too, where work waits for it less often than the first share in the lowest quarter of throughput,
and at least as often as the second in the highest. A kernel counts some waiting all the time, which says nothing."""

FEWEST: Final = 30
"""Points, seen together with throughput, that a line needs."""

SPREAD: Final = 1.2
"""Least ratio of a high throughput (95 %) to a low one (5 %): with less, load did not vary enough to see what
grows with it."""

_BEND: Final = 1.25


@attrs.frozen(eq=False)
class _Line:
    """Use of one instance as a line of throughput: where it starts, how it rises, and where it reaches 1."""

    curve: Curve
    idle: float
    slope: float
    full_at: float
    residuals: Numbers


def ranked(seen: Observed, confidence: float) -> tuple[Ranked, ...]:
    """Return the resources in the order in which they saturate, those without data last."""
    if isinstance(seen.throughput, Missing):
        found = [_known(each, None, seen.throughput) for each in seen.resources]
    elif (why := _too_even(seen.throughput)) is not None:
        found = [_known(each, None, why) for each in seen.resources]
    else:
        found = _grown(seen.resources, seen.throughput, confidence)
    return tuple(sorted(found, key=_order))


def title(each: Ranked) -> str:
    """Return a resource's name with the instance that is meant."""
    return f"{each.name} ({each.instance})" if each.instance else each.name


def _order(each: Ranked) -> tuple[float, float, str]:
    if each.standing == "saturated":
        return (0, -each.p95, each.name)
    if each.standing == "growing" and each.full_at is not None:
        return (1, each.full_at.value, each.name)
    return (2 if each.standing == "steady" else 3, -each.p95, each.name)


def _too_even(throughput: Numbers) -> Missing | None:
    points = throughput[np.isfinite(throughput)]
    if points.size < FEWEST:
        return Missing("TooFewPoints", f"{points.size} points of throughput were seen; at least {FEWEST} are needed")
    low, high = np.quantile(points, (0.05, 0.95))
    if high < SPREAD * low or high <= 0:
        sentence = (
            f"throughput stayed between {low:.3g} and {high:.3g} (5 % to 95 % of the time); what grows with it shows "
            f"where it varies by a factor of at least {SPREAD:g}"
        )
        return Missing("LoadTooEven", sentence)
    return None


def _grown(resources: Sequence[Readings], throughput: Numbers, confidence: float) -> list[Ranked]:
    """Return the resources with the throughput at which each is full; all are asked of the same resamples."""
    lines = {each.name: line for each in resources if (line := _steepest(each, throughput)) is not None}
    length = max((memory(line.residuals) for line in lines.values()), default=1.0)
    drawn = weights(throughput.size, round(MEMORIES * length))
    full = {name: _resampled(line.curve.values, throughput, drawn) for name, line in lines.items()}
    found = []
    for each in resources:
        line = lines.get(each.name)
        known = _known(each, line, None if line is not None else _too_few(each), throughput)
        found.append(known if line is None else _full(known, line, throughput, full[each.name], confidence))
    growing = [each.name for each in found if each.standing == "growing"]
    shares = _first({name: full[name] for name in growing})
    return [attrs.evolve(each, first=shares.get(each.name)) for each in found]


def _too_few(resource: Readings) -> Missing:
    return Missing("TooFewPoints", f"fewer than {FEWEST} points of {resource.name} were seen together with throughput")


def _steepest(resource: Readings, throughput: Numbers) -> _Line | None:
    """Return the line of the instance that is full first; of those that never are, of the one that is busiest."""
    lines = [line for curve in resource.use if (line := _line(curve, throughput)) is not None]
    return min(lines, key=lambda each: (each.full_at, -float(np.nanmean(each.curve.values))), default=None)


def _line(curve: Curve, throughput: Numbers) -> _Line | None:
    both = (np.isfinite(curve.values) & np.isfinite(throughput)).astype(float)
    if both.sum() < FEWEST:
        return None
    idle, slope = _fit(throughput, curve.values, both[None])
    residuals = curve.values - idle[0] - slope[0] * throughput
    return _Line(curve, float(idle[0]), float(slope[0]), float(_reaches(idle, slope)[0]), residuals)


def _fit(x: Numbers, y: Numbers, weight: Numbers) -> tuple[Numbers, Numbers]:
    """Return intercepts and slopes of least squares, one of each for every row of ``weight``.

    Points that were not seen must weigh 0. A row whose points are all at one place has slope 0.
    """
    x, y = np.nan_to_num(x), np.nan_to_num(y)
    total = np.maximum(weight.sum(axis=1), 1)
    mean_x, mean_y = weight @ x / total, weight @ y / total
    spread = weight @ (x * x) / total - mean_x**2
    slope = np.divide(weight @ (x * y) / total - mean_x * mean_y, spread, out=np.zeros_like(spread), where=spread > 0)
    return mean_y - slope * mean_x, slope


def _reaches(idle: Numbers, slope: Numbers) -> Numbers:
    """Return where lines reach 1, infinity for those that never do."""
    return np.divide(np.maximum(1 - idle, 0), slope, out=np.full_like(slope, np.inf), where=slope > 0)


def _resampled(use: Numbers, throughput: Numbers, drawn: Numbers) -> Numbers:
    return _reaches(*_fit(throughput, use, drawn * (np.isfinite(use) & np.isfinite(throughput))))


def _bends(throughput: Numbers, line: _Line) -> bool:
    """Return whether use grows clearly faster in the upper half of throughput than in all of it."""
    both = np.isfinite(line.residuals)
    upper = both & (np.nan_to_num(throughput) >= np.median(throughput[both]))
    _, steep = _fit(throughput, line.curve.values, upper[None].astype(float))
    return bool(steep[0] > _BEND * line.slope)


def _known(resource: Readings, line: _Line | None, why: Missing | None, throughput: Numbers | None = None) -> Ranked:
    """Return what is known without throughput: of the instance with the line, unless another is full already."""
    if resource.missing is not None:
        return Ranked(resource.name, "", "unknown", missing=resource.missing)
    busiest = max(resource.use, key=_p95)
    curve = busiest if line is None or _p95(busiest) >= FULL else line.curve
    waiting, p95 = resource.waiting.get(curve.instance), _p95(curve)
    full = p95 >= FULL or _begins(waiting, throughput)
    return Ranked(
        resource.name, curve.instance, "saturated" if full else "steady", float(np.nanmean(curve.values)), p95,
        float(np.nanmax(curve.values)), _share(waiting), _mean(waiting), _mean(resource.errors.get(curve.instance)),
        missing=why, partly=resource.partly, use=curve.values,
    )  # fmt: skip


def _begins(waiting: Numbers | None, throughput: Numbers | None) -> bool:
    """Return whether work begins to wait as throughput grows."""
    if waiting is None or throughput is None:
        return False
    seen = np.isfinite(waiting) & np.isfinite(throughput)
    if seen.sum() < FEWEST:
        return False
    low, high = np.quantile(throughput[seen], (0.25, 0.75))
    waits = waiting[seen] > 0
    rarely, often = WAITING
    return bool(waits[throughput[seen] <= low].mean() < rarely and waits[throughput[seen] >= high].mean() >= often)


def _full(known: Ranked, line: _Line, throughput: Numbers, full: Numbers, confidence: float) -> Ranked:
    """Return a resource with the throughput at which it is full, if that is beyond doubt."""
    if known.use is not line.curve.values:
        return known
    lower, upper = np.quantile(full, ((1 - confidence) / 2, (1 + confidence) / 2), method="inverted_cdf")
    if not np.isfinite(upper):
        sentence = f"use of {known.name} does not grow with throughput beyond doubt"
        return attrs.evolve(known, missing=Missing("NoGrowth", sentence))
    return attrs.evolve(
        known, standing="growing" if known.standing == "steady" else known.standing, idle=line.idle, slope=line.slope,
        full_at=Interval(line.full_at, float(lower), float(upper)), bent=_bends(throughput, line),
    )  # fmt: skip


def _first(full: Mapping[str, Numbers]) -> dict[str, float]:
    """Return the share of resamples in which each is full before all others."""
    if not full:
        return {}
    winners = np.stack(list(full.values())).argmin(axis=0)
    shares = np.bincount(winners, minlength=len(full)) / winners.size
    return dict(zip(full, shares.tolist(), strict=True))


def _p95(curve: Curve) -> float:
    return float(np.nanquantile(curve.values, 0.95))


def _share(values: Numbers | None) -> float | None:
    """Return the share of points above 0."""
    seen = values[np.isfinite(values)] if values is not None else np.empty(0)
    return float((seen > 0).mean()) if seen.size else None


def _mean(values: Numbers | None) -> float | None:
    seen = values[np.isfinite(values)] if values is not None else np.empty(0)
    return float(seen.mean()) if seen.size else None
