"""Foretelling one metric, from its history to a forecast with its score."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Final

import attrs
import numpy as np

from perfrun_kernels.faults import UnmeasurableError
from perfrun_kernels.forecast import backtest, scoring
from perfrun_kernels.forecast.backtest import BEFORE, Mapper, Said, Setting
from perfrun_kernels.forecast.cleaning import Repairs
from perfrun_kernels.forecast.history import History, duration
from perfrun_kernels.forecast.models import MODELS
from perfrun_kernels.forecast.parameters import Metric, Wanted
from perfrun_kernels.forecast.scoring import Foretold, Score

DAY_SECONDS: Final = 86_400.0
_SEASONS: Final = (DAY_SECONDS, 7 * DAY_SECONDS)
_LEAST_SEASON: Final = 4
"""Steps that a season has at least; with fewer there is nothing that goes up and down."""


@attrs.frozen(eq=False)
class Foreseen:
    """A metric with its history, its score and what is foretold of it."""

    history: History
    setting: Setting
    score: Score
    forecast: Foretold
    repairs: Repairs
    stride: int
    needed_s: float

    @property
    def constant(self) -> bool:
        """Whether the history never changes, so that foretelling it shows nothing."""
        return bool(np.nanmin(self.history.values) == np.nanmax(self.history.values))


def seasons(step_s: float) -> tuple[int, ...]:
    """Return a day and a week in steps, where that is a whole number of them and not too few."""
    return tuple(round(each / step_s) for each in _SEASONS if each % step_s == 0 and each / step_s >= _LEAST_SEASON)


def setting_of(history: History, metric: Metric, deployments: tuple[float, ...] = ()) -> Setting:
    """Return how a history is foretold; ``deployments`` are seconds since the epoch."""
    places = tuple(int(np.searchsorted(history.at, each)) for each in deployments)
    return Setting(history.values, metric.ahead, seasons(history.step_s), MODELS, places)


def foresee(history: History, setting: Setting, wanted: Wanted, mapper: Mapper) -> Foreseen:
    """Test models on the past, and foretell what comes.

    Raises:
        UnmeasurableError: TooLittleHistory, with how much is needed and how much there is; or AllZero, where nothing
            happened in all windows, so that an error has nothing to be measured by.
    """
    needed = setting.needed(wanted.windows) * history.step_s
    places, stride = backtest.origins(setting, wanted.windows)
    if len(places) < wanted.windows + BEFORE:
        gaps = int((~np.isfinite(history.values)).sum()) / history.values.size
        lacking = f", {gaps:.0%} of it without values" if gaps else ""
        msg = (
            f"{wanted.windows} backtest windows of {duration(setting.ahead * history.step_s)} need "
            f"{duration(needed)} of history, and there are {duration(history.seconds)}{lacking}: wait, keep samples "
            "longer (the server's retention, or recording rules), or lower forecast.windows in the target"
        )
        raise UnmeasurableError("TooLittleHistory", msg, {"history": history.seconds, "needed": needed})
    *said, now = backtest.run(setting, [*places, setting.values.size], mapper)
    return judge(history, setting, said, now, stride, wanted.confidence, needed)


def judge(
    history: History, setting: Setting, said: list[Said], now: Said, stride: int, confidence: float, needed_s: float
) -> Foreseen:
    """Score what was said of the past, oldest first, and take what is said now for the forecast."""
    made = scoring.replay(setting, [*said, now])
    if not any(np.nansum(np.abs(setting.values[each.origin : each.origin + setting.ahead])) for each in said[BEFORE:]):
        msg = "all values in the backtest's windows are 0, so that an error of 10 % of them means nothing"
        raise UnmeasurableError("AllZero", msg)
    scored = scoring.score(setting, made[:-1], said, stride, confidence)
    return Foreseen(history, setting, scored, made[-1], now.repairs, stride, needed_s)


@contextmanager
def mapping(processes: int) -> Iterator[Mapper]:
    """Give what applies a function to all origins: here, or in so many processes.

    Raises:
        MemoryError: one of them was killed, which is what a kernel does where memory ran out.
    """
    if processes < 2:  # noqa: PLR2004 -- this one is there already
        yield map
        return
    pool = ProcessPoolExecutor(processes)
    try:
        yield pool.map
    except BrokenProcessPool as error:
        msg = "a process that tried models was killed"
        raise MemoryError(msg) from error
    finally:
        pool.shutdown(cancel_futures=True)
