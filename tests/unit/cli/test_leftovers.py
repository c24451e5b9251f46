"""Everything that a fault left is found, belongs to its run, and is told once."""

from __future__ import annotations

import datetime as dt

import pytest

from perfrun.api.faults import FINALIZER, FaultStatus, NodeFault, Scaling
from perfrun.api.run import Phase, RunSpec, RunStatus
from perfrun.cli.leftovers import GONE, UNREAD, leftovers, of_agent, of_external, of_node
from perfrun.lifecycle.values import Meta, Run
from perfrun.manifests import labels
from perfrun_kernels.contract import FAULT_ENV, FaultOrder

NOW = dt.datetime(2026, 11, 25, 3, 0, tzinfo=dt.UTC)


def fault(name="s1-fault", state="Injected", kind="isolate", nodes=("a", "b"), clean=()):
    return FaultStatus(
        id=name, kind=kind, backend="native", seed=1, state=state, starts_at=NOW, ends_at=NOW + dt.timedelta(minutes=1),
        nodes=tuple(NodeFault(node=each, clean_at=NOW if each in clean else None) for each in nodes),
    )  # fmt: skip


def run(*faults, uid="u1", name="r", finalizers=(FINALIZER,), phase=Phase.RUNNING, **status):
    meta = Meta(name, "shop", uid, finalizers=finalizers)
    return Run(meta, RunSpec(target_ref="t"), RunStatus(phase=phase, faults=faults, **status))


def agent(uid="u1", node="a", fault="s1-fault", kind="isolate", phase="Running"):
    marks = {labels.RUN_UID: uid, labels.RUN: "r", labels.RUN_NAMESPACE: "shop", labels.FAULT: fault}
    metadata = {
        "name": f"x-{node}-{kind}", "namespace": "perfrun-chaos", "creationTimestamp": "2026-11-25T03:00:00Z",
        "labels": marks | {labels.FAULT_KIND: kind}, "uid": f"pod-{node}-{kind}",
    }  # fmt: skip
    order = FaultOrder("f", "shop/r", node, kind, NOW.timestamp(), NOW.timestamp() + 40)
    container = {"name": "agent", "env": [{"name": FAULT_ENV, "value": order.to_json()}]}
    spec = {"nodeName": node, "containers": [container]}
    return of_agent({"metadata": metadata, "spec": spec, "status": {"phase": phase}})


def cordoned(uid="u1", node="a"):
    return of_node(
        {"metadata": {"name": node, "annotations": {labels.CORDONED_BY: uid}}, "spec": {"unschedulable": True}}
    )


def experiment(uid="u1", fault="s1-fault"):
    marks = {labels.RUN_UID: uid, labels.RUN: "r", labels.RUN_NAMESPACE: "shop", labels.FAULT: fault}
    return of_external(
        "chaos-mesh", {"kind": "NetworkChaos", "metadata": {"name": "n", "namespace": "shop", "labels": marks}}
    )


def test_nothing_left_is_nothing_told():
    assert leftovers([], []) == ()
    assert leftovers([run(fault(state="Undone"), finalizers=(), phase=Phase.PASSED)], []) == ()


def test_a_fault_is_told_with_what_is_not_proven_and_its_agents():
    (row,) = leftovers([run(fault(clean=("b",)))], [agent(), agent(node="b", kind="undo", phase="Succeeded")])
    assert (row.run, row.fault, row.kind, row.nodes, row.state) == (
        "shop/r",
        "s1-fault",
        "isolate",
        ("a", "b"),
        "Injected",
    )
    assert (row.since, row.until) == (NOW, NOW + dt.timedelta(minutes=1))
    assert row.remains == (
        "a not proven clean",
        "pod perfrun-chaos/x-a-isolate: agent (isolate) is Running",
        "pod perfrun-chaos/x-b-undo: agent (undo) is Succeeded",
    )
    assert not row.orphan


@pytest.mark.parametrize(
    ("kind", "needs"), [("isolate", True), ("freeze", True), ("spike", True), ("drain", False), ("pod-kill", False)]
)
def test_only_an_agent_can_tell_that_a_node_is_clean_of_what_agents_do(kind, needs):
    (row,) = leftovers([run(fault(kind=kind))], [])
    assert row.needs_agents is needs


def test_a_cordon_belongs_to_the_drain_of_its_node():
    drained = run(fault(kind="drain", nodes=("a",)), fault("s2-fault", kind="isolate", nodes=("a",)))
    first, second = leftovers([drained], [cordoned()])
    assert first.remains[-1] == "node a: cordoned"
    assert second.remains == ("a not proven clean",)


@pytest.mark.parametrize("traces", [[agent()], [cordoned()], [experiment()]], ids=["agent", "cordon", "experiment"])
def test_what_no_unsettled_fault_accounts_for_is_told_on_its_own(traces):
    settled = run(fault(state="Undone"), finalizers=(), phase=Phase.PASSED)
    (row,) = leftovers([settled], traces)
    assert (row.run, row.fault, row.state, row.orphan) == ("shop/r", "", "Passed", False)
    assert len(row.remains) == 1


def test_what_has_no_run_is_an_orphan_by_run_and_fault():
    rows = leftovers(
        [], [agent("u2"), agent("u2", "b"), agent("u2", "b", "s2-fault"), cordoned("u3"), experiment("u4")]
    )
    assert [(row.uid, row.fault, row.nodes, row.run) for row in rows] == [
        ("u2", "s1-fault", ("a", "b"), "shop/r"),
        ("u2", "s2-fault", ("b",), "shop/r"),
        ("u3", "", ("a",), "u3"),
        ("u4", "s1-fault", (), "shop/r"),
    ]
    assert all(row.state == GONE and row.orphan for row in rows)
    assert rows[0].since == NOW
    assert rows[0].until == NOW + dt.timedelta(seconds=40)
    assert rows[2].since is rows[2].until is None
    assert [row.needs_agents for row in rows] == [True, True, False, False]


def test_what_belongs_to_a_run_that_could_not_be_read_is_no_orphan():
    rows = leftovers([], [agent("u2"), cordoned("u3")], lambda uid: uid == "u3")
    assert [(row.state, row.orphan) for row in rows] == [(UNREAD, False), (GONE, True)]


@pytest.mark.parametrize(
    ("status", "remains"),
    [
        ({"message": "scaling"}, "kept by its finalizer: scaling"),
        ({}, "kept by its finalizer: Running"),
        (
            {"scaling": Scaling(kind="Deployment", namespace="shop", name="web", before=3, now=5)},
            "Deployment shop/web has 5 replicas for the run, and is yet to have its 3 again",
        ),
    ],
)
def test_a_run_that_is_kept_is_told_even_without_a_fault(status, remains):
    (row,) = leftovers([run(**status)], [])
    assert row.remains == (remains,)


def test_a_node_that_nobody_marked_tells_nothing():
    assert of_node({"metadata": {"name": "a"}, "spec": {"unschedulable": True}}) is None
