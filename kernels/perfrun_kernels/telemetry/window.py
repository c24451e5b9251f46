"""Which stretch of time is judged: one that is over and recorded, or one that is watched from now on.

An hour means an hour. Both ends are moments of the server's own clock, for its samples are dated by it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

import attrs

from perfrun_kernels.faults import UnmeasurableError
from perfrun_kernels.program import Progress
from perfrun_kernels.prometheus import Server

TURN_SECONDS: Final = 60.0
"""Time between two lines of progress."""

SETTLING_SECONDS: Final = 30.0
"""Longest wait after the window's end for samples that arrive late."""

_ROOM_SECONDS: Final = 30.0
"""Seconds of the budget that reading and judging need."""

_SLACK_SECONDS: Final = 1.0


@attrs.frozen
class Window:
    """Seconds since the epoch by the server's clock; samples after ``start`` and not after ``end`` count."""

    start: float
    end: float
    kind: Literal["recorded", "observed"]

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end - self.start


def reaches_back(server: Server, selector: str, start: float, interval: float) -> bool:
    """Say whether a selector's history begins early enough for a window that began at ``start``."""
    return bool(server.raw(selector, start - interval, start + interval))


def recorded(now: float, period: float) -> Window:
    """Return the window that ends at the server's ``now``."""
    return Window(now - period, now, "recorded")


def fits(period: float, interval: float, budget: float) -> None:
    """Refuse with UnmeasurableError (ShortWindow) to watch for longer than the budget."""
    needed = period + settling(interval) + _ROOM_SECONDS
    if needed > budget:
        msg = (
            f"watching for {period:g} s takes {needed:g} s with what reading needs, but there are only {budget:g} s: "
            "raise spec.timeout of the PerfFeature, or let the history cover the period and judge what is recorded"
        )
        raise UnmeasurableError("ShortWindow", msg)


def settling(interval: float) -> float:
    """Return how long after the end the last samples may still arrive, where one is due every ``interval``."""
    return min(SETTLING_SECONDS, 2 * interval)


def watch(
    now: Callable[[], float], period: float, interval: float, progress: Progress,
    clock: Callable[[], float], sleep: Callable[[float], None],
) -> Window:  # fmt: skip
    """Wait until ``period`` and the settling after it are over, and return the window.

    ``now`` is the server's time, ``clock`` a monotonic one of this machine.

    Raises:
        UnmeasurableError: ShortWindow, as the server's clock went back or stood still meanwhile.
    """
    begun, start = clock(), now()
    while (left := begun + period - clock()) > 0:
        progress(f"watching: {period - left:.0f} of {period:.0f} s are over")
        sleep(min(left, TURN_SECONDS))
    sleep(settling(interval))
    passed = now() - start
    if passed < period - _SLACK_SECONDS:
        msg = (
            f"the server's clock went on by {passed:.0f} s while {period:.0f} s were watched, so that its samples do "
            "not cover the period: look at the time synchronisation of Prometheus' node"
        )
        raise UnmeasurableError("ShortWindow", msg)
    return Window(start, start + period, "observed")
