"""What a model may know: one history up to the moment at which a forecast is made, made whole."""

from __future__ import annotations

from typing import Final

import attrs
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CYCLES: Final = 2
"""Whole seasons that a history must hold before the season counts."""


@attrs.frozen(eq=False)
class Past:
    """``values`` are the means of equal steps, oldest first, none of them missing.

    ``seasons`` are the lengths, in steps, of those seasons that the history holds often enough, the shortest first.
    ``raw`` is the same history before outliers and level shifts were taken out, with its gaps filled.
    """

    values: Floats
    seasons: tuple[int, ...]
    raw: Floats

    @property
    def positive(self) -> bool:
        """Whether seasons and noise may grow with the level: then logarithms are foretold."""
        return bool(self.values.min() > 0)


def held(seasons: tuple[int, ...], size: int) -> tuple[int, ...]:
    """Return those of ``seasons`` (in steps) that ``size`` steps of history hold often enough."""
    return tuple(season for season in seasons if size >= CYCLES * season)
