"""Operators are known by their Deployments and leases; one is at work when its lease is seen to be renewed."""

from __future__ import annotations

import pytest

from perfrun.adapters.api import Refused
from perfrun.cli import operators
from perfrun.cli.operators import Operator, at_work, find, operators_of, told


def deployment(namespace="perfrun-system", **environment):
    env = [{"name": "POD_NAME", "valueFrom": {}}, *({"name": key, "value": text} for key, text in environment.items())]
    return {
        "metadata": {"name": "perfrun", "namespace": namespace},
        "spec": {"template": {"spec": {"containers": [{"name": "operator", "env": env}]}}},
    }


def lease(name="perfrun", namespace="perfrun-system", holder="pod-1", renewed="1", seconds=2, marks=None):
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": marks or {}},
        "spec": {"holderIdentity": holder, "renewTime": renewed, "leaseDurationSeconds": seconds},
    }


class Answers:
    """An API server that gives one list of leases after the other, and keeps to the last."""

    def __init__(self, *leases, deployments=(), refuses=False):
        self.leases, self.deployments, self.refuses = list(leases), deployments, refuses

    async def pages(self, path, selector="", accept="", fields=""):
        if self.refuses:
            raise Refused(403, "no")
        if path.endswith("/deployments"):
            found = self.deployments
        else:
            found = self.leases[0]
            self.leases = self.leases[1:] or self.leases
        for each in found:
            yield each


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    async def at_once(_seconds):
        clock[0] += 1.0

    clock = [0.0]
    monkeypatch.setattr(operators.asyncio, "sleep", at_once)
    monkeypatch.setattr(operators.time, "monotonic", lambda: clock[0])


def test_a_deployment_tells_lease_and_namespaces():
    told_of = deployment(PERFRUN_LEASE_NAME="mine", PERFRUN_NAMESPACES="a, b")
    (found,) = operators_of([told_of], [lease("mine"), lease("other"), lease("kube-scheduler", "kube-system")])
    assert (found.lease, found.namespaces) == ("perfrun-system/mine", ("a", "b"))
    assert found.serves("a")
    assert not found.serves("c")


def test_a_lease_tells_of_an_operator_without_a_deployment():
    marked = lease("x", "y", marks={"app.kubernetes.io/name": "perfrun"})
    found = operators_of([], [lease(namespace="default"), marked, lease("z", "y")])
    assert [each.lease for each in found] == ["default/perfrun", "y/x"]
    assert all(each.serves("anything") for each in found)


async def test_what_may_not_be_listed_is_not_there():
    assert await find(Answers(refuses=True)) == ()


@pytest.mark.parametrize(
    ("leases", "works"),
    [
        (([lease(renewed="1")], [lease(renewed="1")], [lease(renewed="2")]), True),
        (([lease(renewed="1")], [lease(holder="pod-2", renewed="1")]), True),
        (([lease(renewed="1")],), False),
        (([lease(holder="")],), False),
        (([lease(renewed="1")], [lease(holder="", renewed="2")]), False),
        (([lease(renewed="1")], []), False),
        (([],), False),
    ],
    ids=["renewed", "taken over", "dead", "given back", "given back now", "removed", "none"],
)
async def test_an_operator_is_at_work_when_its_lease_is_renewed(leases, works):
    operator = Operator("perfrun-system/perfrun")
    lines = []
    assert await at_work(Answers(*leases), (operator,), lines.append) == ((operator,) if works else ())
    assert len(lines) == (leases[0] != [] and leases[0][0]["spec"]["holderIdentity"] != "")


def test_agents_are_made_as_the_operator_was_told():
    (found,) = operators_of([deployment(PERFRUN_IMAGE="kernels:1", PERFRUN_AGENT_NAMESPACE="chaos")], [])
    assert (told(found).image, told(found).namespace) == ("kernels:1", "chaos")


def test_what_the_operator_could_not_read_either_is_left_out():
    (found,) = operators_of([deployment(PERFRUN_PORT="nonsense")], [])
    assert told(found).image == ""
