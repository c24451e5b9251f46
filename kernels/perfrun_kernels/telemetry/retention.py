"""How long the server keeps samples: what it is configured to, and how far back it goes."""

from __future__ import annotations

import re
from typing import Final, Literal

import attrs

from perfrun_kernels.faults import UnmeasurableError
from perfrun_kernels.prometheus import Server

Deleted = Literal["none", "some", "unknown"]
_UNITS: Final = {
    "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 7 * 86_400.0, "y": 365 * 86_400.0,
}  # fmt: skip
_DURATION: Final = re.compile(r"(?:\d+(?:ms|[smhdwy]))+")
_PART: Final = re.compile(r"(\d+)(ms|[smhdwy])")
_SIZE: Final = re.compile(r"\d+(?:\.\d+)?\s*(?:[KMGTPE]?i?B|%)", re.IGNORECASE)
_DELETIONS: Final = re.compile(r"^prometheus_tsdb_(?:time|size)_retentions_total(?:\{[^}]*\})? (\S+)", re.MULTILINE)
_LOOKBACK_SECONDS: Final = 300.0
_MOST_POINTS: Final = 4000
_ROOM: Final = 1.05


@attrs.frozen
class Retention:
    """What the server says it keeps: ``configured`` in seconds, None where it is unknown or not limited by time.

    ``size_limited``: it deletes by size as well, so that time alone promises nothing. ``deleted``: whether it has
    deleted anything by itself since it started. ``why`` is a sentence.
    """

    configured: float | None
    size_limited: bool
    deleted: Deleted
    why: str


def retention(server: Server) -> Retention:
    """Ask what the server is configured to keep; servers other than Prometheus may not say."""
    try:
        said = str(server.runtime().get("storageRetention", ""))
    except UnmeasurableError:
        said = ""
    return read(said, _deleted(server))


def read(said: str, deleted: Deleted) -> Retention:
    """Read what runtimeinfo's storageRetention says, such as ``15d`` or ``60d or 100GiB or 80%``."""
    parts = [part.strip() for part in said.split(" or ")]
    times = [duration(part) for part in parts if _DURATION.fullmatch(part)]
    sized = any(_SIZE.fullmatch(part) for part in parts)
    if times:
        limit = ", or less where the size does not suffice" if sized else ""
        return Retention(min(times), sized, deleted, f"the server says that it keeps {said}{limit}")
    if sized:
        return Retention(None, sized, deleted, f"the server is limited by size only ({said}), not by time")
    told = f"says {said!r} of it" if said else "does not say how long it keeps samples (/api/v1/status/runtimeinfo)"
    return Retention(None, sized, deleted, f"the server {told}: only the age of the oldest sample tells")


def duration(text: str) -> float:
    """Return the seconds of a Prometheus duration such as 1w or 1d12h."""
    return sum(int(count) * _UNITS[unit] for count, unit in _PART.findall(text))


def oldest(server: Server, selector: str, now: float, stated: float) -> float | None:
    """Return the age of the selector's oldest sample in seconds, None where none was found.

    It is looked for a little further back than the ``stated`` retention: an age beyond that is of no interest.
    """
    start = now - stated * _ROOM - 2 * _LOOKBACK_SECONDS
    # What is younger than the lookback is seen at the next point, so that at this step nothing slips through.
    step = max(_LOOKBACK_SECONDS, (now - start) / _MOST_POINTS)
    found = server.range(f"count({selector})", start, now + step, step)
    if not found:
        return None
    first = float(found[0].times[0])
    near = server.raw(selector, first - step - _LOOKBACK_SECONDS, first)
    return now - min((float(each.times[0]) for each in near), default=first)


def _deleted(server: Server) -> Deleted:
    try:
        counts = [float(each) for each in _DELETIONS.findall(server.own_metrics())]
    except (UnmeasurableError, ValueError):
        return "unknown"
    if not counts:
        return "unknown"
    return "some" if any(counts) else "none"
