"""The rows of load balancing and fault tolerance on real nodes: from `kubectl apply` to the verdict."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import served
from experiments import applied, assert_nothing_left, awaited, finished, row, served_system, steps, told
from operators import operator

pytestmark = pytest.mark.cluster


@pytest.fixture
def working(kubeconfig: Path, namespace: str):
    """An operator for this namespace."""
    with operator(kubeconfig, namespace, PERFRUN_LEASE_NAMESPACE=namespace) as it:
        yield it


def run_row(kubectl, namespace, operator, feature, number, **spec):
    name = applied(kubectl, namespace, row(feature, number), served.target("row", **spec))
    return awaited(kubectl, namespace, name, finished, 400, operator)


def test_a_node_fails_and_the_others_take_over(kubectl, namespace, working):
    """Row one, word for word; the Deployment has two pods before and is scaled for it, and back."""
    served_system(kubectl, namespace, 2)
    run = run_row(kubectl, namespace, working, "fault_tolerance.feature", 1)
    assert run["status"]["phase"] == "Passed", told(run)
    [fault] = run["status"]["faults"]
    assert (fault["state"], fault["kind"], fault["backend"]) == ("Undone", "isolate", "native")
    [node] = fault["nodes"]
    assert fault["startsAt"] <= node["injectedAt"] <= node["notReadyAt"] <= node["undoneAt"] <= node["cleanAt"]
    assert node["proof"]
    found = steps(run)
    recovery = found["remaining nodes should rebalance within 10 seconds"]
    assert 0 < recovery["value"] <= recovery["upper"] <= 10, recovery
    floor = found["throughput should remain above 80% of normal"]
    assert floor["lower"] > 80, floor
    dropped = found["no requests should be dropped during failover"]
    assert dropped["value"] == 0, dropped
    assert dropped["samples"] >= 46_050, dropped
    deployment = json.loads(kubectl("get", "deployment", "served", "--namespace", namespace, "--output", "json"))
    assert deployment["spec"]["replicas"] == 2
    assert_nothing_left(kubectl, namespace)


def test_load_is_shared_and_answered_in_time(kubectl, namespace, working):
    served_system(kubectl, namespace, 3)
    run = run_row(kubectl, namespace, working, "load_balancing.feature", 1)
    found = steps(run)
    assert found["response time p95 should stay below 100ms"]["verdict"] == "Pass", told(run)
    assert found["load difference between nodes should be less than 10%"]["verdict"] == "Pass", told(run)
    # How much CPU a server needs is a matter of the machine; that it was measured is not.
    assert found["no node should exceed 70% CPU utilization"]["value"] is not None, told(run)
    assert_nothing_left(kubectl, namespace)


def test_a_skewed_service_is_told_apart(kubectl, namespace, working):
    served_system(kubectl, namespace, 3, sticky=True)
    run = run_row(kubectl, namespace, working, "load_balancing.feature", 1)
    difference = steps(run)["load difference between nodes should be less than 10%"]
    assert difference["verdict"] == "Fail", told(run)
    assert difference["lower"] > 10, difference
    assert run["status"]["phase"] == "Failed"


@pytest.mark.parametrize(
    ("dropped", "verdict"),
    [pytest.param(1e-4, "Fail", id="caught"), pytest.param(0.0, "Pass", marks=pytest.mark.full, id="none")],
)
def test_one_request_of_ten_thousand_is_missed(kubectl, namespace, working, dropped, verdict):
    """A drained node drops nothing by itself, so that what is caught is what was put there."""
    served_system(kubectl, namespace, 3, dropped=dropped)
    text = row("fault_tolerance.feature", 1).replace("| 5         | 1 ", "| 3         | 1 ")
    target = served.target("row", chaos={"kind": "drain", "maxShare": 0.4})
    run = awaited(kubectl, namespace, applied(kubectl, namespace, text, target), finished, 400, working)
    found = steps(run)["no requests should be dropped during failover"]
    assert found["verdict"] == verdict, told(run)
    assert (found["value"] >= 1) is (dropped > 0)
    assert_nothing_left(kubectl, namespace)
