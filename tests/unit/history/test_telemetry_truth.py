"""The telemetry program against a real Prometheus whose history is known to the sample."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from historybed import series as made
from historybed.push import push
from historybed.series import DAY, HOUR, Series, Shape

NODES = ("node-1", "node-2", "node-3")


def row(**changed):
    return {
        "key": "cpu", "name": "CPU utilization", "series": ["load"], "per": "node", "label": "node",
        "interval_s": 15.0, "retention_s": 7 * DAY, **changed,
    }  # fmt: skip


def asked(url, *rows, nodes=NODES, gpus=0, **changed):
    return {
        "prometheus": {"url": url, "timeout_s": 10.0}, "period_s": HOUR, "window": "recorded", "completeness": 0.99,
        "rows": list(rows) or [row()],
        "expected": {"nodes": [{"name": each, "since": 0.0, "gpus": gpus} for each in nodes], "pods": []},
        **changed,
    }  # fmt: skip


@pytest.fixture
def now():
    return time.time()


@pytest.fixture
def load(now, rng):
    """One series of a node, every 15 s for more than the hour that is judged."""

    def make(node="node-1", interval=15.0, jitter=0.0, seconds=2 * HOUR, name="load"):
        # On past the present, for the program begins a moment after the data are made.
        times = made.grid(now - seconds, now + 2 * interval, interval, rng, jitter)
        return made.gauge({"__name__": name, "node": node}, times, Shape(1.0), rng)

    return make


def values(result):
    assert result.outcome == "Completed", (result.reason, result.message)
    return {name: each.value for name, each in result.scalars.items()}


def test_what_is_recorded_as_stated_is_found_so(prometheus, load, measure, attached):
    server = prometheus(*(load(node) for node in NODES), retention="7d")
    result = measure("telemetry", asked(server.url))
    found = values(result)
    assert found["cpu.interval"] == pytest.approx(15.0, rel=0.01)
    assert (found["cpu.present"], found["cpu.expected"], found["cpu.series"]) == (3, 3, 3)
    assert found["cpu.complete"] >= 0.99
    assert (found["cpu.gaps"], found["cpu.resets"], found["cpu.duplicates"]) == (0, 0, 0)
    assert found["cpu.jitter"] == pytest.approx(0, abs=0.01)
    assert found["cpu.oldest"] == pytest.approx(2 * HOUR, abs=900)
    assert found["retention.configured"] == 7 * DAY
    assert result.facts["window"] == "recorded"
    assert result.facts["cpu.reason"] == ""
    assert result.facts["cpu.missing"] == ""
    assert any(attached(result, name).lstrip().startswith(b"<svg") for name in result.attachments)


@pytest.mark.parametrize("interval", [1.0, 5.0, 30.0])
def test_the_interval_is_the_observed_one(prometheus, load, measure, interval):
    server = prometheus(*(load(node, interval) for node in NODES))
    # It is given to the hundredth part of what is stated.
    assert values(measure("telemetry", asked(server.url)))["cpu.interval"] == pytest.approx(interval, abs=0.075)


def test_the_worst_series_decides(prometheus, load, measure):
    server = prometheus(load("node-1"), load("node-2"), load("node-3", 60.0))
    assert values(measure("telemetry", asked(server.url)))["cpu.interval"] == pytest.approx(60.0, rel=0.01)


def test_jitter_is_told_apart_from_gaps(prometheus, load, measure):
    server = prometheus(*(load(node, jitter=3.0) for node in NODES))
    found = values(measure("telemetry", asked(server.url)))
    assert found["cpu.interval"] == pytest.approx(15.0, rel=0.05)
    assert 3.0 < found["cpu.jitter"] < 6.0
    assert found["cpu.gaps"] == 0


def test_a_gap_is_listed_with_its_series_and_times(prometheus, load, measure, attached, now):
    holed = made.without(load("node-2"), now - 1800, now - 1500)
    server = prometheus(load("node-1"), holed, load("node-3"))
    result = measure("telemetry", asked(server.url))
    found = values(result)
    assert found["cpu.gaps"] == 1
    assert found["cpu.complete"] == pytest.approx(1 - 300 / 3600, abs=0.01)
    [listing] = [attached(result, name) for name, each in result.attachments.items() if "json" in each.media_type]
    assert b"node-2" in json.dumps(json.loads(listing)).encode()
    assert found["cpu.interval"] == pytest.approx(15.0, rel=0.01)


def test_who_has_no_series_is_named(prometheus, load, measure):
    result = measure("telemetry", asked(prometheus(load("node-1"), load("node-3")).url))
    found = values(result)
    assert (found["cpu.present"], found["cpu.expected"]) == (2, 3)
    assert result.facts["cpu.missing"] == "node-2"


def test_a_node_that_stopped_long_ago_is_not_recorded(prometheus, load, measure, now):
    ended = made.between(load("node-2"), 0, now - 1.5 * HOUR)
    result = measure("telemetry", asked(prometheus(load("node-1"), ended, load("node-3")).url))
    assert values(result)["cpu.present"] == 2
    assert "node-2" in result.facts["cpu.missing"]


def test_no_such_metric_is_said_and_never_complete(prometheus, load, measure):
    server = prometheus(load())
    result = measure("telemetry", asked(server.url, row(series=["nothing_of_the_kind", "nor_this"])))
    assert result.facts["cpu.reason"] == "NoSuchMetric"
    assert values(result)["cpu.interval"] is None
    assert result.scalars["cpu.interval"].reason


def test_without_a_gpu_node_there_is_nobody_who_should_have_a_series(prometheus, load, measure):
    server = prometheus(*(load(node) for node in NODES))
    gpu = row(key="gpu", name="GPU utilization", series=["DCGM_FI_DEV_GPU_UTIL"], per="gpuNode")
    result = measure("telemetry", asked(server.url, row(), gpu))
    assert result.facts["gpu.reason"] in ("NoGPUNode", "NoSuchMetric")
    assert values(result)["cpu.present"] == 3


def test_a_gpu_node_without_a_series_is_missing(prometheus, load, measure):
    server = prometheus(*(load(node) for node in NODES[:2]))
    result = measure("telemetry", asked(server.url, row(per="gpuNode"), gpus=1))
    assert (values(result)["cpu.present"], values(result)["cpu.expected"]) == (2, 3)
    assert result.facts["cpu.missing"] == "node-3"


def test_a_counter_that_began_anew_is_counted(prometheus, measure, now):
    times = made.grid(now - 2 * HOUR, now + 30, 15)
    counters = [made.counter({"__name__": "done_total", "node": each}, times, 2.0) for each in NODES]
    server = prometheus(made.reset(counters[0], now - 1000), *counters[1:])
    assert values(measure("telemetry", asked(server.url, row(series=["done_total"]))))["cpu.resets"] == 1


def test_a_gauge_that_falls_is_no_reset(prometheus, load, measure):
    server = prometheus(*(load(node) for node in NODES))
    assert values(measure("telemetry", asked(server.url)))["cpu.resets"] == 0


def test_two_series_of_one_truth_are_duplicates(prometheus, load, measure):
    one = load("node-1")
    twins = (one.named(replica="a"), one.named(replica="b"))
    result = measure("telemetry", asked(prometheus(*twins, load("node-2"), load("node-3")).url))
    assert values(result)["cpu.duplicates"] >= 1


def test_a_series_that_went_stale_is_told_apart_from_one_with_a_hole(prometheus, measure, now):
    server = prometheus()
    for node in NODES:
        times = made.grid(now - 300, now - 60, 1)
        went = [Series({"__name__": "load", "node": node}, times, np.ones_like(times))]
        push(server.url, went, stale_at=now - 59 if node == "node-2" else None)
        back = made.grid(now - 40, now + 30, 1)
        push(server.url, [Series({"__name__": "load", "node": node}, back, np.ones_like(back))])
    result = measure("telemetry", asked(server.url, row(interval_s=1.0), period_s=200.0))
    assert values(result)["cpu.gaps"] == 3
    assert values(result)["cpu.stale"] == 1


def test_a_clock_that_is_ahead_is_found(prometheus, load, measure):
    ahead = made.delayed(load("node-2"), 120)
    found = values(measure("telemetry", asked(prometheus(load("node-1"), ahead, load("node-3")).url)))
    assert found["cpu.skew"] == pytest.approx(120, abs=35)


@pytest.mark.parametrize(("retention", "seconds"), [("3d", 3 * DAY), ("30d", 30 * DAY)])
def test_retention_is_the_servers_own(prometheus, load, measure, retention, seconds):
    result = measure("telemetry", asked(prometheus(*map(load, NODES), retention=retention).url))
    assert values(result)["retention.configured"] == seconds
    assert not result.facts["retention.size_limited"]


def test_a_limit_of_bytes_may_end_history_before_its_time(prometheus, load, measure):
    result = measure("telemetry", asked(prometheus(*map(load, NODES), retention="30d", size="1GB").url))
    assert result.facts["retention.size_limited"]


def test_a_server_that_only_knows_queries_has_no_known_retention(prometheus, load, measure, between, changes):
    url = between(prometheus(*map(load, NODES)).url, changes["bare"])
    result = measure("telemetry", asked(url))
    assert values(result)["retention.configured"] is None
    assert result.facts["retention.why"]
    assert values(result)["cpu.present"] == 3


def test_an_hour_means_an_hour(prometheus, load, measure):
    server = prometheus(*(load(node, seconds=900) for node in NODES))
    result = measure("telemetry", asked(server.url))
    short = result.outcome == "Unmeasurable" or result.facts["cpu.reason"] == "ShortHistory"
    assert short or values(result)["cpu.complete"] < 0.5


def test_a_history_that_lies_in_the_future_is_none(prometheus, load, measure):
    server = prometheus(*(made.delayed(load(node), 3 * HOUR) for node in NODES))
    result = measure("telemetry", asked(server.url))
    assert result.outcome == "Unmeasurable" or not result.scalars["cpu.present"].value
    assert result.reason or result.facts["cpu.reason"]


def test_what_has_no_history_yet_is_observed_for_the_whole_period(prometheus, measure):
    server = prometheus(scrape=[{"job_name": "self", "static_configs": [{"targets": ["localhost:1"]}]}])
    while not server.ask("query", query="up")["result"]:
        time.sleep(0.1)
    began = time.time()
    result = measure(
        "telemetry", asked(server.url, row(series=["up"], per="any", interval_s=1.0), period_s=6.0, window="auto")
    )
    assert time.time() - began >= 6.0
    assert result.facts["window"] == "observed"
    assert values(result)["cpu.interval"] == pytest.approx(1.0, rel=0.1)
    assert values(result)["cpu.complete"] >= 0.8


def test_auto_takes_the_recorded_hour_where_there_is_one(prometheus, load, measure):
    result = measure("telemetry", asked(prometheus(*map(load, NODES)).url, window="auto"))
    assert result.facts["window"] == "recorded"
