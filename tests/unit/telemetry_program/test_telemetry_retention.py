"""What a server says of its retention, and how far back it goes."""

from __future__ import annotations

import time

import pytest
from historybed import series as made
from historybed.series import DAY, HOUR, Shape

from perfrun_kernels.prometheus import Server
from perfrun_kernels.telemetry.retention import duration, oldest, read, retention


@pytest.mark.parametrize(
    ("said", "seconds", "sized"),
    [
        ("15d", 15 * DAY, False), ("1w", 7 * DAY, False), ("1d12h", 1.5 * DAY, False),
        ("60d or 100MiB", 60 * DAY, True),
        ("9d or 5GiB or 50%", 9 * DAY, True), ("5GiB", None, True), ("", None, False), ("for ever", None, False),
    ],
)  # fmt: skip
def test_what_runtimeinfo_says_is_read(said, seconds, sized):
    found = read(said, "none")
    assert (found.configured, found.size_limited) == (seconds, sized)
    assert found.why


def test_durations_are_those_of_prometheus():
    assert duration("1y2w3d4h5m6s7ms") == pytest.approx(365 * DAY + 17 * DAY + 4 * HOUR + 306.007)


def test_a_real_server_says_what_it_is_configured_to(prometheus):
    found = retention(Server(prometheus(retention="7d", size="1GB").url))
    assert (found.configured, found.size_limited, found.deleted) == (7 * DAY, True, "none")


@pytest.mark.parametrize("age", [200.0, 3000.0, 2 * DAY])
def test_the_oldest_sample_is_found_to_the_sample(prometheus, rng, age):
    now = time.time()
    times = made.grid(now - age, now, 60)
    server = prometheus(made.gauge({"__name__": "load"}, times, Shape(1.0), rng))
    assert oldest(Server(server.url), "load", now, 7 * DAY) == pytest.approx(age, abs=1)


def test_age_beyond_what_is_stated_is_of_no_interest(prometheus, rng):
    now = time.time()
    server = prometheus(made.gauge({"__name__": "load"}, made.grid(now - 9 * DAY, now, 300), Shape(1.0), rng))
    assert 7 * DAY <= oldest(Server(server.url), "load", now, 7 * DAY) < 8 * DAY


def test_what_is_not_there_has_no_age(prometheus):
    assert oldest(Server(prometheus().url), "load", time.time(), DAY) is None
