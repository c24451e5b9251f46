"""A Prometheus that is late, limited or partial: the forecast program says so and foretells nothing."""

from __future__ import annotations

import socket
import time

import numpy as np
import pytest
from historybed import series as made
from historybed.series import DAY, HOUR, Shape

from perfrun_kernels.forecast import main

METRIC = {
    "key": "load", "name": "Load", "query": "avg_over_time(load[$window])", "unit": "1/s", "horizon_s": HOUR,
}  # fmt: skip


def asked(url, timeout=10.0, **changed):
    return {
        "prometheus": {"url": url, "timeout_s": timeout}, "metrics": [METRIC], "lookback_s": 3 * DAY, "windows": 5,
        "confidence": 0.99, "deployments": "", "resources": {}, "throughput": "", "latency": "", "concurrency": "",
        **changed,
    }  # fmt: skip


@pytest.fixture
def few_days(prometheus, rng):
    """Start a Prometheus with some quiet days."""

    def start(days=3.0, **options):
        times = made.grid(time.time() - days * DAY, time.time(), 60)
        return prometheus(made.gauge({"__name__": "load"}, times, Shape(10.0), rng), **options)

    return start


def says(result):
    """Return all reasons that a result gives, its own and its metric's."""
    return {result.reason, result.facts.get("load.reason", "")} - {""}


def claims(result):
    return "load.wape" in result.scalars and result.scalars["load.wape"].value is not None


def test_nobody_there(measure, monkeypatch):
    monkeypatch.setattr(main, "_PATIENCE_SECONDS", 1.0)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    result = measure("forecast", asked(url), budget=5.0)
    assert says(result) == {"MetricsUnavailable"}
    assert not claims(result)


def test_no_answer_in_time(few_days, measure, between, changes):
    result = measure("forecast", asked(between(few_days().url, changes["asleep"]), timeout=0.3), budget=5.0)
    assert says(result) == {"MetricsTimeout"}
    assert not claims(result)


def test_turned_away(few_days, measure, between, changes):
    result = measure("forecast", asked(between(few_days().url, changes["overloaded"])), budget=5.0)
    assert says(result) == {"MetricsLimited"}
    assert not claims(result)


def test_a_query_that_would_load_too_many_samples(few_days, measure):
    result = measure("forecast", asked(few_days(flags=["--query.max-samples=10"]).url), budget=5.0)
    assert says(result) == {"MetricsLimited"}
    assert not claims(result)


def test_a_query_that_is_none(few_days, measure):
    result = measure("forecast", asked(few_days().url, metrics=[METRIC | {"query": "rate(load["}]))
    assert says(result) == {"BadQuery"}
    assert not claims(result)


def test_warnings_are_handed_on(few_days, measure, between, changes):
    result = measure("forecast", asked(between(few_days(days=0.1).url, changes["warned"])))
    assert "partial data" in str(result.facts.get("warnings")) + result.message


@pytest.mark.parametrize(
    "wrong",
    [{"metrics": []}, {"windows": 0}, {"lookback_s": -1}, {"confidence": 1.5}, {"prometheus": {}}, {"future": True}],
    ids=lambda each: next(iter(each)),
)
def test_parameters_that_make_no_sense(measure, wrong):
    result = measure("forecast", asked("http://127.0.0.1:1") | wrong)
    assert (result.outcome, result.reason) == ("Failed", "BadParameters")
    assert next(iter(wrong)) in result.message


def test_infinity_is_no_number_to_foretell(prometheus, measure):
    times = made.grid(time.time() - 3 * DAY, time.time(), 60)
    endless = made.Series({"__name__": "load"}, times, np.full_like(times, np.inf))
    result = measure("forecast", asked(prometheus(endless).url))
    assert not claims(result)
    assert says(result) <= {"NotANumber", "EmptySeries"}
    assert says(result)
