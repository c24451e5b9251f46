"""The models among which a backtest chooses, by name.

Those of statsforecast foretell what MSTL leaves of a history without its seasons, and the last cycles are put back:
by themselves they know one season, of some 24 steps at most. Values that are all above 0 are foretold as logarithms,
for what is busier varies more; the additive ones are not, for nights near 0
vary most as logarithms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from perfrun_kernels.forecast.averages import average, levelled, naive
from perfrun_kernels.forecast.past import Floats, Past
from perfrun_kernels.forecast.regression import harmonic, lagged, lagged_as_it_is
from perfrun_kernels.forecast.seasonal import Split, split

__all__ = ["MODELS", "Model", "Models", "naive"]

Model = Callable[[Past, int], Floats]
"""Says the means of so many steps from the past alone; the same past gives the same forecast."""

Models = Mapping[str, Model]

_NEWEST: Final = 480
"""Steps of the rest that are looked at: what lies further back says little of its present course, and costs."""


def _library() -> Any:
    # Loaded here: pandas and what comes with it take seconds, and pods of other programs may lack them.
    from statsforecast import models  # noqa: PLC0415

    return models


def _rest(parts: Split, model: Any, steps: int) -> Floats:
    return parts.ahead(np.asarray(model.forecast(parts.rest[-_NEWEST:].copy(), steps)["mean"], dtype=np.float64))


def ets(past: Past, steps: int) -> Floats:
    """MSTL, the rest by AutoETS: error and trend chosen by AICc."""
    return _rest(split(past, logarithmic=past.positive), _library().AutoETS(season_length=1, model="ZZN"), steps)


def arima(past: Past, steps: int) -> Floats:
    """MSTL, the rest by AutoARIMA."""
    return _rest(split(past, logarithmic=past.positive), _arima(), steps)


def arima_as_it_is(past: Past, steps: int) -> Floats:
    """MSTL, the rest by AutoARIMA, never as logarithms."""
    return _rest(split(past, logarithmic=False), _arima(), steps)


def theta(past: Past, steps: int) -> Floats:
    """MSTL, the rest by Theta."""
    return _rest(split(past, logarithmic=past.positive), _library().Theta(season_length=1), steps)


def last_day(past: Past, steps: int) -> Floats:
    """Say the same as a day before, or the last value where there are no seasons."""
    return naive(past.values, past.seasons[0] if past.seasons else 1, steps)


def last_week(past: Past, steps: int) -> Floats:
    """Say the same as one of the longest season before that is held."""
    return naive(past.values, past.seasons[-1] if past.seasons else 1, steps)


def _arima() -> Any:
    return _library().AutoARIMA(season_length=1, max_p=3, max_q=2, approximation=True)


MODELS: Final[Models] = {
    "MSTL+AutoETS": ets,
    "MSTL+AutoARIMA": arima,
    "MSTL+AutoARIMA (additive)": arima_as_it_is,
    "MSTL+Theta": theta,
    "harmonic regression": harmonic,
    "lagged regression": lagged,
    "lagged regression (additive)": lagged_as_it_is,
    "seasonal average": average,
    "levelled average": levelled,
    "last day again": last_day,
    "last week again": last_week,
}
