"""System metrics and forecasts on a real cluster, verbatim: what was recorded of its nodes, and how well it foretells.

The hour that has passed is that of a second Prometheus, whose history is made for the cluster's own nodes; the one that
is observed, in the long tests, is that of the development cluster's own.
"""

from __future__ import annotations

import json
import os
import time
import urllib.parse
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from experiments import ROOT, applied, awaited, finished, told
from historybed import series as made
from historybed.series import DAY, HOUR, Series, Shape
from historybed.server import serving
from operators import operator

pytestmark = pytest.mark.cluster

FEATURE = (ROOT / "features" / "system_performance.feature").read_text()
EVERY = {
    "CPU utilization": ('node_cpu_seconds_total{mode="idle"}', 15),
    "Memory usage": ("node_memory_MemAvailable_bytes", 15),
    "Network latency": ('probe_icmp_duration_seconds{phase="rtt"}', 5),
    "Throughput": ('node_network_receive_bytes_total{device="eth0"}', 5),
    "Error rates": ('node_network_receive_errs_total{device="eth0"}', 1),
}
"""The rows that can pass without a GPU: the series that is taken by default, and its interval in seconds."""

RESTLESS = Shape(100.0, daily=0.4, weekly=0.1, noise=0.05, memory=0.9995)
HOPELESS = Shape(100.0, daily=0.3, noise=0.6, memory=0.99)
FORETOLD = {"Response time": RESTLESS, "Resource usage": RESTLESS, "Throughput": HOPELESS}
"""What changes within days can be foretold an hour ahead, and what changes within hours cannot be a day ahead."""

DAYS = 15
RECORDED = {"window": "recorded", "completeness": 0.95}
"""What is made ends with the making, and the hour that is judged a minute later, when its pod has started."""


@pytest.fixture
def working(kubeconfig: Path, namespace: str):
    """An operator for this namespace."""
    with operator(kubeconfig, namespace, PERFRUN_LEASE_NAMESPACE=namespace) as it:
        yield it


@pytest.fixture(scope="module")
def nodes(kubectl):
    return tuple(kubectl("get", "nodes", "--output", "jsonpath={.items[*].metadata.name}").split())


def of_nodes(nodes, now, hours, missing=()):
    """Return what a Prometheus has of these nodes, but for pairs of a type of metric and a node that are missing."""
    rng = np.random.default_rng(1)
    for name, (selector, interval) in EVERY.items():
        metric, _, rest = selector.rstrip("}").partition("{")
        labels = {label: value.strip('"') for label, value in (each.split("=") for each in rest.split(",") if each)}
        times = made.grid(now - hours * HOUR, now, interval, rng, jitter=0.01)
        for node in nodes:
            if (name, node) not in missing:
                yield made.gauge({"__name__": metric, "node": node, "job": "node", **labels}, times, Shape(5.0), rng)


def of_the_past(now):
    rng = np.random.default_rng(2)
    for name, shape in FORETOLD.items():
        times = made.grid(now - DAYS * DAY, now, 60.0, rng, jitter=0.01)
        yield Series({"__name__": "past", "what": name}, times, made.follow(shape, times, rng))


def target(name, url, telemetry):
    foretold = {each: {"query": f'avg_over_time(past{{what="{each}"}}[$window])', "unit": "1/s"} for each in FORETOLD}
    return {
        "apiVersion": "perfrun.dev/v1alpha1", "kind": "PerfTarget", "metadata": {"name": name},
        "spec": {
            "prometheus": {"url": url, "timeout": "30s"}, "telemetry": telemetry,
            "forecast": {"metrics": foretold, "lookback": f"{DAYS}d"},
        },
    }  # fmt: skip


def scenario(number):
    """Return a scenario of the feature, verbatim; the first is 0."""
    head, *scenarios = FEATURE.split("\n\n")
    return f"{head}\n\n{scenarios[number]}\n"


def rows(run, number=0):
    """Return the rows of a scenario's table, by the first cell of each."""
    steps = [each for each in run["status"]["scenarios"][number]["steps"] if each["keyword"] == "Then"]
    return {name: each for each in steps for name in (*EVERY, "GPU utilization", *FORETOLD) if name in each["text"]}


def verdicts(found):
    return {name: each["verdict"] for name, each in found.items()}


