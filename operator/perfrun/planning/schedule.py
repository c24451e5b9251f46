"""When a feature is due: pure functions of schedule, moment and key, so that a restarted operator finds the same times.

Clock changes follow what Vixie's cron taught people to expect. A schedule with a fixed hour runs once a day whatever
the clock does: a time that is skipped in spring is run as much later as the clock jumped, a time that comes twice in
autumn is run the first time. A schedule whose hour is a wildcard runs whenever the clock shows its time.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import zoneinfo
from collections.abc import Iterator
from typing import Final, NamedTuple

from croniter import croniter

from perfrun.api.durations import seconds
from perfrun.api.feature import Schedule

_FIELDS: Final = 5
_LOOK_BACK: Final = tuple(dt.timedelta(hours=hours) for hours in (1, 24, 24 * 32, 24 * 366, 24 * 366 * 5))
_JUMP: Final = dt.timedelta(hours=3)
_PRECISION: Final = dt.timedelta(microseconds=1)


class Start(NamedTuple):
    """One start: ``due`` is when to act (jitter included), ``scheduled`` is what the cron expression says; both UTC."""

    due: dt.datetime
    scheduled: dt.datetime


def check_schedule(schedule: Schedule) -> str | None:
    """Return what is wrong with a schedule as a sentence, or None."""
    try:
        _zone(schedule.time_zone)
        _check_cron(schedule.cron)
        # An impossible date (30 February) is well-formed; only looking for it shows that it never comes.
        next(_scheduled(schedule, dt.datetime(2024, 1, 1, tzinfo=dt.UTC)))
    except ValueError as error:
        return str(error)
    return None


def next_start(schedule: Schedule, after: dt.datetime, key: str) -> Start:
    """Return the first start whose scheduled time is later than ``after``.

    ``key`` names the object: its jitter differs from that of other objects, and is the same each time it is asked.

    Raises:
        ValueError: the cron expression or the time zone is invalid; the message is a sentence for people.
    """
    return _start(schedule, next(_scheduled(schedule, after)), key)


def due_now(schedule: Schedule, last: dt.datetime, now: dt.datetime, key: str) -> Start | None:
    """Return the most recent start that is due and was not served, or None.

    ``last`` is the scheduled time that was served last (at first: when the object was made). Of several missed starts
    only the latest counts; one that has been due for longer than the starting deadline is left out.

    Raises:
        ValueError: the cron expression or the time zone is invalid.
    """
    jitter = _jitter_length(schedule)
    for span in _LOOK_BACK:
        begin = max(last, now - span - jitter)
        newest = None
        for scheduled in _scheduled(schedule, begin):
            if scheduled > now:
                break
            start = _start(schedule, scheduled, key)
            if start.due <= now:
                newest = start
        if newest is not None:
            return newest if _in_time(schedule, newest, now) else None
        if begin == last:
            return None
    return None


def _in_time(schedule: Schedule, start: Start, now: dt.datetime) -> bool:
    deadline = schedule.starting_deadline_seconds
    return deadline is None or now - start.due <= dt.timedelta(seconds=deadline)


def _start(schedule: Schedule, scheduled: dt.datetime, key: str) -> Start:
    jitter = _jitter_length(schedule)
    seed = hashlib.sha256(f"{key}\n{scheduled.isoformat()}".encode()).digest()
    share = int.from_bytes(seed[:8], "big") / 2**64
    return Start(due=scheduled + jitter * share, scheduled=scheduled)


def _jitter_length(schedule: Schedule) -> dt.timedelta:
    return dt.timedelta(seconds=seconds(schedule.jitter) if schedule.jitter else 0)


def _zone(name: str) -> zoneinfo.ZoneInfo:
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        msg = f"time zone {name!r} is not known; expected an IANA name such as UTC or Europe/Berlin"
        raise ValueError(msg) from error


def _check_cron(expression: str) -> None:
    nickname = expression.startswith("@")
    fields = len(expression.split())
    if not nickname and fields != _FIELDS:
        msg = (
            f"cron expression {expression!r} has {fields} fields; expected five "
            "(minute, hour, day of month, month, day of week) or a nickname such as @hourly"
        )
        raise ValueError(msg)
    if not croniter.is_valid(expression):
        msg = (
            f"cron expression {expression!r} is not valid; expected five fields such as '*/15 6-18 * * mon-fri' "
            "or a nickname such as @hourly"
        )
        raise ValueError(msg)


def _scheduled(schedule: Schedule, after: dt.datetime) -> Iterator[dt.datetime]:
    """Yield the scheduled times after a moment, in order, in UTC."""
    zone = _zone(schedule.time_zone)
    _check_cron(schedule.cron)
    hour = "*" if schedule.cron == "@hourly" else [*schedule.cron.split(), "0"][1]
    following = _by_the_clock if hour.startswith("*") else _once_a_day
    moment = after.astimezone(dt.UTC)
    while True:
        moment = following(schedule.cron, zone, moment)
        yield moment


def _next_naive(cron: str, after: dt.datetime) -> dt.datetime:
    try:
        found: dt.datetime = croniter(cron, after).get_next(dt.datetime)
    except ValueError as error:
        msg = f"cron expression {cron!r} never comes due; expected one that names a date that exists"
        raise ValueError(msg) from error
    return found


def _by_the_clock(cron: str, zone: zoneinfo.ZoneInfo, after: dt.datetime) -> dt.datetime:
    """Return the next moment at which the wall clock shows a time of the expression."""
    begin, offset = after, _offset(zone, after)
    while True:
        wall = (after + offset).replace(tzinfo=None)
        candidate = _next_naive(cron, wall).replace(tzinfo=dt.UTC) - offset
        if _offset(zone, candidate) == offset:
            return candidate
        # The clock is changed before that: look again from just before the change, on the new clock.
        begin = _change(zone, begin, candidate, offset)
        after, offset = begin - _PRECISION, _offset(zone, begin)


def _change(zone: zoneinfo.ZoneInfo, start: dt.datetime, end: dt.datetime, offset: dt.timedelta) -> dt.datetime:
    """Return the first moment in (start, end] at which the clock no longer has the offset, to the microsecond."""
    while end - start > _PRECISION:
        middle = start + (end - start) / 2
        if _offset(zone, middle) == offset:
            start = middle
        else:
            end = middle
    return end


def _once_a_day(cron: str, zone: zoneinfo.ZoneInfo, after: dt.datetime) -> dt.datetime:
    """Return the next moment of an expression whose times each come once, whatever the clock does."""
    wall = (after + _offset(zone, after)).replace(tzinfo=None)
    if _offset(zone, after - _JUMP) != _offset(zone, after):
        wall -= _JUMP
    while True:
        wall = _next_naive(cron, wall)
        moment = wall.replace(tzinfo=zone).astimezone(dt.UTC)
        if moment > after:
            break
    if _offset(zone, moment - _JUMP) == _offset(zone, moment):
        return moment
    # A time moved out of a gap may come after one that follows it on the clock.
    later, horizon = wall, wall + _JUMP
    while (later := _next_naive(cron, later)) <= horizon:
        other = later.replace(tzinfo=zone).astimezone(dt.UTC)
        if after < other < moment:
            moment = other
    return moment


def _offset(zone: zoneinfo.ZoneInfo, moment: dt.datetime) -> dt.timedelta:
    return moment.astimezone(zone).utcoffset() or dt.timedelta(0)
