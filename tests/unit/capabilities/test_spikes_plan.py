"""What is run to see latency spikes: made where the target permits it, else waited for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from perfrun.api.chaos import Chaos
from perfrun.api.network import Spikes
from perfrun.api.plan import Plan
from perfrun.api.service import Load, Service
from perfrun.api.target import TargetSpec
from perfrun.capabilities.base import PlanError
from perfrun.planning.compile import plan
from perfrun.planning.cost import cost

FEATURE = (Path(__file__).parents[3] / "features" / "network_performance.feature").read_text(encoding="utf-8")


def planned(spikes: Spikes | None = None, **target: Any) -> Plan:
    settled = {"service": Service(name="web", port=8080), "chaos": Chaos(allowed=True), "load": Load(rate=200)}
    return plan(FEATURE, TargetSpec(**(settled | {"spikes": spikes or Spikes()} | target)), "@debugging")


def test_spikes_are_made_while_normal_load_is_on() -> None:
    load, agent = planned(Spikes(inject=("quota", "drop"), rounds=5, lasts="200ms")).stages
    lasts = 10 * (1 + 0.2) + 2
    schedule = [(each["seconds"], each["rate"]) for each in load.parameters["schedule"]]
    assert schedule == [(10, 200), (lasts, 200), (2, 200)]
    assert (load.id, agent.id, agent.kind, agent.alongside) == ("s1-load", "s1-spike", "fault", "s1-load")
    told = agent.parameters
    assert (told["kind"], told["backend"], told["count"], told["offset"], told["seconds"]) == (
        "spike", "native", 1, 10, lasts,
    )  # fmt: skip


def test_the_agent_is_told_what_the_target_says() -> None:
    spikes = Spikes(
        inject=("hog",), rounds=2, lasts="30ms", interval="2ms", deadline="3ms", path="/ready", container="web",
        window="5s",
    )  # fmt: skip
    agent = planned(spikes).stages[1]
    assert agent.parameters["spike"] == {
        "probe": {"port": 8080, "path": "/ready", "interval_ms": 2.0, "deadline_ms": 3.0, "budget_percent": 3.0},
        "inject": ["hog"], "rounds": 2, "lasts_ms": 30.0, "window_s": 5.0, "container": "web", "pods": [],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("chaos", "spikes"), [(Chaos(), Spikes(window="12s")), (Chaos(allowed=True), Spikes(window="12s", inject=()))]
)
def test_where_none_may_be_made_one_is_waited_for(chaos: Chaos, spikes: Spikes) -> None:
    made = planned(spikes, chaos=chaos)
    agent = made.stages[1]
    assert agent.parameters["spike"]["inject"] == []
    assert agent.parameters["seconds"] == 12
    claims = [step.claim for step in made.scenarios[0].steps if step.claim is not None]
    assert [claim.parameters for claim in claims] == [{"inject": [], "window": 12}] * 4


def test_each_row_promises_within_its_own_threshold() -> None:
    claims = [step.claim for step in planned().scenarios[0].steps if step.claim is not None]
    assert [(each.subject, each.label, each.comparator, each.limit, each.unit, each.stage) for each in claims] == [
        ("spikes.detect", "time to detect the spike", "<=", 5, "ms", "s1-spike"),
        ("spikes.identify", "time to identify the container", "<=", 10, "s", "s1-spike"),
        ("spikes.locate", "time to locate the kernel issue", "<=", 30, "s", "s1-spike"),
        ("spikes.trace", "time to generate trace data", "<=", 60, "s", "s1-spike"),
    ]


def test_no_node_fails_by_it() -> None:
    assert cost(planned()).failing_nodes == 0


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"service": None}, ["names no Service", "spec.service.name"]),
        ({"service": Service(name="web", scheme="https")}, ["plain HTTP", "service.scheme", "https"]),
        (
            {"spikes": Spikes(rounds=100)},
            ["632 s for 600 spikes of 50ms", "spikes.rounds", "chaos.maxDuration", "permits 2m"],
        ),
        ({"spikes": Spikes(lasts="1s")}, ["spikes.lasts of the PerfTarget is 1s; expected 10ms to 500ms"]),
        ({"spikes": Spikes(interval="0.1ms")}, ["spikes.interval", "0.1ms", "0.2ms to 1s"]),
        ({"spikes": Spikes(window="2h"), "chaos": Chaos()}, ["spikes.window", "2h", "100ms to 1h"]),
        ({"spikes": Spikes(deadline="5ms")}, ["within 5 ms", "late after 5ms", "spikes.deadline", "below the limit"]),
    ],
)
def test_a_target_that_cannot_serve_the_scenario_is_told_why(changes: dict[str, Any], parts: list[str]) -> None:
    with pytest.raises(PlanError) as found:
        planned(**changes)
    for part in parts:
        assert part in str(found.value)


def test_a_long_watch_breaks_nothing_so_the_longest_fault_does_not_bind_it() -> None:
    assert planned(Spikes(window="10m"), chaos=Chaos()).stages[1].parameters["seconds"] == 600
