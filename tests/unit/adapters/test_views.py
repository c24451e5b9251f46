"""How nodes, endpoints, workloads, agents and other runs are read from what the API server stores."""

from __future__ import annotations

from typing import Any

import pytest

from perfrun.adapters import views
from perfrun.adapters.draining import evictable
from perfrun.adapters.protection import service_named
from perfrun.lifecycle.values import WorkloadView
from perfrun.manifests import labels
from perfrun_kernels.contract import FaultReport


@pytest.mark.parametrize(("text", "expected"), [("4", 4.0), ("3920m", 3.92), ("0", 0.0), ("1500m", 1.5)])
def test_cpu_is_read_in_cores(text: str, expected: float) -> None:
    assert views.cores(text) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("conditions", "ready"),
    [([], False), ([("Ready", "True")], True), ([("Ready", "Unknown")], False), ([("DiskPressure", "True")], False)],
    ids=["brand new", "ready", "not heard of", "under pressure, state unknown"],
)
def test_a_node_is_ready_only_where_it_says_so(conditions: list[tuple[str, str]], ready: bool) -> None:
    status = {"conditions": [{"type": kind, "status": state} for kind, state in conditions]}
    view = views.node_view({"metadata": {"name": "n"}, "status": status})
    assert (view.ready, view.cordoned, view.cpu) == (ready, False, 0.0)


def test_endpoints_that_are_on_no_node_or_are_no_pods_serve_nothing() -> None:
    pod = {"kind": "Pod", "name": "p"}
    endpoints = [
        {"addresses": ["192.0.2.1"], "targetRef": pod},
        {"addresses": ["192.0.2.2"], "nodeName": "n"},
        {"addresses": ["192.0.2.3"], "nodeName": "n", "targetRef": pod},
    ]
    assert views.serving_of([{"endpoints": endpoints}, {"endpoints": None}]) == {"n": ("p",)}
    assert views.nodes_behind([{"endpoints": endpoints}]) == {"n"}


def test_counts_that_are_left_out_are_what_the_api_says_they_are() -> None:
    assert views.workload_view({"spec": {}}) == WorkloadView(replicas=1, ready=0)
    assert views.workload_view({"spec": {"replicas": 0}, "status": {}}) == WorkloadView(replicas=0, ready=0)


def agent(message: str, phase: str) -> dict[str, Any]:
    marks = {labels.FAULT: "short", labels.FAULT_KIND: "isolate"}
    state = {"terminated": {"exitCode": 0, "message": message}}
    return {
        "metadata": {"name": "a", "labels": marks},
        "spec": {"nodeName": "n"},
        "status": {"phase": phase, "containerStatuses": [{"name": "agent", "state": state}]},
    }


def test_an_agent_is_of_the_fault_that_its_label_stands_for() -> None:
    report = FaultReport("f", "n", "isolate", "Undone")
    view = views.agent_view(agent(report.to_json(), "Succeeded"), {"short": "a fault with a long name"})
    assert (view.fault, view.node, view.report) == ("a fault with a long name", "n", report)
    assert views.agent_view(agent("no report", "Failed"), {}).report is None


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({}, (False, True)),
        ({"phase": "Running", "frozen": {"plan": {"stages": [{"kind": "pod"}]}}}, (True, False)),
        ({"phase": "Restoring", "frozen": {"plan": {"stages": [{"kind": "pod"}, {"kind": "load"}]}}}, (True, True)),
        ({"phase": "Pending", "frozen": {"plan": {}}}, (False, False)),
        ({"phase": "Passed", "frozen": {"plan": {"stages": [{"kind": "fault"}]}}}, None),
    ],
    ids=["unknown yet", "measures only", "loads", "nothing to do", "finished"],
)
def test_what_another_run_means(status: dict[str, Any], expected: tuple[bool, bool] | None) -> None:
    metadata = {"name": "r", "creationTimestamp": "2026-01-01T00:00:00Z"}
    view = views.other_run({"metadata": metadata, "status": status})
    assert (None if view is None else (view.running, view.disturbs)) == expected


@pytest.mark.parametrize(
    ("faults", "expected"),
    [
        ([], False),
        ([{"state": "Intended"}], True),
        ([{"state": "Injected"}, {"state": "Undone"}], True),
        ([{"state": "Undone"}, {"state": "Refused"}], False),
        ([{}], True),
    ],
)
def test_faults_are_open_until_they_are_undone(faults: list[dict[str, str]], expected: bool) -> None:
    assert views.has_open_faults({"status": {"faults": faults}}) is expected


OWNED = [{"kind": "ReplicaSet", "controller": True}]


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        ({"metadata": {"ownerReferences": OWNED}}, True),
        ({"metadata": {"ownerReferences": OWNED}, "status": {"phase": "Pending"}}, True),
        ({"metadata": {}}, False),
        ({"metadata": {"ownerReferences": [{"kind": "ReplicaSet"}]}}, False),
        ({"metadata": {"ownerReferences": [{"kind": "DaemonSet", "controller": True}]}}, False),
        ({"metadata": {"ownerReferences": [{"kind": "Node", "controller": True}]}}, False),
        ({"metadata": {"ownerReferences": OWNED, "annotations": {"kubernetes.io/config.mirror": "x"}}}, False),
        ({"metadata": {"ownerReferences": OWNED}, "status": {"phase": "Succeeded"}}, False),
        ({"metadata": {"ownerReferences": OWNED, "deletionTimestamp": "x"}}, False),
    ],
    ids=["owned", "pending", "alone", "owned loosely", "daemon", "node's own", "mirror", "over", "going"],
)
def test_only_pods_that_come_back_elsewhere_are_evicted(pod: dict[str, Any], expected: bool) -> None:
    assert evictable(pod) is expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("prometheus", ("home", "prometheus")),
        ("prometheus.monitoring", ("monitoring", "prometheus")),
        ("prometheus.monitoring.svc", ("monitoring", "prometheus")),
        ("prometheus.monitoring.svc.cluster.local.", ("monitoring", "prometheus")),
        ("pod-0.prometheus.monitoring.svc.cluster.local", ("monitoring", "prometheus")),
        ("prometheus.example.com", None),
    ],
)
def test_a_host_name_means_the_service_that_it_resolves_to(host: str, expected: tuple[str, str] | None) -> None:
    assert service_named(host, "home") == expected


def test_a_bare_name_means_nothing_outside_of_the_cluster() -> None:
    assert service_named("prometheus", "") is None
