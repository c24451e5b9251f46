"""Scoring what was foretold of the past, window by window, each by what was known when it began.

Nothing looks ahead: which models a window's forecast is made of, and how wide its interval is, follows from what had
happened by then to the forecasts before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np

from perfrun_kernels.forecast import accuracy, selecting
from perfrun_kernels.forecast.accuracy import Quotient
from perfrun_kernels.forecast.backtest import BEFORE, Said, Setting
from perfrun_kernels.forecast.intervals import Interval, Seen, around
from perfrun_kernels.forecast.past import Floats


@attrs.frozen(eq=False)
class Foretold:
    """What is foretold from step ``origin`` on, by the mean of ``models`` (none: the median of all).

    ``naive`` is the yardstick, seasonal naive of the ``season`` (in steps) whose one had done better so far.
    """

    origin: int
    models: tuple[str, ...]
    mean: Floats
    interval: Interval
    season: int
    naive: Floats


@attrs.frozen(eq=False)
class Score:
    """How good the forecasts of ``windows`` were; ``actuals`` is what happened, NaN where nobody knows.

    ``naive`` is the yardstick's WAPE, ``ratio`` the forecasts' error by the yardstick's, None where that makes none.
    ``models`` and ``seasons`` have the WAPE of each model and of each season's naive by itself.
    """

    windows: tuple[Foretold, ...]
    actuals: tuple[Floats, ...]
    effective: float
    wape: Quotient
    naive: float
    ratio: Quotient | None
    coverage: float
    models: Mapping[str, float]
    seasons: Mapping[int, float]


def replay(setting: Setting, said: Sequence[Said]) -> list[Foretold]:
    """Return what would have been foretold each time, oldest first, from what was known by then."""
    positive = bool(np.nanmin(setting.values) >= 0)
    made: list[Foretold] = []
    for index, each in enumerate(said):
        known = [_known(setting, before.origin, each.origin) for before in said[:index]]
        names = selecting.chosen([
            {name: accuracy.sums(actual, values)[0] for name, values in before.models.items()}
            for before, actual in zip(said, known, strict=False)
        ])  # fmt: skip
        mean = selecting.combined(each.models, names)
        seen = [Seen(before.mean, before.interval, actual) for before, actual in zip(made, known, strict=True)]
        season = _yardstick(each, said[:index], known)
        made.append(
            Foretold(each.origin, names, mean, around(mean, seen, positive=positive), season, each.naive[season])
        )
    return made


def _yardstick(now: Said, before: Sequence[Said], known: Sequence[Floats]) -> int:
    """Return the season whose seasonal naive was off least so far, the shortest where nothing tells."""
    told = [(each, actual) for each, actual in zip(before, known, strict=True) if set(now.naive) <= set(each.naive)]
    return min(
        sorted(now.naive), key=lambda season: sum(accuracy.sums(actual, each.naive[season])[0] for each, actual in told)
    )


def _known(setting: Setting, origin: int, by: int) -> Floats:
    """Return what happened from ``origin`` on as far as it is known by step ``by``."""
    known = np.full(setting.ahead, np.nan)
    values = setting.values[origin : min(origin + setting.ahead, by)]
    known[: values.size] = values
    return known


def score(setting: Setting, made: Sequence[Foretold], said: Sequence[Said], stride: int, confidence: float) -> Score:
    """Score the windows after the first BEFORE ones, which only teach; ``confidence`` is that of each bound."""
    windows, said = tuple(made[BEFORE:]), said[BEFORE:]
    actuals = tuple(setting.values[each.origin : each.origin + setting.ahead] for each in windows)
    errors, values = np.array([accuracy.sums(*each) for each in zip(actuals, _means(windows), strict=True)]).T
    naive = [each.naive for each in windows]
    yardstick = np.array([accuracy.sums(*each)[0] for each in zip(actuals, naive, strict=True)])
    # A season that came to be held only later has no naive in the first windows.
    held = set.intersection(*(set(each.naive) for each in said))
    worth = accuracy.effective(len(windows), stride, setting.ahead)
    return Score(
        windows, actuals, worth,
        wape=accuracy.quotient(errors, values, confidence, worth), naive=accuracy.wape(actuals, naive),
        ratio=accuracy.compared(errors, yardstick, confidence, worth) if yardstick.sum() > 0 else None,
        coverage=_coverage(windows, actuals),
        models={name: accuracy.wape(actuals, [each.models[name] for each in said]) for name in setting.models},
        seasons={each: accuracy.wape(actuals, [one.naive[each] for one in said]) for each in sorted(held)},
    )  # fmt: skip


def _means(windows: Sequence[Foretold]) -> list[Floats]:
    return [each.mean for each in windows]


def _coverage(windows: Sequence[Foretold], actuals: Sequence[Floats]) -> float:
    actual = np.concatenate(list(actuals))
    lower, upper = (np.concatenate([getattr(each.interval, name) for each in windows]) for name in ("lower", "upper"))
    known = np.isfinite(actual)
    return float(((actual >= lower) & (actual <= upper))[known].mean())
