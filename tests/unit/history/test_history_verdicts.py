"""From a feature and a history with known truth to verdicts, through ``perfrun run`` and a real Prometheus."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from historybed import series as made
from historybed.series import DAY, HOUR, Shape
from historybed.server import serving

from perfrun.cli.stop import EXIT_CODES

ROOT = Path(__file__).parents[3]
NODES = ("node-1", "node-2", "node-3")
NODE_JOB = {
    "job_name": "node", "scrape_interval": "1h", "scrape_timeout": "1s",
    "static_configs": [{"targets": [f"localhost:{place + 1}"], "labels": {"node": node}}
                       for place, node in enumerate(NODES)],
}  # fmt: skip
"""What the server is told to scrape: so it is known whose series should be there. Nobody answers."""

RECORDED = """
  Scenario: {name}
    Given the monitoring system is configured
    When collecting metrics for 1 hour
    Then the following metrics should be recorded:
      | metric_type | sampling_rate | retention_period |
      | {name}      | 15s           | {kept}           |
"""
FORETOLD = """
  Scenario: {name}
    Given historical performance data
    When building a performance model
    Then prediction accuracy should be within 10% for:
      | metric | prediction_window |
      | {name} | 1h                |
"""


def judged(folder, feature, spec, *options):
    """Return the verdict and reason of each scenario's last step by the scenario's name, and the whole status."""
    (folder / "it.feature").write_text(feature)
    target = {"apiVersion": "perfrun.dev/v1alpha1", "kind": "PerfTarget", "metadata": {"name": "it"}, "spec": spec}
    (folder / "target.yaml").write_text(yaml.safe_dump(target))
    command = [sys.executable, "-m", "perfrun.cli", "run", "it.feature", "--target", "target.yaml", "--format", "json"]
    done = subprocess.run([*command, *options], cwd=folder, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr[-2000:]
    status = json.loads(done.stdout)["status"]
    assert done.returncode == EXIT_CODES[status["verdict"]]
    return {each["name"]: last(each["steps"]) for each in status["scenarios"]}, status


def last(steps):
    """Return the last step that was judged, with the reason of its verdict."""
    step = steps[-1]
    return step["verdict"], step.get("reason", ""), step


def verdicts(found):
    return {name: verdict for name, (verdict, _, _) in found.items()}


def series(name, interval, now, rng, node, **labels):
    times = made.grid(now - 1.5 * HOUR, now + interval, interval, rng, jitter=0.01)
    return made.gauge({"__name__": name, "node": node, "job": "node", **labels}, times, Shape(1.0), rng)


KINDS = {
    "stated": ("Pass", "LimitMet"),
    "seldom": ("Fail", "LimitExceeded"),
    "holed": ("Fail", "Gaps"),
    "absent": ("Fail", "MissingSeries"),
    "nothing": ("Inconclusive", "NoSuchMetric"),
    "short": ("Inconclusive", "ShortHistory"),
}
"""What is recorded in which way, and what is to be said of it."""


def recorded(now):
    rng = np.random.default_rng(3)
    found = []
    for name in KINDS:
        for node in NODES:
            one = series(name, 30 if name == "seldom" else 15, now, rng, node)
            if name == "holed" and node == "node-2":
                one = made.without(one, now - 2000, now - 1500)
            if name == "short":
                one = made.between(one, now - 600, np.inf)
            if name != "nothing" and not (name == "absent" and node == "node-3"):
                found.append(one)
    return found


def spec(url, **telemetry):
    return {"prometheus": {"url": url, "timeout": "20s"}, "telemetry": {"window": "recorded", **telemetry}}


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    now = time.time()
    feature = "Feature: Recorded\n" + "".join(RECORDED.format(name=each, kept="7d") for each in KINDS)
    metrics = {each: {"series": [each], "per": "node", "label": "node"} for each in KINDS}
    with serving(recorded(now), retention="30d", scrape=[NODE_JOB]) as server:
        return judged(tmp_path_factory.mktemp("told"), feature, spec(server.url, metrics=metrics))


@pytest.mark.parametrize("name", KINDS)
def test_what_is_recorded_is_judged_as_it_is(told, name):
    verdict, reason, step = told[0][name]
    assert (verdict, reason) == KINDS[name], step["message"]


def test_a_fail_names_who_is_not_recorded_and_when_it_had_gaps(told):
    assert "node-3" in told[0]["absent"][2]["message"]
    assert "node-2" in json.dumps(told[0]["holed"][2])


def test_the_number_is_the_observed_interval_beside_the_stated_one(told):
    step = told[0]["seldom"][2]
    assert json.dumps(step).count("30")
    assert step["limit"] == 15


@pytest.mark.parametrize(
    ("options", "verdict", "reason"),
    [
        ({"retention": "3d"}, "Fail", "RetentionTooShort"),
        ({"retention": "30d", "size": "1GB"}, "Inconclusive", "RetentionUnproven"),
    ],
    ids=["short", "by size"],
)
def test_retention_is_promised_too(tmp_path, options, verdict, reason):
    now, rng = time.time(), np.random.default_rng(3)
    one = [series("stated", 15, now, rng, node) for node in NODES]
    metrics = {"stated": {"series": ["stated"], "per": "node", "label": "node"}}
    with serving(one, **options) as server:
        feature = "Feature: Kept\n" + RECORDED.format(name="stated", kept="7d")
        found, _ = judged(tmp_path, feature, spec(server.url, metrics=metrics))
    assert found["stated"][:2] == (verdict, reason)


@pytest.mark.parametrize(
    ("change", "reason"),
    [("warned", "PartialData"), ("asleep", "MetricsTimeout"), ("overloaded", "MetricsLimited")],
)
def test_a_server_that_cannot_be_relied_on_never_gets_a_pass(tmp_path, prometheus, between, changes, change, reason):
    now, rng = time.time(), np.random.default_rng(3)
    server = prometheus(*(series("stated", 15, now, rng, node) for node in NODES))
    wanted = spec(between(server.url, changes[change]), metrics={"stated": {"series": ["stated"]}})
    wanted["prometheus"]["timeout"] = "1s"
    found, status = judged(tmp_path, "Feature: Partial\n" + RECORDED.format(name="stated", kept="7d"), wanted)
    assert status["verdict"] == "Inconclusive"
    assert found["stated"][:2] == ("Inconclusive", reason)


USUAL = {
    "node_cpu_seconds_total": (15, {"mode": "idle", "cpu": "0"}),
    "node_memory_MemAvailable_bytes": (15, {}),
    "probe_icmp_duration_seconds": (5, {"phase": "rtt"}),
    "node_network_receive_bytes_total": (5, {"device": "eth0"}),
    "node_network_receive_errs_total": (1, {"device": "eth0"}),
}  # fmt: skip


def test_the_feature_verbatim_passes_but_for_the_gpus_that_nobody_has(tmp_path):
    now, rng = time.time(), np.random.default_rng(3)
    usual = [
        series(name, interval, now, rng, node, **labels)
        for name, (interval, labels) in USUAL.items()
        for node in NODES
    ]  # fmt: skip
    feature = (ROOT / "features" / "system_performance.feature").read_text()
    with serving(usual, retention="7d") as server:
        _, status = judged(tmp_path, feature, spec(server.url), "--tags", "@metrics")
    [scenario] = [each for each in status["scenarios"] if each["name"] == "Performance Data Collection"]
    rows = [each for each in scenario["steps"] if each.get("limit") is not None or "GPU" in json.dumps(each)]
    said = {name: [each["verdict"] for each in rows if name in json.dumps(each)] for name in ("CPU", "GPU", "Error")}
    assert said["GPU"] == ["Inconclusive"]
    assert said["CPU"] == said["Error"] == ["Pass"]
    assert scenario["verdict"] == "Inconclusive"


def histories(now):
    rng = np.random.default_rng(5)
    times = made.grid(now - 12 * DAY, now, 60)
    restless = made.follow(Shape(100.0, daily=0.3, weekly=0.1, noise=0.1, memory=0.9995), times, rng)
    hopeless = made.follow(Shape(100.0, daily=0.3, weekly=0.1, noise=0.8, memory=0.0), times, rng)
    found = {"foretold": restless, "hopeless": hopeless, "young": restless}
    made_of = [made.Series({"__name__": name}, times, values) for name, values in found.items()]
    return [*made_of[:2], made.between(made_of[2], now - 3 * HOUR, np.inf)]


@pytest.mark.full
def test_forecasts_pass_fail_and_stay_open(tmp_path):
    expected = {"foretold": "Pass", "hopeless": "Fail", "young": "Inconclusive", "nothing": "Inconclusive"}
    wanted = {each: {"query": f"avg_over_time({each}[$window])", "unit": "1/s"} for each in expected}
    feature = "Feature: Foretold\n" + "".join(FORETOLD.format(name=each) for each in expected)
    with serving(histories(time.time())) as server:
        target = {"prometheus": {"url": server.url, "timeout": "20s"}, "forecast": {"metrics": wanted}}
        found, _ = judged(tmp_path, feature, target)
    assert verdicts(found) == expected
    assert found["young"][1] == "TooLittleHistory"
