"""Loads and faults as planned: golden plans of the verbatim features, and everything that a target can lack."""

from __future__ import annotations

import pytest
from plans import NAMES, TARGET, expectation, planned

from perfrun.api.chaos import Chaos
from perfrun.api.plan import Plan
from perfrun.api.target import Load, Metric, TargetSpec
from perfrun.capabilities.base import PlanError
from perfrun.planning.compile import plan
from perfrun.planning.cost import cost

BACKGROUND = """Feature: f
  Background:
    Given a cluster of serving nodes
    And the following workload profiles:
      | profile_type | qps  | request_size |
      | light        | 1000 | small        |
"""


def balancing(*steps: str) -> str:
    return BACKGROUND + "\n".join(("  Scenario: s", *(f"    {step}" for step in steps)))


def failing(*steps: str, nodes: int = 5) -> str:
    given = (f"Given a distributed system with {nodes} nodes", "When 1 node fails")
    return "\n".join(("Feature: f", "  Scenario: s", *(f"    {step}" for step in (*given, *steps))))


LIGHT = balancing(
    'Given a "light" workload profile', "When traffic increases by 2x",
    "Then load difference between nodes should be less than 10%",
)  # fmt: skip
CPU = balancing('Given a "light" workload profile', "Then no node should exceed 70% CPU utilization")
DROPS = failing("Then no requests should be dropped during failover")
RECOVERY = failing("Then remaining nodes should rebalance within 40 seconds")


def schedule(made: Plan) -> list[tuple[float, float]]:
    load = next(stage for stage in made.stages if stage.kind == "load")
    return [(each["seconds"], each["rate"]) for each in load.parameters["schedule"]]


@pytest.mark.parametrize("name", NAMES)
def test_the_features_give_the_plans_that_were_reviewed(name: str) -> None:
    assert planned(name) == expectation(name).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "target", "said"),
    [
        (LIGHT, TARGET.replace(service=None), r"add spec\.service\.name to the PerfTarget"),
        (DROPS, TARGET.replace(service=None), r"add spec\.service\.name to the PerfTarget"),
        (CPU, TARGET.replace(prometheus=None), r"add spec\.prometheus\.url to the PerfTarget"),
        (
            DROPS,
            TARGET.replace(chaos=Chaos(max_duration="30s")),
            r"needs a fault of 47 s, which is what 46050 requests need at 1000/s.*chaos\.maxDuration.*permits 30s",
        ),
        (
            RECOVERY,
            TARGET.replace(chaos=Chaos(max_duration="45s")),
            r"needs a fault of 46 s, which is what a recovery within 40 s needs, with 3s of sustained.*permits 45s",
        ),
    ],
    ids=["no service", "no service for faults", "no prometheus", "too few requests", "too long a recovery"],
)
def test_what_a_target_lacks_is_a_sentence(text: str, target: TargetSpec, said: str) -> None:
    with pytest.raises(PlanError, match=said):
        plan(text, target)


def test_chaos_that_is_not_allowed_is_no_error_of_the_plan() -> None:
    assert not TARGET.chaos.allowed
    assert [stage.kind for stage in plan(DROPS, TARGET).stages] == ["scale", "load", "fault", "ids"]


@pytest.mark.parametrize(
    ("load", "seconds"),
    [
        (Load(rate=1000), 47),
        (Load(rate=500), 94),
        (Load(rate=1000, drop_resolution=1e-3), 10),
        (Load(rate=20_000), 10),
    ],
    ids=["usual", "half the rate", "coarser", "fast"],
)
def test_a_fault_lasts_until_enough_requests_could_have_been_dropped(load: Load, seconds: float) -> None:
    assert schedule(plan(DROPS, TARGET.replace(load=load)))[1] == (seconds, load.rate)


def test_a_fault_lasts_until_a_recovery_could_be_seen() -> None:
    assert schedule(plan(RECOVERY, TARGET)) == [(10, 1000), (46, 1000), (10, 1000)]


def test_a_service_without_logs_or_workload_is_neither_read_nor_scaled() -> None:
    service = TARGET.service
    assert service is not None
    bare = TARGET.replace(service=service.replace(request_log=None, workload=None))
    assert [stage.kind for stage in plan(DROPS, bare).stages] == ["load", "fault"]


@pytest.mark.parametrize(
    ("step", "factor"), [("2x", 2), ("100%", 2), ("50%", 1.5), ("3x", 3)], ids=["2x", "100%", "50%", "3x"]
)
def test_traffic_grows_by_what_the_step_says(step: str, factor: float) -> None:
    made = plan(LIGHT.replace("by 2x", f"by {step}"), TARGET)
    assert [rate for _, rate in schedule(made)] == [1000, 1000 * factor]


@pytest.mark.parametrize(
    ("limit", "load", "seconds"),
    [
        (10, Load(connection="new"), 33),
        (10, Load(connection="new", step="60s"), 60),
        (5, Load(connection="new"), 25),
        (10, Load(requests_per_connection=2), 65),
        (10, Load(), 25),
        (10, Load(requests_per_connection=0), 25),
    ],
    ids=["as needed", "longer anyway", "too long to begin", "pairs", "clusters", "never closed"],
)
def test_growing_traffic_lasts_as_long_as_chance_needs_where_that_is_bearable(
    limit: int, load: Load, seconds: float
) -> None:
    made = plan(LIGHT.replace("10%", f"{limit}%"), TARGET.replace(load=load))
    assert schedule(made)[1][0] == seconds


def test_a_named_metric_that_joins_a_load_takes_the_window_of_the_load() -> None:
    metric = Metric(name="error ratio", query="vector(0)", unit="%")
    made = plan(DROPS + "\n    And error ratio should stay below 1%", TARGET.replace(metrics=(metric,)))
    assert [(stage.id, stage.parameters.get("after")) for stage in made.stages[-2:]] == [
        ("s1-ids", "s1-load"), ("s1-query-1", "s1-load"),
    ]  # fmt: skip


def test_the_cost_counts_generators_and_requests_and_a_fault_takes_no_time_of_its_own() -> None:
    price = cost(plan(DROPS, TARGET))
    assert (price.pods, price.pods_at_most, price.failing_nodes, price.requests) == (2, 4, 1, 67_000)
    assert price.seconds == 5 + 8 + 67
