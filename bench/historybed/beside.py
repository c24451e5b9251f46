"""What statsforecast's AutoETS and AutoARIMA say by themselves on a backtest's windows, for tables that compare.

They know one season, of a day; each gets the four weeks before a window, with gaps filled by a line, and nothing else.
AutoARIMA is kept to orders of 3 and seasonal orders of 1, and approximates while it searches: it takes minutes a window
otherwise.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Final

import numpy as np
from historybed.series import DAY, WEEK, Floats
from statsforecast.models import AutoARIMA, AutoETS

_KNOWN_SECONDS: Final = 4 * WEEK

Windows = Mapping[float, Floats]
"""Actual values by when a window's first step ends."""


def errors(at: Floats, values: Floats, windows: Windows, step: float) -> dict[str, float]:
    """Return each model's WAPE in percent over all windows; the history has a value, or NaN, every ``step`` s."""
    season, known = round(DAY / step), round(_KNOWN_SECONDS / step)
    pasts = [values[at < first][-known:] for first in windows]
    actual = np.concatenate([*windows.values()])
    with ProcessPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
        said = [*pool.map(partial(_said, season=season, steps=len(next(iter(windows.values())))), pasts)]
    size = np.abs(actual).sum()
    return {
        name: float(100 * np.abs(np.concatenate([each[name] for each in said]) - actual).sum() / size)
        for name in said[0]
    }


def _said(past: Floats, season: int, steps: int) -> dict[str, Floats]:
    places = np.arange(past.size)
    good = np.isfinite(past)
    whole = np.interp(places, places[good], past[good])
    models = {
        "AutoETS": AutoETS(season_length=season),
        "AutoARIMA": AutoARIMA(season_length=season, max_p=3, max_q=3, max_P=1, max_Q=1, approximation=True),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of searches that do not converge
        return {name: np.asarray(model.forecast(whole.copy(), steps)["mean"]) for name, model in models.items()}
