"""Whose series there should be, in a real Prometheus: pods, young nodes, one with several series, odd values."""

from __future__ import annotations

import time

import numpy as np
import pytest
from historybed import series as made
from historybed.series import DAY, HOUR, Series


@pytest.fixture
def now():
    return time.time()


def steady(now, interval=15.0, value=1.0, **labels):
    times = made.grid(now - 1.5 * HOUR, now + interval, interval)
    return Series({"__name__": "load", **labels}, times, np.full_like(times, value))


def asked(url, per="node", label="", nodes=(), pods=()):
    return {
        "prometheus": {"url": url, "timeout_s": 10.0}, "period_s": HOUR, "window": "recorded", "completeness": 0.99,
        "rows": [{
            "key": "load", "name": "Load", "series": ["load"], "per": per, "label": label, "interval_s": 15.0,
            "retention_s": 7 * DAY,
        }],
        "expected": {"nodes": list(nodes), "pods": list(pods)},
    }  # fmt: skip


def node(name, since=0.0):
    return {"name": name, "since": since, "gpus": 0}


def values(result):
    assert result.outcome == "Completed", (result.reason, result.message)
    return {name: each.value for name, each in result.scalars.items()}


def test_pods_are_told_by_the_usual_label(prometheus, measure, now):
    server = prometheus(steady(now, pod="web-0"), steady(now, pod="web-1"), steady(now, pod="other"))
    pods = [{"name": name, "node": "node-1", "since": 0.0} for name in ("web-0", "web-1", "web-2")]
    result = measure("telemetry", asked(server.url, per="pod", pods=pods))
    assert (values(result)["load.present"], values(result)["load.expected"]) == (2, 3)
    assert result.facts["load.missing"] == "web-2"


@pytest.mark.parametrize("labels", [{"instance": "node-1:9100"}, {"kubernetes_io_hostname": "node-1"}])
def test_nodes_are_told_by_what_exporters_call_them(prometheus, measure, now, labels):
    result = measure("telemetry", asked(prometheus(steady(now, **labels)).url, nodes=[node("node-1")]))
    assert values(result)["load.present"] == 1


def test_a_label_that_is_stated_is_the_only_one(prometheus, measure, now):
    server = prometheus(steady(now, node="proxy", rack_name="node-1"))
    right = measure("telemetry", asked(server.url, label="rack_name", nodes=[node("node-1")]))
    assert values(right)["load.present"] == 1
    wrong = measure("telemetry", asked(server.url, label="node", nodes=[node("node-1")]))
    assert values(wrong).get("load.present") in (0, None)


def test_a_node_that_came_late_is_not_blamed_for_what_was_before(prometheus, measure, now):
    young = made.between(steady(now, node="node-2"), now - 1200, np.inf)
    server = prometheus(steady(now, node="node-1"), young)
    result = measure("telemetry", asked(server.url, nodes=[node("node-1"), node("node-2", since=now - 1230)]))
    assert values(result)["load.present"] == 2
    assert values(result)["load.complete"] >= 0.98


def test_the_worst_of_a_nodes_series_decides(prometheus, measure, now):
    server = prometheus(steady(now, node="node-1", cpu="0"), steady(now, interval=45.0, node="node-1", cpu="1"))
    assert values(measure("telemetry", asked(server.url, nodes=[node("node-1")])))["load.interval"] == 45


@pytest.mark.parametrize("value", [0.0, -5.0, np.inf, np.nan], ids=str)
def test_what_is_recorded_is_recorded_whatever_its_values_are(prometheus, measure, now, value):
    found = values(
        measure("telemetry", asked(prometheus(steady(now, value=value, node="node-1")).url, nodes=[node("node-1")]))
    )
    if np.isnan(value):
        # Whether a NaN is a sample is a matter of taste; that a claim is made of it without a word is not.
        assert found["load.complete"] is None or found["load.complete"] <= 1
    else:
        assert found["load.complete"] >= 0.99
    assert found["load.present"] in (0, 1)


@pytest.mark.parametrize("count", [1, 3])
def test_a_few_samples_are_no_hour(prometheus, measure, now, count):
    few = made.between(steady(now, node="node-1"), now - 15 * count, np.inf)
    result = measure("telemetry", asked(prometheus(few).url, nodes=[node("node-1")]))
    if result.outcome == "Completed":
        assert result.facts["load.reason"]
