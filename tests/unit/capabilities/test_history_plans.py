"""What is run to judge telemetry and to foretell: the verbatim feature, and all that a target can say or lack."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from perfrun.api.feature import Policy
from perfrun.api.plan import Claim, Plan, Stage
from perfrun.api.service import Service
from perfrun.api.target import Pods, Prometheus, TargetSpec
from perfrun.api.telemetry import Forecast, Foretold, Recorded, Resource, Telemetry
from perfrun.capabilities.base import PlanError
from perfrun.capabilities.usual_series import FORETOLD, HISTORIES, RECORDED, RESOURCES, SERVED
from perfrun.planning.compile import plan
from perfrun.planning.cost import cost

FEATURE = (Path(__file__).parents[3] / "features" / "system_performance.feature").read_text(encoding="utf-8")
METRICS, MODEL = "@metrics", "@performance-model"


def planned(tags: str, text: str = FEATURE, confidence: float = 0.99, **target: Any) -> Plan:
    usual = {"prometheus": Prometheus(url="http://prometheus:9090", timeout="20s"), "pods": Pods(attempts=3)}
    return plan(text, TargetSpec(**(usual | target)), tags, Policy(confidence=confidence))


def stage(made: Plan) -> Stage:
    [found] = made.stages
    return found


def claims(made: Plan) -> list[Claim]:
    return [step.claim for scenario in made.scenarios for step in scenario.steps if step.claim is not None]


def recording(*rows: str, period: str = "1 hour") -> str:
    return "\n".join(
        (
            "Feature: f", "  Scenario: s", f"    When collecting metrics for {period}",
            "    Then the following metrics should be recorded:",
            "      | metric_type | sampling_rate | retention_period |", *(f"      | {row} |" for row in rows),
        )
    )  # fmt: skip


def foretelling(*rows: str) -> str:
    return "\n".join(
        (
            "Feature: f", "  Scenario: s", "    Given historical performance data",
            "    Then prediction accuracy should be within 10% for:", "      | metric | prediction_window |",
            *(f"      | {row} |" for row in rows),
        )
    )  # fmt: skip


def test_the_feature_has_an_hour_judged_by_one_pod() -> None:
    found = stage(planned(METRICS))
    assert (found.id, found.kind, found.program, found.attempts) == ("s1-telemetry", "pod", "telemetry", 3)
    assert (found.seconds, found.timeout) == (3720, 3900)
    assert cost(planned(METRICS)).seconds == 3720
    told = dict(found.parameters)
    rows = told.pop("rows")
    assert told == {
        "prometheus": {"url": "http://prometheus:9090", "timeout_s": 20}, "period_s": 3600, "window": "auto",
        "completeness": 0.99,
    }  # fmt: skip
    stated = [(row["key"], row["interval_s"], row["retention_s"], row["per"]) for row in rows]
    assert stated == [
        ("cpu_utilization", 15, 604800, "node"), ("memory_usage", 15, 604800, "node"),
        ("gpu_utilization", 15, 604800, "gpuNode"), ("network_latency", 5, 604800, "node"),
        ("throughput", 5, 604800, "node"), ("error_rates", 1, 604800, "node"),
    ]  # fmt: skip
    assert [row["series"] for row in rows] == [list(RECORDED[row["name"]].series) for row in rows]


def test_each_row_promises_its_own_interval() -> None:
    found = claims(planned(METRICS))
    assert [(each.subject, each.comparator, each.limit, each.unit) for each in found] == [
        ("telemetry.recorded", "<=", limit, "s") for limit in (15, 15, 15, 5, 5, 1)
    ]
    assert found[0].label == "sampling interval of CPU utilization"
    assert found[0].parameters == {
        "key": "cpu_utilization", "name": "CPU utilization", "per": "node", "retention_s": 604800, "interval_s": 15,
        "period_s": 3600, "completeness": 0.99,
    }  # fmt: skip


@pytest.mark.parametrize(("window", "seconds"), [("recorded", 120), ("observed", 3720), ("auto", 3720)])
def test_what_has_been_recorded_is_not_waited_for(window: Any, seconds: float) -> None:
    assert stage(planned(METRICS, telemetry=Telemetry(window=window))).seconds == seconds


def test_a_limit_keeps_the_unit_that_was_written() -> None:
    [claim] = claims(planned("", recording("CPU utilization | 500ms | 24h")))
    assert (claim.limit, claim.unit, claim.parameters["interval_s"]) == (500, "ms", 0.5)


def test_a_target_says_where_its_series_are_and_may_name_types_of_its_own() -> None:
    own = Recorded(series=("depth", "queue_depth"), per="pod", label="shard")
    told = stage(
        planned(
            "", recording("Queue depth | 5s | 7d", "Throughput | 5s | 7d"),
            telemetry=Telemetry(metrics={"Queue depth": own}, completeness=0.9), service=Service(name="web"),
        )
    ).parameters  # fmt: skip
    queue, throughput = told["rows"]
    assert (queue["key"], queue["series"], queue["per"], queue["label"]) == (
        "queue_depth", ["depth", "queue_depth"], "pod", "shard",
    )  # fmt: skip
    assert (throughput["series"], throughput["per"]) == (list(SERVED.series), "pod")
    assert told["completeness"] == 0.9


def test_the_feature_has_three_histories_foretold_by_one_pod() -> None:
    found = stage(planned(MODEL, confidence=0.95))
    assert (found.id, found.kind, found.program, found.attempts) == ("s1-forecast", "pod", "forecast", 3)
    assert (found.seconds, found.timeout) == (480, 660)
    told = dict(found.parameters)
    assert [(each["key"], each["horizon_s"], each["unit"]) for each in told["metrics"]] == [
        ("response_time", 3600, "s"), ("resource_usage", 21600, "cores"), ("throughput", 86400, "1/s"),
    ]  # fmt: skip
    asked = {each["name"]: (each["query"], *each["otherwise"]) for each in told["metrics"]}
    assert asked == {name: queries for name, (_, queries) in HISTORIES.items()}
    assert (told["lookback_s"], told["windows"], told["confidence"]) == (35 * 86400, 20, 0.95)
    assert (told["throughput"], told["latency"]) == (FORETOLD["Throughput"].query, FORETOLD["Response time"].query)
    assert (told["deployments"], told["concurrency"]) == ("", "")
    assert set(told["resources"]) == set(RESOURCES)


def test_each_row_promises_its_own_accuracy_and_the_first_tells_the_bottleneck() -> None:
    found = claims(planned(MODEL))
    assert [(each.label, each.comparator, each.limit, each.unit) for each in found] == [
        (f"prediction error of {what} ahead", "<=", 10, "%")
        for what in ("Response time 1 h", "Resource usage 6 h", "Throughput 24 h")
    ]
    assert [each.parameters["ranking"] for each in found] == [True, False, False]


def test_a_target_says_what_is_foretold_and_what_may_be_the_bottleneck() -> None:
    forecast = Forecast(
        metrics={
            "Orders": Foretold(query="sum(rate(orders[$window]))", unit="1/s"),
            "Throughput": Foretold(query="sum(rate(mine[$window]))"),
        },
        lookback="20d", windows=30, deployments="count(version)", concurrency="sum(inflight)",
        resources={"pool": Resource(utilization="used / size", errors="rate(timeouts[$window])")},
    )  # fmt: skip
    told = stage(planned("", foretelling("Orders | 30 minutes"), forecast=forecast)).parameters
    assert told["metrics"] == [
        {
            "key": "orders", "name": "Orders", "query": "sum(rate(orders[$window]))", "otherwise": [], "unit": "1/s",
            "horizon_s": 1800,
        }
    ]  # fmt: skip
    assert (told["lookback_s"], told["windows"], told["throughput"]) == (20 * 86400, 30, "sum(rate(mine[$window]))")
    assert (told["deployments"], told["concurrency"]) == ("count(version)", "sum(inflight)")
    assert told["resources"] == {"pool": {"utilization": "used / size", "errors": "rate(timeouts[$window])"}}


@pytest.mark.parametrize(
    ("text", "target", "parts"),
    [
        (recording("CPU utilization | 15s | 7d"), {"prometheus": None}, ["no Prometheus", "spec.prometheus.url"]),
        (foretelling("Throughput | 1h"), {"prometheus": None}, ["no Prometheus", "spec.prometheus.url"]),
        (
            recording("CPU utilization | 15s | 7d", period="2 minutes"), {},
            ["'CPU utilization' is to be recorded every 15 s, and 120 s hold fewer than 10", "for longer"],
        ),
        (
            recording("Queue | 1s | 7d"),
            {"telemetry": Telemetry(metrics={"Queue": Recorded(series=("q",), per="pod")})},
            ["for every pod of the Service", "spec.service.name"],
        ),
        (foretelling("Throughput | 1 minute"), {}, ["1 min ahead", "expected 5 minutes to 30 days"]),
        (foretelling("Throughput | 60 days"), {}, ["'Throughput'", "expected 5 minutes to 30 days"]),
    ],
    ids=["telemetry without server", "forecast without server", "too short", "no pods", "too soon", "too far"],
)  # fmt: skip
def test_what_a_target_or_a_row_lacks_is_a_sentence(text: str, target: dict[str, Any], parts: list[str]) -> None:
    with pytest.raises(PlanError) as found:
        planned("", text, **target)
    for part in parts:
        assert part in str(found.value)
