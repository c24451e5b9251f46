"""An hour means an hour, by the server's clock."""

from __future__ import annotations

import pytest

from perfrun_kernels.faults import UnmeasurableError
from perfrun_kernels.telemetry.window import fits, recorded, settling, watch


class Clock:
    """Time that passes only while somebody sleeps; the server's goes at ``pace``."""

    def __init__(self, pace=1.0):
        self.passed, self.pace, self.slept = 0.0, pace, []

    def own(self):
        return self.passed

    def server(self):
        return 5000.0 + self.pace * self.passed

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.passed += seconds


def watched(clock, period=3600.0, lines=None):
    told = [] if lines is None else lines
    return watch(clock.server, period, 15.0, told.append, clock.own, clock.sleep)


def test_the_whole_period_is_waited_for_and_more_for_late_samples():
    clock, lines = Clock(), []
    window = watched(clock, lines=lines)
    assert (window.start, window.end, window.kind) == (5000, 8600, "observed")
    assert clock.passed == 3600 + settling(15.0)
    assert len(lines) == 60


def test_a_clock_that_stands_still_gives_no_window():
    with pytest.raises(UnmeasurableError) as caught:
        watched(Clock(pace=0.5))
    assert caught.value.reason == "ShortWindow"
    assert "time synchronisation" in str(caught.value)


def test_a_window_that_is_over_ends_now():
    window = recorded(9000.0, 3600.0)
    assert (window.start, window.end, window.seconds) == (5400, 9000, 3600)


def test_watching_for_longer_than_there_is_time_is_refused_beforehand():
    fits(3600, 15, 3720)
    with pytest.raises(UnmeasurableError) as caught:
        fits(3600, 15, 3610)
    assert caught.value.reason == "ShortWindow"
    assert "spec.timeout" in str(caught.value)
