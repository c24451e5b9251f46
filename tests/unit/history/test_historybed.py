"""That a history is in a real Prometheus as it was made: the truth of the tests that read it."""

from __future__ import annotations

import time

import numpy as np
import pytest
from historybed import series as made
from historybed import world
from historybed.push import push
from historybed.series import DAY, HOUR, WEEK, Series, Shape

RNG = 7
NOW = 1_795_600_000.0


def rng():
    return np.random.default_rng(RNG)


def counted(times, rate=2.0):
    return made.counter({"__name__": "done_total", "pod": "web-0"}, times, rate)


def raw(server, selector, at, stretch):
    [found] = server.ask("query", query=f"{selector}[{stretch}]", time=at)["result"]
    times, values = np.array(found["values"], dtype=float).T
    return times, values


def test_every_sample_arrives_at_its_millisecond(prometheus):
    times = made.grid(NOW - 2 * HOUR, NOW, 15, rng(), jitter=1.0)
    series = made.gauge({"__name__": "load", "node": 'a"b\\c'}, times, Shape(3.0), rng())
    found_times, found_values = raw(prometheus(series), "load", NOW, "3h")
    assert found_times == pytest.approx(times, abs=5e-4)
    assert found_values == pytest.approx(series.values)


def test_what_befalls_a_series_is_seen_by_the_server(prometheus):
    times = made.grid(NOW - HOUR, NOW, 10)
    whole = counted(times)
    server = prometheus(
        made.reset(whole, NOW - 1800),
        made.without(whole.named(pod="gap"), NOW - 900, NOW - 600),
        made.replaced(whole.named(pod="nan"), NOW - 100, NOW, np.nan),
    )
    assert server.ask("query", query='resets(done_total{pod="web-0"}[1h])', time=NOW)["result"][0]["value"][1] == "1"
    gapped, _ = raw(server, 'done_total{pod="gap"}', NOW, "2h")
    assert np.diff(gapped).max() == pytest.approx(310)
    _, values = raw(server, 'done_total{pod="nan"}', NOW, "2h")
    assert np.isnan(values).sum() == 10


def test_a_reset_keeps_the_rate():
    times = made.grid(NOW - HOUR, NOW, 10)
    again = made.reset(counted(times, 5.0), NOW - 1800)
    grown = np.diff(again.values)
    assert sum(grown < 0) == 1
    assert np.median(grown) == pytest.approx(50)


def test_a_stale_marker_ends_a_series_at_once(prometheus):
    server, now = prometheus(), time.time()
    push(server.url, [Series({"__name__": "gone"}, np.array([now - 20, now - 10]), np.array([1.0, 2.0]))], now - 5)
    assert server.ask("query", query="gone", time=now - 7)["result"][0]["value"][1] == "2"
    assert server.ask("query", query="gone", time=now - 4)["result"] == []
    assert server.ask("query", query="count_over_time(gone[1m])", time=now)["result"][0]["value"][1] == "2"


def test_the_server_states_the_retention_that_it_was_given(prometheus):
    assert prometheus(retention="7d").ask("status/runtimeinfo")["storageRetention"] == "1w"
    assert prometheus(size="100MB").ask("status/runtimeinfo")["storageRetention"] == "60d or 100MiB"


def test_a_shape_has_its_level_seasons_and_trend():
    times = made.grid(NOW - 4 * WEEK, NOW, 600)
    quiet = made.follow(Shape(100.0, daily=0.5, weekly=0.2, trend=0.05, noise=0.0), times, rng())
    weekend = (times // DAY + 3) % 7 >= 5
    assert quiet[~weekend].mean() > quiet[weekend].mean() + 15
    assert quiet[-1008:].mean() == pytest.approx(quiet[:1008].mean() + 15, abs=1)
    noisy = made.follow(Shape(100.0, noise=0.1), times, rng()) / made.follow(Shape(100.0, noise=0.0), times, rng())
    assert np.log(noisy).std() == pytest.approx(0.1, rel=0.2)


def test_the_world_is_the_same_each_time_and_in_step():
    small = world.World(NOW, 12 * DAY, interval=300, troubles=world.TROUBLED)
    one, other = world.build(small), world.build(small)
    assert all(np.array_equal(left.values, right.values) for left, right in zip(one, other, strict=True))
    names = {each.labels["__name__"] for each in one}
    assert {"http_requests_total", "node_cpu_seconds_total", "probe_duration_seconds"} <= names
    gaps = [np.diff(each.times).max() for each in one]
    assert all(gap == pytest.approx(2 * HOUR, rel=0.1) for gap in gaps)
