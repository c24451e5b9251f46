"""Histories as a real Prometheus gives them."""

from __future__ import annotations

import time

import numpy as np
import pytest
from historybed import series as made
from historybed.series import DAY, HOUR, Series

from perfrun_kernels.faults import UnmeasurableError
from perfrun_kernels.forecast.history import deployments, duration, read, resolve
from perfrun_kernels.forecast.parameters import Metric
from perfrun_kernels.prometheus import Server

MINUTE = 60.0


@pytest.fixture
def end():
    return np.floor(time.time() / MINUTE) * MINUTE


def gauge(end, values, name="load", days=2):
    times = made.grid(end - days * DAY, end + MINUTE, MINUTE)
    return Series({"__name__": name}, times, np.broadcast_to(values(times), times.shape).astype(float))


def asked(query="avg_over_time(load[$window])", unit="1/s"):
    return Metric("load", "Load", query, unit, HOUR)


def test_the_window_is_the_step_and_what_has_none_is_averaged_over_it():
    assert resolve("rate(x[$window])", 300) == "rate(x[300s])"
    assert resolve("x / y", 300) == "avg_over_time((x / y)[300s:15s])"


def test_a_history_is_the_mean_of_each_step_and_a_gap_is_missing(prometheus, end):
    series = made.without(gauge(end, lambda times: times % 3600), end - 5 * HOUR, end - 4 * HOUR)
    server = prometheus(series)
    found = read(Server(server.url), asked(), 2 * DAY, end + MINUTE)
    assert found.step_s == 300
    assert np.allclose(np.diff(found.at), 300)
    place = int(np.argmin(np.abs(found.at - (end - 10 * HOUR))))
    inside = (series.times > found.at[place] - 300) & (series.times <= found.at[place])
    assert found.values[place] == pytest.approx(series.values[inside].mean())
    missing = found.at[np.isnan(found.values)]
    assert missing.size == pytest.approx(12, abs=1)
    assert end - 5 * HOUR <= missing.min() <= missing.max() <= end - 4 * HOUR + 300


def test_the_server_is_asked_in_smaller_pieces_where_it_has_limits(prometheus, end):
    server = prometheus(gauge(end, lambda times: 1 + times % 7), flags=["--query.max-samples=1500"])
    found = read(Server(server.url), asked("load"), 2 * DAY, end + MINUTE)
    assert np.isfinite(found.values).mean() > 0.99
    assert len(server.asked()) > 2


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("nothing", "NoSuchMetric"),
        ("load * 0", "AllZero"),
        ("load / 0 - load / 0", "NotANumber"),
        ("-load", "NegativeRate"),
        ('load or label_replace(load, "other", "a", "", "")', "TooManySeries"),
        ("load[", "BadQuery"),
    ],
)
def test_what_cannot_be_foretold_says_why(prometheus, end, query, reason):
    server = prometheus(gauge(end, lambda times: 1 + times % 7))
    with pytest.raises(UnmeasurableError) as raised:
        read(Server(server.url), asked(query), 2 * DAY, end + MINUTE)
    assert raised.value.reason == reason


def test_values_of_the_future_are_refused(prometheus, end):
    server = prometheus(gauge(end, lambda times: 1 + times % 7))
    with pytest.raises(UnmeasurableError, match="after the server's present") as raised:
        read(Server(server.url), asked(), DAY, end - 6 * HOUR)
    assert raised.value.reason == "FutureHistory"


def test_a_history_that_ended_is_refused(prometheus, end):
    server = prometheus(gauge(end - 3 * HOUR, lambda times: 1 + times % 7))
    with pytest.raises(UnmeasurableError, match="old") as raised:
        read(Server(server.url), asked(), DAY, end)
    assert raised.value.reason == "StaleHistory"


def test_negative_values_are_fine_where_the_unit_allows_them(prometheus, end):
    server = prometheus(gauge(end, lambda times: times % 7 - 3))
    assert np.nanmin(read(Server(server.url), asked("load", unit="°C"), DAY, end).values) < 0


def test_deployments_are_where_a_query_changes(prometheus, end):
    at = end - 10 * HOUR
    server = prometheus(
        gauge(end, lambda times: 1 + times % 7), gauge(end, lambda times: np.where(times < at, 3, 4), "generation")
    )
    client = Server(server.url)
    history = read(client, asked(), 2 * DAY, end)
    [moment] = deployments(client, "max(generation)", history)
    assert abs(moment - at) <= history.step_s


def test_lengths_of_time_are_for_people():
    assert [duration(each) for each in (45, 300, 5400, 8.75 * DAY)] == ["45 s", "5 min", "1.5 h", "8.75 d"]
