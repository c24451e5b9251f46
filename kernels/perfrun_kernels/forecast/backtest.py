"""Foretelling the past: what every model would have said at moments of the history, from what was known by then.

Windows follow each other without overlap where the history is long enough, and overlap where it is not. Some come
before those that are scored: the first of these, too, has models that were chosen and intervals that were learnt from
windows before it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final, Protocol

import attrs
import numpy as np

from perfrun_kernels.forecast.cleaning import Repairs, clean
from perfrun_kernels.forecast.models import Models, naive
from perfrun_kernels.forecast.past import CYCLES, Floats, Past

BEFORE: Final = 5
"""Windows before those that are scored."""

_LEAST_STRIDE: Final = 1 / 8
"""Least distance of two windows, as a share of their length."""

_LEAST_STEPS: Final = 12
_LEAST_SHARE: Final = 0.5
"""Share of a window's values that must be there for it to count."""


@attrs.frozen(eq=False)
class Setting:
    """One history and how it is foretold: ``ahead`` steps each time, by ``models``.

    ``seasons`` are in steps, the shortest first; ``deployments`` are steps.
    """

    values: Floats
    ahead: int
    seasons: tuple[int, ...]
    models: Models
    deployments: tuple[int, ...] = ()

    @property
    def training(self) -> int:
        """The fewest steps from which anything is foretold."""
        return max(CYCLES * self.seasons[0] if self.seasons else 0, 2 * self.ahead, _LEAST_STEPS)

    @property
    def least_stride(self) -> int:
        """The fewest steps between two windows."""
        return math.ceil(self.ahead * _LEAST_STRIDE)

    def needed(self, windows: int) -> int:
        """Return how many steps of history are needed for so many windows."""
        return self.training + self.ahead + (windows + BEFORE - 1) * self.least_stride


@attrs.frozen(eq=False)
class Said:
    """What was foretold for the steps from ``origin`` on, by each model and by each season's seasonal naive."""

    origin: int
    models: Mapping[str, Floats]
    naive: Mapping[int, Floats]
    repairs: Repairs


class Mapper(Protocol):
    """Applies a function to all origins, in their order, perhaps in several processes."""

    def __call__(self, function: Callable[[int], Said], origins: Iterable[int], /) -> Iterator[Said]:
        """Return what the function returns for each."""


def origins(setting: Setting, windows: int) -> tuple[tuple[int, ...], int]:
    """Return where windows begin, oldest first, and how many steps lie between them; fewer where history is short.

    A window that lacks more than half of its values is left out.
    """
    found: tuple[int, ...] = ()
    for stride in range(setting.ahead, setting.least_stride - 1, -1):
        newest = setting.values.size - setting.ahead
        places = [
            origin
            for origin in range(newest, setting.training - 1, -stride)
            if np.isfinite(setting.values[origin : origin + setting.ahead]).mean() >= _LEAST_SHARE
        ]
        found = tuple(reversed(places[: windows + BEFORE]))
        if len(found) == windows + BEFORE:
            return found, stride
    return found, setting.least_stride


def foretell(setting: Setting, origin: int) -> Said:
    """Say what comes from step ``origin`` on; whatever ``setting`` knows from there on is not looked at."""
    known = setting.values[:origin]
    past, repairs = clean(known, setting.seasons, [each for each in setting.deployments if each < origin])
    cycles = past.seasons or (1,)
    return Said(
        origin,
        {name: _sane(model, past, setting.ahead) for name, model in setting.models.items()},
        {season: naive(past.raw, season, setting.ahead) for season in cycles},
        repairs,
    )


def _sane(model: Callable[[Past, int], Floats], past: Past, ahead: int) -> Floats:
    """Return what a model says; one that has lost its way says what seasonal naive does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a model that does not converge shows by its errors
        said = model(past, ahead) if np.ptp(past.values) else np.full(ahead, past.values[-1])
    reach = np.ptp(past.values) + np.abs(past.values).max() / 2
    lost = ~np.isfinite(said) | (said > past.values.max() + reach) | (said < past.values.min() - reach)
    said = np.where(lost, naive(past.values, past.seasons[0] if past.seasons else 1, ahead), said)
    return np.maximum(said, 0.0) if past.values.min() >= 0 else said


def run(setting: Setting, places: Sequence[int], mapper: Mapper) -> list[Said]:
    """Say at each of ``places``, oldest first, what comes."""
    return list(mapper(partial(foretell, setting), places))
