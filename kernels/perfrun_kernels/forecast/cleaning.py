"""Making a history whole: gaps filled, outliers and incidents replaced, and what lies before a level shift moved.

It sees one history up to the moment of a forecast, and each forecast's history is made whole anew: what became known
later changes nothing. Values that are to be foretold are never touched.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Final

import attrs
import numpy as np
from numpy.typing import NDArray

from perfrun_kernels.forecast.past import Floats, Past, held

_NEIGHBOURS: Final = 3
"""Cycles on either side with which a value is compared."""

_OUTLYING: Final = 8.0
_SHIFTING: Final = 5.0
_SHIFTING_AT_DEPLOYMENT: Final = 2.5
"""Deviations, in robust standard deviations, from which a value is an outlier and a step of the level a shift."""

_LEAST_OUTLIER: Final = 0.2
_LEAST_SHIFT: Final = 0.1
_LEAST_SHIFT_AT_DEPLOYMENT: Final = 0.03
"""Shares of the level that they are at least."""

_SIZED_DAYS: Final = 3
"""Days on either side from which the size of a shift is taken, where there are so many."""

_MAD: Final = 1.4826
_MOST_SHIFTS: Final = 12
_TINY: Final = 1e-12

Mask = NDArray[np.bool_]


@attrs.frozen
class Shift:
    """The level moved to ``ratio`` times what it was (``moved``: and by how much) with step ``at``."""

    at: int
    moved: float
    ratio: float


@attrs.frozen(eq=False)
class Repairs:
    """What was changed: steps that had no value, steps that were replaced, and shifts, by their place."""

    missing: Mask
    outliers: Mask
    shifts: tuple[Shift, ...]

    @property
    def sentence(self) -> str:
        """What was found, in words."""
        missing, outliers = int(self.missing.sum()), int(self.outliers.sum())
        gaps, incidents = len(list(stretches(self.missing))), len(list(stretches(self.outliers)))
        ratios = ", ".join(f"×{each.ratio:.3g}" if each.ratio else f"{each.moved:+.3g}" for each in self.shifts)
        parts = [
            f"{_counted(gaps, 'gap')} ({_counted(missing, 'step')}) filled" if gaps else "",
            f"{_counted(incidents, 'outlier or incident', 'outliers and incidents')} ({_counted(outliers, 'step')}) "
            "replaced" if incidents else "",
            f"{_counted(len(self.shifts), 'level shift')} ({ratios})" if self.shifts else "",
        ]  # fmt: skip
        return "; ".join(part for part in parts if part) or "nothing"


def _counted(count: int, one: str, several: str = "") -> str:
    return f"{count} {one if count == 1 else several or one + 's'}"


def clean(values: Floats, seasons: tuple[int, ...], deployments: Sequence[int] = ()) -> tuple[Past, Repairs]:
    """Make a history whole, and say what that took.

    Args:
        values: means of equal steps, oldest first; NaN where there is none, but not all of them.
        seasons: lengths of seasons in steps, the shortest first.
        deployments: steps at which something was deployed; smaller shifts count there.
    """
    missing = ~np.isfinite(values)
    raw = filled(values, seasons)
    known = held(seasons, values.size)
    # Shifts first: beside one, half of a value's neighbours are of another level.
    shifts = shifted(raw, known, deployments)
    levelled = raw.copy()
    for shift in shifts:
        part = levelled[: shift.at]
        levelled[: shift.at] = part * shift.ratio if shift.ratio > 0 else part + shift.moved
    outliers = outlying(levelled, known, missing)
    whole = filled(np.where(outliers, np.nan, levelled), seasons)
    return Past(whole, known, raw), Repairs(missing, outliers, shifts)


def filled(values: Floats, seasons: tuple[int, ...]) -> Floats:
    """Fill gaps: as the season goes, moved so that it meets the values on both sides; short ones with a line."""
    steps = np.arange(values.size)
    good = np.isfinite(values)
    if good.all():
        return values.copy()
    line = np.interp(steps, steps[good], values[good])
    if not seasons or values.size <= seasons[0]:
        return line
    season = next((each for each in reversed(seasons) if values.size >= 2 * each), seasons[0])
    pattern = _median(_cycles(values, season, _NEIGHBOURS))
    pattern = np.where(np.isfinite(pattern), pattern, _median(_cycles(values, seasons[0], _NEIGHBOURS)))
    pattern = np.where(np.isfinite(pattern), pattern, line)
    off = np.interp(steps, steps[good], (values - pattern)[good])
    return np.where(good, values, pattern + off)


def outlying(values: Floats, seasons: tuple[int, ...], missing: Mask) -> Mask:
    """Return which values fit neither the same time of the days around them nor that of the weeks around them.

    Each hour is judged by how much that hour varies. A stretch that lasts longer than a quarter of the shortest season
    is no outlier.
    """
    typical = float(np.median(np.abs(values))) + _TINY
    # As logarithms a tenth is as far off as ten times; what is near 0 is not taken for far below.
    scaled = np.log(values + typical / 20) if values.min() >= 0 else values / typical
    if seasons:
        around = [_median(_cycles(scaled, season, _NEIGHBOURS)) for season in seasons]
    else:
        around = [_median(np.array(list(_shifted(scaled, [-3, -2, -1, 1, 2, 3]))))]
    off = np.fmin.reduce([np.abs(scaled - each) for each in around])
    off[missing] = np.nan
    if not np.isfinite(off).any():
        return np.zeros(values.size, dtype=np.bool_)
    longest = max(1, seasons[0] // 4) if seasons else 3
    usual = np.maximum(np.nanmedian(off), _by_slot(off, seasons[0] if seasons else 1))
    found: Mask = np.nan_to_num(off) > np.maximum(_OUTLYING * _MAD * usual, _LEAST_OUTLIER)
    for start, end in stretches(found):
        if end - start > longest:
            found[start:end] = False
    return found


def _by_slot(values: Floats, season: int) -> Floats:
    """Return for each step the median of the same time of all cycles, 0 where there is none."""
    whole = np.full(-(-values.size // season) * season, np.nan)
    whole[: values.size] = values
    return np.resize(np.nan_to_num(_median(whole.reshape(-1, season))), values.size)


def shifted(values: Floats, seasons: tuple[int, ...], deployments: Sequence[int] = ()) -> tuple[Shift, ...]:
    """Return where the level moved and stayed, oldest first; looked for only where a history holds two weeks.

    What is compared is each value with the one a week before it: medians of this difference over a day on either side
    of a step, over a quarter of a day around a deployment. Once a shift is found, what lies before it is moved, so that
    it is not found again a week later.
    """
    if len(seasons) < 2:  # noqa: PLR2004 -- without a week's season, every weekend would be a shift
        return ()
    day, week = seasons[0], seasons[-1]
    positive = values.min() > 0
    moved = np.log(values) if positive else values.copy()
    typical = 1.0 if positive else float(np.median(np.abs(values))) + _TINY
    anywhere = _Search(day, _SHIFTING, _LEAST_SHIFT * typical)
    deployed = _Search(max(6, day // 4), _SHIFTING_AT_DEPLOYMENT, _LEAST_SHIFT_AT_DEPLOYMENT * typical)
    shifts: list[Shift] = []
    begun = 0
    while len(shifts) < _MOST_SHIFTS:
        near = [deployed.first(moved, week, max(begun, at - deployed.width), at + deployed.width) for at in deployments]
        found = [at for at in (anywhere.first(moved, week, begun, values.size), *near) if at is not None]
        if not found:
            break
        at = min(found)
        size = _size(moved, week, at, _SIZED_DAYS * day)
        begun = at + deployed.width
        # What did not last, or was not that large in the end, is left to the models.
        if abs(size) >= (deployed if at in near else anywhere).least:
            moved[:at] += size
            shifts.append(Shift(at, size, float(np.exp(size)) if positive else 0.0))
    return tuple(shifts)


@attrs.frozen
class _Search:
    """Medians over ``width`` steps; a shift is ``deviations`` of how these usually move, and ``least`` at least."""

    width: int
    deviations: float
    least: float

    def first(self, values: Floats, week: int, start: int, end: int) -> int | None:
        """Return the first step in [start, end) at which the level moved, None where there is none."""
        change = values[week:] - values[:-week]
        if change.size < 2 * self.width:
            return None
        medians = np.median(np.lib.stride_tricks.sliding_window_view(change, self.width), axis=1)
        steps = np.abs(medians[self.width :] - medians[: -self.width])
        offset = week + self.width
        # How they usually move is looked at away from the largest, which may be a shift.
        apart = steps[np.abs(np.arange(steps.size) - np.argmax(steps)) > self.width]
        if not apart.size:
            return None
        bound = max(self.deviations * _MAD * float(np.median(apart)), self.least)
        over = steps > bound
        over[: max(0, start - offset)] = False
        over[max(0, end - offset) :] = False
        if not over.any():
            return None
        first = int(np.argmax(over))
        peak = steps[first : min(first + self.width, max(first + 1, end - offset))]
        return first + int(np.argmax(peak)) + offset


def _size(values: Floats, week: int, at: int, most: int) -> float:
    """Return how far the level moved at step ``at``, from as much on either side as there is, up to ``most`` steps."""
    change = values[week:] - values[:-week]
    here = at - week
    return float(np.median(change[here : here + most]) - np.median(change[max(0, here - most) : here]))


def stretches(mask: Mask) -> Iterator[tuple[int, int]]:
    """Yield first and one past the last place of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)


def _cycles(values: Floats, season: int, most: int) -> Floats:
    """Return the values at the same time of the cycles around each, one row a cycle, NaN where there is none."""
    return np.array(list(_shifted(values, [sign * cycle * season for cycle in range(1, most + 1) for sign in (-1, 1)])))


def _shifted(values: Floats, by: Sequence[int]) -> Iterator[Floats]:
    for each in by:
        moved = np.full(values.size, np.nan)
        if abs(each) < values.size:
            if each > 0:
                moved[each:] = values[:-each]
            else:
                moved[:each] = values[-each:]
        yield moved


def _median(rows: Floats) -> Floats:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a column without any value has no median
        return np.asarray(np.nanmedian(rows, axis=0))
