"""What is asked of the server for one row: its samples, and what makes them worth believing.

A question that one row cannot have answered is that row's trouble; a server that cannot be reached is everybody's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import attrs
import numpy as np

from perfrun_kernels.faults import UnmeasurableError
from perfrun_kernels.prometheus import RawSeries, Server
from perfrun_kernels.telemetry.parameters import Row
from perfrun_kernels.telemetry.retention import oldest
from perfrun_kernels.telemetry.spacing import GAP, gaps
from perfrun_kernels.telemetry.window import Window

COUNTERS: Final = ("_total", "_count", "_sum", "_bucket")
LOOKS: Final = 3
"""How often the dates of the newest samples are compared with those of their scrapes, lest one look fall into one."""

LOOK_SECONDS: Final = 60.0
SCRAPES: Final = "timestamp(up) and on (job, instance) (up == 1)"
"""When each target was last scraped."""

MOST_ENDS: Final = 20
"""Ends of series at which stale markers are looked for; each is one question."""

MOST_SAMPLES: Final = 3e7
"""Samples of one row: half a gigabyte of memory."""

FUTURE_SECONDS: Final = 3600.0
LOOKBACK_SECONDS: Final = 300.0
_OWN: Final = frozenset({"BadQuery", "MetricsLimited", "MetricsTimeout"})
_MILLISECOND: Final = 0.001


@attrs.frozen(eq=False)
class Evidence:
    """What the server has of one row.

    ``skews`` are, by series, how far in seconds its samples are dated before (negative) or after their scrapes, or
    after the server's present. ``stale`` counts stale markers at ends and gaps, of ``ends`` that were looked at.
    ``oldest`` is the age of the oldest sample. ``reason`` and ``why`` say what could not be had, empty where all was.
    """

    row: Row
    selector: str = ""
    series: tuple[RawSeries, ...] = ()
    counters: frozenset[str] = frozenset()
    skews: Mapping[str, float] = attrs.field(factory=dict)
    stale: int = 0
    ends: int = 0
    oldest: float | None = None
    reason: str = ""
    why: str = ""


def present(server: Server, row: Row, window: Window) -> tuple[str, int]:
    """Return the first of the row's selectors that has samples in the window, and how many series; or nothing."""
    milliseconds = round(window.seconds / _MILLISECOND)
    for selector in row.series:
        if found := server.instant(f"count(present_over_time({selector}[{milliseconds}ms]))", window.end):
            return selector, int(found[0].values[0])
    return "", 0


def gather(server: Server, row: Row, window: Window, lookback: float) -> Evidence:
    """Ask for everything that there is of one row.

    Raises:
        UnmeasurableError: the server cannot be reached, or is none.
    """
    try:
        selector, count = present(server, row, window)
        if not selector:
            return Evidence(row)
        _bounded(row, selector, count, window)
        return _gathered(server, row, selector, window, lookback)
    except UnmeasurableError as error:
        if error.reason not in _OWN:
            raise
        return Evidence(row, reason=error.reason, why=str(error))


def _gathered(server: Server, row: Row, selector: str, window: Window, lookback: float) -> Evidence:
    series = tuple(server.raw(selector, window.start, window.end))
    if not series:
        return Evidence(row)
    moments = ends(series, row.interval_s, window.end, lookback)
    looked = moments[:MOST_ENDS]
    return Evidence(
        row, selector, series, counters(server, {each.name for each in series}),
        {**_lags(server, selector, row.interval_s), **_ahead(server, selector, window.end)},
        sum(_stale(server, selector, at, names) for at, names in looked), sum(len(names) for _, names in looked),
        max(
            oldest(server, selector, window.end, max(row.retention_s, window.seconds)) or 0.0,
            *(window.end - float(each.times[0]) for each in series),
        ),
    )  # fmt: skip


def _bounded(row: Row, selector: str, count: int, window: Window) -> None:
    samples = count * window.seconds / row.interval_s
    if samples > MOST_SAMPLES:
        msg = (
            f"{selector} selects {count} series with some {samples:.0f} samples in the {window.seconds:g} s that are "
            f"judged; expected at most {MOST_SAMPLES:.0f}: select fewer series in the target's telemetry.metrics"
        )
        raise UnmeasurableError("MetricsLimited", msg)


def counters(server: Server, names: Iterable[str]) -> frozenset[str]:
    """Return those names that are counters, by what exporters say or, where none says anything, by their ending."""
    return frozenset(name for name in names if _is_counter(name, _kinds(server, name)))


def ends(
    series: Sequence[RawSeries], interval: float, end: float, lookback: float
) -> list[tuple[float, frozenset[str]]]:
    """Return the moments shortly before which some series paused or ended, and which ones.

    At each of them the last sample is still young enough to be taken, unless a stale marker came after it.
    """
    found: dict[float, set[str]] = {}
    for each in series:
        pauses = [(gap.start, gap.end) for gap in gaps(each.times, interval)]
        if end - each.times[-1] > GAP * interval:
            pauses.append((float(each.times[-1]), end))
        for start, until in pauses:
            at = round(min(until, start + lookback) - _MILLISECOND, 3)
            found.setdefault(at, set()).add(each.selector())
    return [(at, frozenset(names)) for at, names in sorted(found.items())]


def _is_counter(name: str, kinds: set[str]) -> bool:
    if kinds & {"gauge", "info", "stateset"}:
        return False
    return "counter" in kinds or name.endswith(COUNTERS)


def _kinds(server: Server, name: str) -> set[str]:
    try:
        return server.kinds(name)
    except UnmeasurableError as error:
        if error.reason == "MetricsUnavailable":
            raise
        return set()


def _stale(server: Server, selector: str, at: float, names: frozenset[str]) -> int:
    alive = {each.selector() for each in server.instant(selector, at)}
    return len(names - alive)


def _lags(server: Server, selector: str, interval: float) -> dict[str, float]:
    """Return by series how its newest sample is dated compared with ``up``, which the server dates itself.

    Only the present tells: once later samples are there, nobody sees when one of them came. A series that has gone
    stale, and a target that is down, have no newest sample of a scrape.
    """
    found: dict[str, list[float]] = {}
    for _ in range(LOOKS):
        now = server.now()
        scrapes = {_target(each): float(each.values[0]) for each in server.instant(SCRAPES, now)}
        alive = {each.selector() for each in server.instant(selector, now)}
        for each in server.raw(selector, now - max(LOOK_SECONDS, 4 * interval), now):
            if (scraped := scrapes.get(_target(each))) is not None and each.selector() in alive:
                found.setdefault(each.selector(), []).append(float(each.times[-1]) - scraped)
    return {name: float(np.median(differences)) for name, differences in found.items()}


def _ahead(server: Server, selector: str, end: float) -> dict[str, float]:
    """Return by series how far its newest sample lies in the server's future, where it does."""
    found = server.raw(selector, end, end + FUTURE_SECONDS)
    now = server.now()
    return {each.selector(): float(each.times[-1]) - now for each in found if each.times[-1] > now}


def _target(series: RawSeries) -> tuple[str, str]:
    return series.labels.get("job", ""), series.labels.get("instance", "")
