"""The peak load: the highest rate of a ladder of steps that the Service answers well.

A step is answered well where at least 99 % of it went out, every request got a good answer, and the p99 from the
intended time on is within the limit. What ended the climb matters as much as how high it went: only where the servers
could bear no more has their peak been seen.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, Final

import attrs

from perfrun.api.base import JSON
from perfrun.api.durations import seconds
from perfrun.api.network import Peak
from perfrun.capabilities.base import Evidence, FoundPeak, NotMeasured
from perfrun.capabilities.books import Books, read
from perfrun.capabilities.traffic import PEAK_LATENCY, Segment
from perfrun.measuring.histograms import HistogramError
from perfrun_kernels.contract import Result

_ACHIEVED_AT_LEAST: Final = 0.99
_HIGHEST: Final = 1e7
"""Requests per second that no generator is asked for more of."""

_STATED: Final = ", or state the peak that you know or promise as network.peak.rate"
_MILLI: Final = 1e3
_WHOLE: Final = 10


@attrs.frozen
class _Step:
    """A step of the ladder: why the servers did not answer it well, or the generators did not offer it."""

    rate: float
    servers: str = ""
    generators: str = ""

    @property
    def good(self) -> bool:
        return not self.servers and not self.generators


def ladder(peak: Peak) -> tuple[Segment, ...]:
    """Return the steps of a climb, each so many times the rate of the one before."""
    length = seconds(peak.step)
    rates = (peak.first * peak.growth**step for step in range(peak.steps))
    return tuple(Segment(length, round(rate, 3)) for rate in itertools.takewhile(lambda rate: rate <= _HIGHEST, rates))


def found(shards: tuple[Result, ...], parameters: Mapping[str, JSON]) -> FoundPeak:
    """Return the highest rate that was answered well; ``parameters`` are those of the stage that climbed."""
    books = read(Evidence(shards=shards))
    if isinstance(books, NotMeasured):
        return FoundPeak(None, f"the peak load was not found: {books.message}")
    try:
        steps = _steps(books, parameters)
    except HistogramError as error:
        return FoundPeak(None, f"the peak load was not found: {error}")
    good = [at for at, step in enumerate(steps) if step.good]
    if not good:
        first = steps[0]
        hint = "lower network.peak.first of the PerfTarget" if first.servers else "use more generators (spec.load)"
        why = f"not even {_rate(first.rate)} was answered well: {first.servers or first.generators}; {hint}"
        return FoundPeak(None, why)
    best = good[-1]
    rate = steps[best].rate
    if best == len(steps) - 1:
        told = f"{_rate(rate)} was still answered well and is the last of {len(steps)} steps"
        return FoundPeak(rate, f"{told}; raise network.peak.steps or network.peak.first of the PerfTarget{_STATED}")
    above = steps[best + 1]
    if above.servers:
        return FoundPeak(
            rate, f"{_rate(rate)} was answered well, {_rate(above.rate)} not: {above.servers}", proven=True
        )
    told = f"{_rate(rate)} was answered well, and {_rate(above.rate)} could not be offered: {above.generators}"
    return FoundPeak(rate, f"{told}; use more shards or loops (spec.load of the PerfTarget){_STATED}")


def _steps(books: Books, parameters: Mapping[str, Any]) -> list[_Step]:
    begin, steps = books.timeline.start, []
    for at, each in enumerate(parameters["schedule"]):
        steps.append(_step(books, at, (begin, begin + each["seconds"]), float(each["rate"]), parameters))
        begin += each["seconds"]
    return steps


def _step(books: Books, at: int, span: tuple[float, float], rate: float, parameters: Mapping[str, Any]) -> _Step:
    windows = books.timeline.between(*span).windows
    due, unsent = sum(each.due for each in windows), sum(each.never_sent for each in windows)
    failed = sum(each.error + each.timeout for each in windows)
    latency, lateness = books.histogram(f"latency.{at}"), books.histogram(f"lateness.{at}")
    if due == 0 or latency.total == 0 or lateness.total == 0:
        return _Step(rate, generators="no request of it came to an end")
    limit, late = float(parameters[PEAK_LATENCY]), lateness.quantile(0.99)
    p99 = latency.quantile(0.99)
    slow = f"its p99 was {_milliseconds(p99)}, more than {_milliseconds(limit)}"
    if failed:
        return _Step(rate, servers=f"{failed} of {due} requests got no good answer")
    if unsent > (1 - _ACHIEVED_AT_LEAST) * due:
        # Requests that wait because the servers hold every connection are the servers' doing.
        told = f"{unsent} of {due} requests never went out"
        return (
            _Step(rate, generators=told) if books.unsent else _Step(rate, servers=f"{told}, as connections were busy")
        )
    if p99 - late > limit:
        return _Step(rate, servers=slow)
    if p99 > limit or late > float(parameters["probe_lateness_seconds"]):
        return _Step(rate, generators=f"the generators' own lateness p99 was {_milliseconds(late)}")
    return _Step(rate)


def _rate(rate: float) -> str:
    return f"{rate:.0f}/s" if rate >= _WHOLE else f"{rate:g}/s"


def _milliseconds(length: float) -> str:
    return f"{length * _MILLI:.3g} ms" if length < 1 else f"{length:.3g} s"
