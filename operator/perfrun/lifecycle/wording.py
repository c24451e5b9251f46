"""Lengths of time for people."""

from __future__ import annotations

import datetime as dt

_MINUTE = 60


def elapsed(start: dt.datetime, end: dt.datetime) -> str:
    """Return how long something took: 850ms, 12.4s, 3m05s, 2h07m."""
    return lasting((end - start).total_seconds())


def lasting(length: float) -> str:
    """Return a length in seconds, nothing where it is negative, in the same way."""
    total = max(0.0, length)
    if total < 1:
        return f"{total * 1000:.0f}ms"
    if total < _MINUTE:
        return f"{total:.1f}s"
    minutes, rest = divmod(round(total), _MINUTE)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s"
