"""Timing two models in turns: whatever drifts slowly on a machine drifts for both.

Each turn times one pass of either, which of them first being drawn by lot. Nothing of a pass may lie in the cache when
the next begins, for a model that is asked now and then finds none there.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

import attrs

from perfrun_kernels.contract import Series

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from perfrun_kernels.sampling.timing import Timer

SIDES: Final = ("before", "after")

WARM_UP: Final = 20
"""Turns that are not counted: kernels are chosen and clocks rise within the first few."""


@attrs.frozen
class Turns:
    """The durations of each side, in seconds, as many of both, and whether time ran out."""

    seconds: Mapping[str, list[float]]
    expired: bool

    def series(self) -> dict[str, Series]:
        """Return the durations for a result, each turn beginning with its own."""
        return {f"speed.{side}": Series("s", values, list(range(len(values)))) for side, values in self.seconds.items()}


def take(
    passes: Mapping[str, Callable[[], object]], prepare: Callable[[], object], timer: Timer, rounds: int, seed: int,
    expired: Callable[[], bool],
) -> Turns:  # fmt: skip
    """Time one pass of both sides in each of ``rounds`` turns, or until ``expired`` says that time is up.

    ``prepare`` is called before each pass, outside of what is timed.
    """
    order = random.Random(seed)  # noqa: S311 -- a draw, no secret
    seconds: dict[str, list[float]] = {side: [] for side in SIDES}
    for turn in range(WARM_UP + rounds):
        if expired():
            return Turns(seconds, expired=True)
        for side in order.sample(SIDES, len(SIDES)):
            prepare()
            timer.start()
            passes[side]()
            spent = timer.stop()
            if turn >= WARM_UP:
                seconds[side].append(spent)
    return Turns(seconds, expired=False)
