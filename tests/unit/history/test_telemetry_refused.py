"""A Prometheus that is late, limited, partial or no Prometheus: the telemetry program says so and claims nothing."""

from __future__ import annotations

import socket

import pytest

PARAMETERS = {
    "period_s": 60.0, "window": "recorded", "completeness": 0.99,
    "rows": [{
        "key": "cpu", "name": "CPU utilization", "series": ["up"], "per": "any", "label": "", "interval_s": 1.0,
        "retention_s": 600.0,
    }],
}  # fmt: skip


def asked(url, timeout=10.0):
    return PARAMETERS | {"prometheus": {"url": url, "timeout_s": timeout}}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_nobody_there(measure):
    url = f"http://127.0.0.1:{free_port()}"
    result = measure("telemetry", asked(url), budget=5.0)
    assert (result.outcome, result.reason) == ("Unmeasurable", "MetricsUnavailable")
    assert url in result.message


def test_no_answer_in_time(prometheus, measure, between, changes):
    url = between(prometheus().url, changes["asleep"])
    result = measure("telemetry", asked(url, timeout=0.3), budget=5.0)
    assert (result.outcome, result.reason) == ("Unmeasurable", "MetricsTimeout")


def test_turned_away(prometheus, measure, between, changes):
    url = between(prometheus().url, changes["overloaded"])
    result = measure("telemetry", asked(url), budget=5.0)
    assert (result.outcome, result.reason) == ("Unmeasurable", "MetricsLimited")
    assert "tenant is over its limit" in result.message


def test_a_web_page(prometheus, measure, between):
    url = between(prometheus().url, lambda _path, _status, _body: (200, b"<html>log in</html>"))
    result = measure("telemetry", asked(url), budget=5.0)
    assert (result.outcome, result.reason) == ("Unmeasurable", "MetricsMalformed")


def test_warnings_are_handed_on(prometheus, measure, between, changes):
    url = between(prometheus().url, changes["warned"])
    result = measure("telemetry", asked(url))
    assert "partial data" in str(result.facts.get("warnings")) or "partial data" in result.message


def test_a_selector_that_is_none(prometheus, measure):
    parameters = asked(prometheus().url)
    parameters["rows"] = [parameters["rows"][0] | {"series": ["up{"]}]
    result = measure("telemetry", parameters)
    assert result.outcome != "Completed" or result.facts["cpu.reason"]
    assert "BadQuery" in (result.reason, result.facts.get("cpu.reason"))


@pytest.mark.parametrize(
    "wrong",
    [{"rows": []}, {"period_s": 0}, {"window": "tomorrow"}, {"completeness": 2}, {"prometheus": {}}, {"period": 5}],
    ids=lambda each: next(iter(each)),
)
def test_parameters_that_make_no_sense(measure, wrong):
    result = measure("telemetry", asked("http://127.0.0.1:1") | wrong)
    assert (result.outcome, result.reason) == ("Failed", "BadParameters")
    assert next(iter(wrong)) in result.message
