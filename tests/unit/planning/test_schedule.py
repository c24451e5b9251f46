"""Schedules across clock changes, jitter that is always the same, and starts that were missed."""

from __future__ import annotations

import datetime as dt
import zoneinfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfrun.api.feature import Schedule
from perfrun.planning.schedule import check_schedule, due_now, next_start

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")


def at(text: str) -> dt.datetime:
    moment = dt.datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def starts(cron: str, after: str, count: int, zone: str = "Europe/Berlin") -> list[str]:
    """Return the next scheduled times as local wall time with offset."""
    schedule, moment, found = Schedule(cron=cron, time_zone=zone), at(after), []
    for _ in range(count):
        moment = next_start(schedule, moment, "key").scheduled
        found.append(moment.astimezone(zoneinfo.ZoneInfo(zone)).strftime("%d %H:%M%z"))
    return found


@pytest.mark.parametrize(
    ("cron", "after", "expected"),
    [
        # 29 March 2026, 02:00 +0100 becomes 03:00 +0200: a fixed time in the gap is run an hour later.
        ("30 2 * * *", "2026-03-28T00:00", ["28 02:30+0100", "29 03:30+0200", "30 02:30+0200"]),
        ("30 2,3 * * *", "2026-03-29T00:00", ["29 03:30+0200", "30 02:30+0200"]),
        ("15,30 2,3 * * *", "2026-03-29T00:00", ["29 03:15+0200", "29 03:30+0200", "30 02:15+0200"]),
        # A wildcard hour follows the clock: nothing is shown as 02:30 that night.
        ("30 * * * *", "2026-03-29T00:00", ["29 01:30+0100", "29 03:30+0200", "29 04:30+0200"]),
        ("@hourly", "2026-03-29T00:00", ["29 03:00+0200", "29 04:00+0200"]),
        # 25 October 2026, 03:00 +0200 becomes 02:00 +0100: a fixed time is run the first time that it comes.
        ("30 2 * * *", "2026-10-24T12:00", ["25 02:30+0200", "26 02:30+0100"]),
        ("30 * * * *", "2026-10-24T23:45", ["25 02:30+0200", "25 02:30+0100", "25 03:30+0100"]),
        ("*/30 */1 * * *", "2026-10-25T00:15", ["25 02:30+0200", "25 02:00+0100", "25 02:30+0100"]),
        ("0 12 * * *", "2026-10-24T12:00", ["25 12:00+0100", "26 12:00+0100"]),
    ],
)
def test_clock_changes(cron: str, after: str, expected: list[str]) -> None:
    assert starts(cron, after, len(expected)) == expected


def test_a_half_hour_change_is_a_change_too() -> None:
    # Lord Howe Island, 4 October 2026: 02:00 +1030 becomes 02:30 +1100.
    assert starts("15 2 * * *", "2026-10-03T00:00", 2, "Australia/Lord_Howe") == ["04 02:45+1100", "05 02:15+1100"]


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        (Schedule(cron="61 * * * *"), "cron expression '61 * * * *' is not valid"),
        (Schedule(cron="* * * * * *"), "has 6 fields; expected five"),
        (Schedule(cron="daily"), "has 1 fields; expected five"),
        (Schedule(cron="@reboot"), "is not valid"),
        (Schedule(cron="0 0 30 2 *"), "never comes due"),
        (Schedule(cron="0 0 * * *", time_zone="Mars/Olympus"), "time zone 'Mars/Olympus' is not known"),
        (Schedule(cron="0 0 * * *", time_zone="../etc/passwd"), "is not known; expected an IANA name"),
        (Schedule(cron="0 0 * * *", time_zone=""), "is not known"),
    ],
)
def test_a_schedule_that_is_none_is_a_sentence(schedule: Schedule, said: str) -> None:
    problem = check_schedule(schedule)
    assert problem is not None
    assert said in problem
    with pytest.raises(ValueError, match=r"cron|time zone"):
        next_start(schedule, at("2026-01-01T00:00"), "key")


@pytest.mark.parametrize("cron", ["*/5 * * * *", "@daily", "0 6 * * mon-fri", "0 0 29 2 *", "@yearly"])
def test_sound_schedules_have_no_problem(cron: str) -> None:
    assert check_schedule(Schedule(cron=cron, time_zone="America/New_York")) is None