def test_the_hour_that_was_recorded_passes_but_for_gpus_and_the_past_foretells(kubectl, namespace, nodes, working):
    now = time.time()
    history = [*of_nodes(nodes, now, 1.2), *of_the_past(now)]
    with serving(history, retention="30d", address=os.environ["PERFRUN_TEST_HOST"]) as server:
        name = applied(kubectl, namespace, FEATURE, target("recorded", server.url, RECORDED))
        run = awaited(kubectl, namespace, name, finished, 240, working)
    recorded, foretold = rows(run), rows(run, 1)
    assert verdicts(recorded) == {**dict.fromkeys(EVERY, "Pass"), "GPU utilization": "Inconclusive"}, told(run)
    for each, (_, interval) in EVERY.items():
        assert recorded[each]["value"] == pytest.approx(interval, rel=0.02), told(run)
    assert verdicts(foretold) == {"Response time": "Pass", "Resource usage": "Pass", "Throughput": "Fail"}, told(run)
    assert foretold["Throughput"]["value"] > 10, told(run)
    kept = json.loads(kubectl("get", "perfforecasts", "--namespace", namespace, "--output", "json"))["items"]
    assert {each["spec"]["metric"] for each in kept} == set(FORETOLD), kept
    assert run["status"]["verdict"] == "Fail", told(run)


def test_who_is_not_recorded_is_named_and_too_short_a_history_is_no_verdict(kubectl, namespace, nodes, working):
    now = time.time()
    missing = {("Network latency", nodes[-1])}
    with serving(of_nodes(nodes, now, 1.2, missing), retention="3d", address=os.environ["PERFRUN_TEST_HOST"]) as server:
        name = applied(kubectl, namespace, scenario(0), target("missing", server.url, RECORDED))
        run = awaited(kubectl, namespace, name, finished, 120, working)
    found = rows(run)
    assert found["Network latency"]["verdict"] == "Fail", told(run)
    assert found["Network latency"]["reason"] == "MissingSeries", told(run)
    assert nodes[-1] in found["Network latency"]["message"], told(run)
    assert found["Throughput"]["reason"] == "RetentionTooShort", told(run)
    with serving(of_nodes(nodes, now, 0.2), retention="30d", address=os.environ["PERFRUN_TEST_HOST"]) as server:
        name = applied(kubectl, namespace, scenario(0), target("short", server.url, RECORDED))
        run = awaited(kubectl, namespace, name, finished, 120, working)
    assert set(verdicts(rows(run)).values()) == {"Inconclusive"}, told(run)
    assert rows(run)["Throughput"]["reason"] == "ShortHistory", told(run)


def prometheus_of(kubectl):
    """The development cluster's own, from this machine."""
    slices = kubectl("get", "endpointslices", "--namespace", "monitoring", "--output", "json")
    [address] = {
        address
        for each in json.loads(slices)["items"]
        for endpoint in each["endpoints"]
        for address in endpoint["addresses"]
    }
    return f"http://{address}:9090"


def ask(url, query):
    address = f"{url}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    with urllib.request.urlopen(address, timeout=10) as answer:  # noqa: S310 -- an address of the cluster
        return json.load(answer)["data"]["result"]


def test_the_clusters_own_prometheus_has_every_row_of_every_node(kubectl, nodes):
    """Twenty seconds of it; what an hour of it is judged as, is a long test."""
    url, deadline = prometheus_of(kubectl), time.monotonic() + 60
    for selector, interval in EVERY.values():
        while True:
            found = {
                each["metric"]["node"]: float(each["value"][1])
                for each in ask(url, f"count by (node) (count_over_time({selector}[20s]) >= {20 // interval - 1})")
            }
            if set(found) == set(nodes) or time.monotonic() > deadline:
                break
            time.sleep(1)
        assert set(found) == set(nodes), selector


@pytest.mark.full
@pytest.mark.timeout(5400)
def test_an_hour_of_the_clusters_own_prometheus_is_observed_and_passes_but_for_gpus(kubectl, namespace, working):
    own = target("observed", "http://prometheus.monitoring.svc:9090", {"window": "observed"})
    name = applied(kubectl, namespace, scenario(0), own, timeout="90m")
    run = awaited(kubectl, namespace, name, finished, 5000, working)
    found = rows(run)
    assert verdicts(found) == {**dict.fromkeys(EVERY, "Pass"), "GPU utilization": "Inconclusive"}, told(run)
    began, ended = (np.datetime64(run["status"][each].rstrip("Z")) for each in ("startedAt", "finishedAt"))
    assert ended - began > np.timedelta64(3600, "s")
