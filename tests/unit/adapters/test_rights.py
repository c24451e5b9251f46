"""Which rights a plan needs, and that an installation may rule faults out whatever rights it has."""

from __future__ import annotations

from typing import Any

import pytest

from perfrun.adapters.rights import SPIKE, Right, Rights, needed
from perfrun.api.plan import Plan, Stage
from perfrun.api.run import Frozen, RunSpec, RunStatus
from perfrun.api.target import TargetSpec
from perfrun.lifecycle.values import Meta, Run

SERVICE = {"name": "web", "namespace": "shop", "port": 80, "workload": {"kind": "Deployment", "name": "web"}}


def target(**chaos: Any) -> TargetSpec:
    return TargetSpec.from_wire({"service": SERVICE, "chaos": {"allowed": True, **chaos}})


def stage(kind: str) -> Stage:
    parameters = {"kind": "spike"} if kind == SPIKE else {}
    return Stage(id=f"s0-{kind}", scenario=0, kind="fault" if kind == SPIKE else kind, parameters=parameters)  # type: ignore[arg-type]


def run(*kinds: str) -> Run:
    stages = tuple(map(stage, kinds))
    frozen = Frozen(
        feature="", feature_digest="", target=target(), target_digest="", plan=Plan(scenarios=(), stages=stages),
        plan_digest="",
    )  # fmt: skip
    spec = RunSpec(feature="Feature: x", target_ref="t")
    return Run(Meta("run-1", "home", "uid-1"), spec, RunStatus(frozen=frozen))


class Answers:
    """An API server that grants everything but what is named."""

    def __init__(self, *refused: str) -> None:
        self.refused, self.asked = refused, 0

    async def create(self, path: str, review: Any) -> dict[str, Any]:
        self.asked += 1
        asked = review["spec"]["resourceAttributes"]
        resource = "/".join(each for each in (asked["resource"], asked.get("subresource", "")) if each)
        return {"status": {"allowed": f"{asked['verb']} {resource}" not in self.refused}}


async def denied(api: Answers, *kinds: str, chaos: bool = True) -> str:
    return await Rights(api, "chaos", chaos).denied(run(*kinds))  # type: ignore[arg-type]


async def test_nothing_is_said_where_everything_is_granted() -> None:
    assert await denied(Answers(), "scale", "load", "fault", "ids") == ""


async def test_what_is_missing_is_named() -> None:
    said = await denied(Answers("patch deployments/scale"), "scale", "load")
    assert said.startswith("the operator may not patch deployments/scale.apps in namespace shop; grant it that")


@pytest.mark.parametrize("kind", ["fault", "scale", SPIKE])
async def test_an_installation_may_rule_faults_out_without_asking_anybody(kind: str) -> None:
    api = Answers()
    assert "rules faults out" in await denied(api, "load", kind, chaos=False)
    assert api.asked == 0


async def test_loads_are_made_where_faults_are_ruled_out() -> None:
    assert await denied(Answers(), "load", "ids", chaos=False) == ""


@pytest.mark.parametrize(
    ("chaos", "right"),
    [
        ({"kind": "isolate"}, Right("create", "pods", namespace="chaos")),
        ({"kind": "freeze"}, Right("delete", "pods", namespace="chaos")),
        ({"kind": "drain"}, Right("create", "pods/eviction")),
        ({"kind": "drain"}, Right("patch", "nodes")),
        ({"kind": "pod-kill"}, Right("delete", "pods", namespace="shop")),
        ({"kind": "isolate", "backend": "chaos-mesh"}, Right("create", "networkchaos", "chaos-mesh.org", "shop")),
        ({"kind": "freeze", "backend": "litmus"}, Right("create", "chaosengines", "litmuschaos.io", "shop")),
    ],
)
def test_each_kind_of_fault_needs_rights_of_its_own(chaos: dict[str, Any], right: Right) -> None:
    def rights(kinds: set[str]) -> set[Right]:
        return set(needed(target(**chaos), kinds, "home", "chaos"))

    assert right in rights({"load", "fault"})
    assert right not in rights({"load", "ids"})


@pytest.mark.parametrize("chaos", [{"kind": "drain"}, {"kind": "pod-kill"}, {"kind": "freeze", "backend": "litmus"}])
def test_a_spike_needs_those_for_agents_only_whatever_the_targets_kind(chaos: dict[str, Any]) -> None:
    rights = set(needed(target(**chaos), {"load", SPIKE}, "home", "chaos"))
    assert {Right(verb, "pods", namespace="chaos") for verb in ("list", "create", "delete")} <= rights
    assert Right("patch", "perfruns", "perfrun.dev", "home") in rights
    # Which pods are on the node is read from the whole cluster's.
    assert Right("list", "pods") in rights
    assert rights == set(needed(target(kind="isolate"), {"load", "fault"}, "home", "chaos"))


async def test_a_spike_is_denied_without_its_agents() -> None:
    assert "create pods in namespace chaos" in await denied(Answers("create pods"), "load", SPIKE)
    assert await denied(Answers("create pods/eviction", "patch nodes"), "load", SPIKE) == ""