CRONS = st.sampled_from(
    ["* * * * *", "*/7 * * * *", "30 2 * * *", "0 */6 * * *", "15 1-4 * * *", "0 0 1 * *", "@weekly", "59 23 31 12 *"]
)
ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])
MOMENTS = st.datetimes(dt.datetime(2024, 1, 1), dt.datetime(2028, 1, 1), timezones=st.just(dt.UTC))  # noqa: DTZ001 -- made aware by the strategy
JITTERS = st.sampled_from([None, "30s", "5m", "2h"])


@settings(deadline=None)
@given(CRONS, ZONES, MOMENTS, JITTERS, st.text(max_size=5))
def test_the_next_start_is_later_always_the_same_and_within_the_jitter(
    cron: str, zone: str, after: dt.datetime, jitter: str | None, key: str
) -> None:
    schedule = Schedule(cron=cron, time_zone=zone, jitter=jitter)
    start = next_start(schedule, after, key)
    assert start == next_start(schedule, after, key)
    assert start.scheduled > after
    lengths = {None: 0, "30s": 30, "5m": 300, "2h": 7200}
    assert dt.timedelta(0) <= start.due - start.scheduled <= dt.timedelta(seconds=lengths[jitter])
    # Nothing lies between: looking from just before the start finds the same one.
    assert next_start(schedule, start.scheduled - dt.timedelta(microseconds=1), key).scheduled == start.scheduled


@settings(deadline=None)
@given(CRONS, ZONES, MOMENTS, JITTERS)
def test_following_starts_one_by_one_never_goes_back(
    cron: str, zone: str, after: dt.datetime, jitter: str | None
) -> None:
    schedule, moment = Schedule(cron=cron, time_zone=zone, jitter=jitter), after
    for _ in range(5):
        following = next_start(schedule, moment, "key").scheduled
        assert following > moment
        moment = following


def test_objects_differ_in_jitter() -> None:
    schedule = Schedule(cron="0 * * * *", jitter="10m")
    dues = {next_start(schedule, at("2026-01-01T00:00"), f"key-{index}").due for index in range(20)}
    assert len(dues) == 20


def test_of_several_missed_starts_only_the_latest_is_due() -> None:
    schedule = Schedule(cron="*/10 * * * *")
    start = due_now(schedule, at("2026-01-01T00:00"), at("2026-01-01T05:34"), "key")
    assert start is not None
    assert start.scheduled == at("2026-01-01T05:30")


def test_nothing_is_due_before_its_time_nor_twice() -> None:
    schedule = Schedule(cron="*/10 * * * *")
    assert due_now(schedule, at("2026-01-01T00:00"), at("2026-01-01T00:09"), "key") is None
    assert due_now(schedule, at("2026-01-01T00:10"), at("2026-01-01T00:10"), "key") is None


def test_a_start_missed_by_more_than_the_deadline_is_left_out() -> None:
    schedule = Schedule(cron="0 0 * * *", starting_deadline_seconds=60)
    assert due_now(schedule, at("2025-12-31T12:00"), at("2026-01-01T00:00:59"), "key") is not None
    assert due_now(schedule, at("2025-12-31T12:00"), at("2026-01-01T00:01:01"), "key") is None


def test_after_a_year_away_a_yearly_start_is_still_found() -> None:
    start = due_now(Schedule(cron="@yearly"), at("2023-06-01T00:00"), at("2026-06-01T00:00"), "key")
    assert start is not None
    assert start.scheduled == at("2026-01-01T00:00")


def test_jitter_puts_off_the_start_and_until_then_the_one_before_counts() -> None:
    schedule = Schedule(cron="0 * * * *", jitter="59m")
    first = next_start(schedule, at("2026-01-01T00:30"), "key")
    early = due_now(schedule, at("2026-01-01T00:30"), first.due - dt.timedelta(seconds=1), "key")
    assert early is None
    assert due_now(schedule, at("2026-01-01T00:30"), first.due, "key") == first


@settings(deadline=None)
@given(CRONS, MOMENTS, st.timedeltas(dt.timedelta(0), dt.timedelta(days=40)), JITTERS)
def test_what_is_due_is_a_start_between_the_last_one_and_now(
    cron: str, last: dt.datetime, passed: dt.timedelta, jitter: str | None
) -> None:
    schedule, now = Schedule(cron=cron, jitter=jitter), last + passed
    start = due_now(schedule, last, now, "key")
    if start is None:
        assert next_start(schedule, last, "key").due > now
    else:
        assert last < start.scheduled <= start.due <= now
