"""``perfrun telemetry rules``: a configuration from a feature's rows, which promtool and Prometheus take."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from perfrun.devcluster import tools

ROOT = Path(__file__).parents[3]
FEATURE = str(ROOT / "features" / "system_performance.feature")
SERVED = str(ROOT / "examples" / "served-target.yaml")
OWN = """
apiVersion: perfrun.dev/v1alpha1
kind: PerfTarget
metadata: {name: own}
spec:
  prometheus: {url: "http://prometheus:9090"}
  telemetry:
    metrics:
      Queue length: {series: [queue_length], per: any}
      Memory usage: {series: [my_memory], per: node}
"""
ROWS = """
Feature: Queues
  Scenario: Recorded
    Given the monitoring system is configured
    When collecting metrics for 1 hour
    Then the following metrics should be recorded:
      | metric_type     | sampling_rate | retention_period |
      | Queue length    | 1s            | 30d              |
      | Memory usage    | 10s           | 2d               |
      | CPU utilization | 500ms         | 2d               |
"""


@pytest.mark.parametrize("target", [(), ("--target", SERVED)])
def test_promtool_takes_both_files(cli, tmp_path, target):
    for part in ("scrape", "rules"):
        answer = cli("telemetry", "rules", FEATURE, *target, "--part", part)
        assert answer.code == 0, answer.err
        (tmp_path / f"{part}.yml").write_text(answer.out)
    main = tmp_path / "prometheus.yml"
    main.write_text("scrape_config_files: [scrape.yml]\nrule_files: [rules.yml]\n")
    checked = subprocess.run(
        [tools.binary("promtool"), "check", "config", "--lint=all", "--lint-fatal", main],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_what_cannot_be_configured_is_said_above(cli):
    scrape, rules = cli("telemetry", "rules", FEATURE).out.split("---\n")
    # Forecasts read five weeks of history; the table alone asks for one.
    for told in ("retention.time=35d", "port 9100", "NET_RAW", "DCGM_EXPORTER_INTERVAL", "spec.telemetry.metrics"):
        assert told in scrape
    assert "perfrun:response_time:history" in rules
    assert [job["scrape_interval"] for job in yaml.safe_load(scrape)["scrape_configs"]] == [
        "15s",
        "15s",
        "5s",
        "5s",
        "1s",
    ]


def test_without_a_feature_it_is_the_usual_metrics(cli):
    answer = cli("telemetry", "rules", "--part", "scrape")
    assert "retention.time=7d" in answer.out
    assert len(yaml.safe_load(answer.out)["scrape_configs"]) == 5


def test_the_rows_and_the_target_decide(cli, tmp_path):
    feature, target = tmp_path / "own.feature", tmp_path / "own.yaml"
    feature.write_text(ROWS)
    target.write_text(OWN)
    answer = cli("telemetry", "rules", str(feature), "--target", str(target), "--part", "scrape")
    assert answer.code == 0, answer.err
    [job] = yaml.safe_load(answer.out)["scrape_configs"]
    assert (job["job_name"], job["scrape_interval"]) == ("perfrun-node", "500ms")
    assert "retention.time=30d" in answer.out
    for name in ("Queue length", "Memory usage"):
        assert f"{name} is where spec.telemetry.metrics says" in answer.out


def test_the_operator_gets_objects(cli):
    answer = cli("telemetry", "rules", FEATURE, "--form", "operator", "--label", "release=mon")
    made = list(yaml.safe_load_all(answer.out))
    assert [each["kind"] for each in made] == ["ScrapeConfig"] * 5 + ["PrometheusRule"]
    assert all(each["metadata"]["labels"]["release"] == "mon" for each in made)
    assert "spec.retention: 35d" in answer.out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((str(ROOT / "examples" / "slo.feature"), "--target", str(ROOT / "examples" / "target.yaml")), "asks nothing"),
        ((FEATURE, "--form", "operator", "--label", "release"), "expected KEY=VALUE"),
        ((FEATURE, "--target", "nothing", "--kubeconfig", "/nowhere"), "is no file"),
        (("/no/such.feature",), "cannot be read"),
    ],
)
def test_bad_use_gets_a_sentence(cli, arguments, told):
    answer = cli("telemetry", "rules", *arguments)
    assert answer.code == 3
    assert told in answer.err
    assert not answer.out
