"""Bottlenecks of a real Prometheus' history, where it is known which resource is full at which throughput."""

from __future__ import annotations

import time

import pytest
from historybed.series import DAY
from historybed.world import World, build

from perfrun_kernels.bottlenecks import main
from perfrun_kernels.prometheus import Server

CPU = main.Resource('1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[$window]))')
THROUGHPUT = "sum(rate(http_request_duration_seconds_count[$window]))"
LATENCY = f"sum(rate(http_request_duration_seconds_sum[$window])) / {THROUGHPUT}"


@pytest.fixture
def asked(prometheus):
    now = time.time() // 300 * 300
    server = prometheus(*build(World(end=now, seconds=2 * DAY)), retention="7d")

    def ask(**resources):
        return main.rank(
            Server(server.url),
            main.Wanted({"CPU": CPU, **resources}, THROUGHPUT, LATENCY),
            now - 2 * DAY + 600,
            now - 600,
        )

    return ask


def test_the_resource_and_its_throughput_are_found(asked):
    ranking = asked(
        gone=main.Resource("nothing_of_this_name"),
        wrong=main.Resource("rate("),
        percent=main.Resource("vector(87)"),
    )
    first, *rest = ranking.resources
    # In this world use is 0.08 + throughput / 1000.
    assert first.name == "CPU"
    assert first.full_at.value == pytest.approx(920, rel=0.05)
    reasons = {each.name: each.missing.reason for each in rest}
    assert reasons == {"gone": "NoSuchMetric", "wrong": "BadQuery", "percent": "NoRatio"}
    assert main.draw(ranking).count("<svg") == 1


def test_scaling_follows_a_queue_whose_time_grows_with_use(asked):
    law = asked().law
    # Time is 20 ms / (1 − use): one request at a time would get some 1 / 0.02 s, and contention bounds the rest.
    assert law.sigma.value > 0
    assert law.peak is None or law.peak.value < 1000
