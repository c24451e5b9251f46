"""What has no run any more is removed, and each node that had an agent is called clean only once one has looked."""

from __future__ import annotations

import datetime as dt

import attrs
import pytest

from perfrun.adapters.api import NotFound
from perfrun.cli import clearing
from perfrun.cli.clearing import Clearing
from perfrun.cli.leftovers import leftovers, of_agent, of_external, of_node
from perfrun.cli.looking import Look
from perfrun.lifecycle.values import StartAgent, Uncordon
from perfrun.manifests import labels
from perfrun_kernels.contract import FaultReport

START = dt.datetime(2026, 11, 25, 3, 0, tzinfo=dt.UTC)
MARKS = {labels.RUN_UID: "u", labels.RUN: "r", labels.RUN_NAMESPACE: "shop", labels.FAULT: "s1-fault"}


def agent(kind, node="a", phase="Running", name=""):
    metadata = {
        "name": name or f"{kind}-{node}", "namespace": "perfrun-chaos", "uid": f"pod-{kind}-{node}",
        "labels": MARKS | {labels.FAULT_KIND: kind},
    }  # fmt: skip
    return {"metadata": metadata, "spec": {"nodeName": node, "containers": []}, "status": {"phase": phase}}


@attrs.define
class World:
    """A cluster in which pods go when they are deleted, and undo agents end with the next of these reports."""

    pods: dict = attrs.field(factory=dict)
    nodes: dict = attrs.field(factory=dict)
    experiments: list = attrs.field(factory=list)
    reports: list = attrs.field(factory=list)
    did: list = attrs.field(factory=list)
    moment: dt.datetime = START

    def add(self, *pods):
        for pod in pods:
            self.pods[pod["metadata"]["name"]] = pod
            self.nodes.setdefault(pod["spec"]["nodeName"], {"metadata": {"name": pod["spec"]["nodeName"]}, "spec": {}})
        return self

    async def see(self):
        traces = [of_agent(each) for each in self.pods.values()]
        traces += [trace for each in self.nodes.values() if (trace := of_node(each)) is not None]
        traces += [of_external("chaos-mesh", each) for each in self.experiments]
        return Look(leftovers([], traces))

    async def get(self, path, *_more):
        if path.startswith("/api/v1/nodes/") and path.rpartition("/")[2] in self.nodes:
            return self.nodes[path.rpartition("/")[2]]
        raise NotFound(path)

    async def delete(self, path, uid="", grace=None):
        self.did.append(f"delete {path.rpartition('/')[2]}")
        if self.pods.pop(path.rpartition("/")[2], None) is None:
            self.experiments.clear()

    async def change(self, run, change):
        assert run.meta.uid == "u"
        match change:
            case Uncordon():
                self.did.append(f"uncordon {change.node}")
                self.nodes[change.node] = {"metadata": {"name": change.node}, "spec": {}}
            case StartAgent():
                self.did.append(f"look {change.node}")
                pod = agent("undo", change.node, "Succeeded", change.name)
                report = FaultReport("f", change.node, "undo", self.reports.pop(0), message="left it", proof="looked")
                ended = {"terminated": {"exitCode": 0, "message": report.to_json()}}
                pod["status"]["containerStatuses"] = [{"name": "agent", "state": ended}]
                self.add(pod)

    def now(self):
        self.moment += dt.timedelta(seconds=1)
        return self.moment


async def cleared(world, monkeypatch, seconds=60, proofs=True, mine=lambda _row: True):
    async def at_once(_seconds):
        return None

    monkeypatch.setattr(clearing.asyncio, "sleep", at_once)
    lines = []
    done = await Clearing(world, world, world, lines.append, proofs).clear(
        world.see, mine, START + dt.timedelta(seconds=seconds)
    )
    return done, lines


async def test_nothing_left_is_done_at_once(monkeypatch):
    assert await cleared(World(), monkeypatch) == (True, [])


async def test_an_agent_is_stopped_and_its_node_is_looked_at(monkeypatch):
    world = World(reports=["Clean"]).add(agent("isolate"))
    done, lines = await cleared(world, monkeypatch)
    assert done
    assert world.did[:2] == ["delete isolate-a", "look a"]
    assert not world.pods
    assert "node a is proven clean: looked" in lines


async def test_a_node_that_is_not_clean_is_looked_at_again(monkeypatch):
    world = World(reports=["Left", "Refused", "Clean"]).add(agent("freeze", phase="Succeeded"))
    done, lines = await cleared(world, monkeypatch)
    assert done
    assert world.did.count("look a") == 3
    assert not world.pods
    assert any("left it; another one will look" in line for line in lines)


async def test_every_node_needs_its_own_proof(monkeypatch):
    world = World(reports=["Clean", "Left", "Clean"]).add(agent("isolate"), agent("isolate", "b"))
    done, lines = await cleared(world, monkeypatch)
    assert done
    assert sum("is proven clean" in line for line in lines) == 2


async def test_an_old_proof_does_not_count_while_an_agent_still_breaks(monkeypatch):
    undo = agent("undo", phase="Succeeded", name="old")
    undo["status"]["containerStatuses"] = [
        {"name": "agent", "state": {"terminated": {"message": FaultReport("f", "a", "undo", "Clean").to_json()}}}
    ]
    world = World().add(undo, agent("isolate"))
    await Clearing(world, world, world, lambda _text: None, proofs=True).step(list((await world.see()).rows))
    assert world.did == ["delete isolate-a"]


async def test_a_node_that_is_gone_needs_no_proof(monkeypatch):
    world = World().add(agent("isolate"))
    world.nodes.clear()
    done, lines = await cleared(world, monkeypatch)
    assert done
    assert "node a is gone" in lines[-1]


async def test_without_agents_to_look_a_node_stays_unproven(monkeypatch):
    world = World().add(agent("isolate"))
    done, _ = await cleared(world, monkeypatch, proofs=False)
    assert not done
    assert world.did == ["delete isolate-a"]


async def test_a_cordoned_node_is_let_go(monkeypatch):
    marked = {"metadata": {"name": "a", "annotations": {labels.CORDONED_BY: "u"}}, "spec": {"unschedulable": True}}
    world = World(nodes={"a": marked})
    assert await cleared(world, monkeypatch) == (True, ["node a: made schedulable again"])
    assert world.did == ["uncordon a"]


async def test_another_tools_objects_are_taken_back(monkeypatch):
    stored = {
        "apiVersion": "chaos-mesh.org/v1alpha1", "kind": "NetworkChaos",
        "metadata": {"name": "n", "namespace": "shop", "labels": MARKS}, "spec": {},
    }  # fmt: skip
    world = World(experiments=[stored])
    done, lines = await cleared(world, monkeypatch)
    assert done
    assert world.did == ["delete n"]
    assert lines == ["chaos-mesh: removing /apis/chaos-mesh.org/v1alpha1/namespaces/shop/networkchaos/n"]


async def test_what_was_not_asked_for_is_left_alone(monkeypatch):
    world = World().add(agent("isolate"))
    assert await cleared(world, monkeypatch, mine=lambda _row: False) == (True, [])
    assert world.pods


@pytest.mark.parametrize("reports", [["Left"] * 99])
async def test_the_time_is_up_when_a_node_never_comes_clean(monkeypatch, reports):
    done, _ = await cleared(World(reports=reports).add(agent("isolate")), monkeypatch, seconds=9)
    assert not done
