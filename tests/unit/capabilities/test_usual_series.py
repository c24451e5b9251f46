"""Where metrics usually are is said in PromQL: a real Prometheus reads all of it, and answers where there is data."""

from __future__ import annotations

import time

import numpy as np
import pytest
from historybed import series as made
from historybed.series import Shape

from perfrun.api.service import Service
from perfrun.api.target import TargetSpec
from perfrun.api.telemetry import Forecast, Foretold, Recorded, Telemetry
from perfrun.capabilities.usual_series import (
    FORETOLD,
    HISTORIES,
    RECORDED,
    RESOURCES,
    SERVED,
    foretold,
    histories,
    recorded,
)
from perfrun.capabilities.words import forecast, telemetry

RESOURCE_QUERIES = {
    f"{name} {part}": query
    for name, resource in RESOURCES.items()
    for part, query in (
        ("utilization", resource.utilization), ("saturation", resource.saturation), ("errors", resource.errors),
    )
    if query
}  # fmt: skip
QUERIES = {name: each.query for name, each in FORETOLD.items()} | RESOURCE_QUERIES
SINGLE = [query for _, queries in HISTORIES.values() for query in queries]


def test_every_metric_that_a_table_may_name_has_a_usual_place() -> None:
    assert set(RECORDED) == set(telemetry.METRICS)
    assert set(FORETOLD) == set(forecast.METRICS)


def test_a_target_comes_first_then_its_service() -> None:
    own, query = Recorded(series=("mine",)), Foretold(query="sum(mine)")
    serving = TargetSpec(service=Service(name="web"))
    told = serving.replace(
        telemetry=Telemetry(metrics={"Throughput": own}), forecast=Forecast(metrics={"Throughput": query})
    )
    assert [recorded(each, "Throughput") for each in (TargetSpec(), serving, told)] == [
        RECORDED["Throughput"], SERVED, own,
    ]  # fmt: skip
    assert [foretold(each, "Throughput") for each in (serving, told)] == [FORETOLD["Throughput"], query]
    assert histories(told, "Throughput") == (query,)
    assert [each.query for each in histories(serving, "Throughput")] == list(HISTORIES["Throughput"][1])


@pytest.fixture(scope="module")
def now() -> float:
    return time.time()


def test_a_real_server_reads_every_selector_and_query(prometheus, now):
    server = prometheus()
    selectors = [selector for each in (*RECORDED.values(), SERVED) for selector in each.series]
    for query in (*selectors, *(each.replace("$window", "5m") for each in (*QUERIES.values(), *SINGLE))):
        assert server.ask("query", query=query, time=now)["result"] == [], query


def test_queries_answer_with_one_series_or_one_for_each_node(prometheus, now):
    rng = np.random.default_rng(5)
    times = made.grid(now - 900, now, 15, rng)

    def counter(name, per_second, **labels):
        return made.counter({"__name__": name, **labels}, times, np.full(times.size, per_second))

    def gauge(name, value, **labels):
        return made.gauge({"__name__": name, **labels}, times, Shape(value, 0, 0, 0, 0), rng)

    nodes = [
        each
        for node in ("a:9100", "b:9100")
        for each in (
            # The kubelet says the same: of two sources one is taken.
            counter("container_cpu_usage_seconds_total", 0.9, node=node, id="/"),
            gauge("machine_cpu_cores", 1, node=node),
            counter("node_cpu_seconds_total", 0.6, instance=node, mode="idle", cpu="0"),
            counter("node_cpu_seconds_total", 0.4, instance=node, mode="user", cpu="0"),
            gauge("node_memory_MemAvailable_bytes", 6e9, instance=node),
            gauge("node_memory_MemTotal_bytes", 8e9, instance=node),
            counter("node_network_transmit_bytes_total", 25e6, instance=node, device="eth0"),
            counter("node_network_transmit_bytes_total", 99e6, instance=node, device="cali12"),
            gauge("node_network_speed_bytes", 125e6, instance=node, device="eth0"),
            counter("node_disk_io_time_seconds_total", 0.3, instance=node, device="vda"),
            gauge("node_load1", 3, instance=node),
        )
    ]
    http = [
        counter("http_request_duration_seconds_sum", 8.0, pod="web-0"),
        counter("http_request_duration_seconds_count", 40.0, pod="web-0"),
        counter("http_requests_total", 30.0, pod="web-0", code="200"),
        counter("http_requests_total", 10.0, pod="web-0", code="500"),
    ]
    server = prometheus(*nodes, *http)

    def answers(name):
        found = server.ask("query", query=QUERIES[name].replace("$window", "5m"), time=now)["result"]
        return [pytest.approx(float(each["value"][1]), rel=0.05) for each in found]

    assert answers("Response time") == [0.2]
    assert answers("Throughput") == [40]
    assert answers("Resource usage") == [0.8]
    assert answers("CPU utilization") == [0.4, 0.4]
    assert answers("CPU saturation") == [2, 2]
    assert answers("memory utilization") == [0.25, 0.25]
    assert answers("network utilization") == [0.2, 0.2]
    assert answers("disk utilization") == [0.3, 0.3]
