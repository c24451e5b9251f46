"""What may not or cannot be broken or loaded: a clear reason, nothing injected, nothing left."""

from __future__ import annotations

import json
import re

import pytest
import served
from experiments import applied, assert_nothing_left, awaited, finished, served_system, told
from operators import operator

pytestmark = pytest.mark.cluster

NODES = 3

FAULT = """Feature: Refused
  Scenario: Nodes fail
    Given a distributed system with {nodes} nodes
    When {failures} nodes fail simultaneously
    Then remaining nodes should rebalance within 5 seconds
"""

LOAD = """Feature: Refused
  Scenario: Traffic grows
    Given a cluster of serving nodes
    And the following workload profiles:
      | profile_type | qps     | request_size |
      | light        | {rate}  | small        |
    And a "light" workload profile
    When traffic increases by 2x
    Then response time p95 should stay below 100ms
"""

ALLOWED = {"allowed": True, "maxShare": 0.5, "maxNodes": 2, "patience": "8s"}
NOBODY = {"name": "nobody", "workload": None}
SHORT = {"rate": 100, "baseline": "5s", "step": "20s", "dropResolution": 0.05}


def fault(nodes=NODES, failures=1):
    return FAULT.format(nodes=nodes, failures=failures)


@pytest.fixture(scope="module")
def place(kubeconfig, kubectl):
    """A namespace with the served system on three nodes, and an operator."""
    name = "test-bad-faults"
    kubectl(
        "create",
        "--filename",
        "-",
        input=json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}),
    )
    served_system(kubectl, name, NODES)
    with operator(kubeconfig, name, PERFRUN_LEASE_NAMESPACE=name) as working:
        yield name, working
    kubectl("delete", "namespace", name, "--wait=false")


CASES = {
    "not allowed": (fault(), {"chaos": {"allowed": False}}, "ChaosNotAllowed", r"chaos\.allowed"),
    "more than allowed": (
        fault(failures=2), {"chaos": {**ALLOWED, "maxNodes": 1, "maxShare": 0.9}}, "ExceedsMaxNodes", "chaos.maxNodes",
    ),
    "a larger share": (fault(), {"chaos": {**ALLOWED, "maxShare": 0.2}}, "ExceedsMaxShare", "chaos.maxShare"),
    "an unknown node": (fault(), {"chaos": {**ALLOWED, "nodes": ["node-99"]}}, "UnknownNode", "node-99"),
    "no candidate": (
        fault(), {"chaos": {**ALLOWED, "nodeSelector": {"perfrun.dev/none": "x"}}}, "NoCandidates", "nodeSelector",
    ),
    "outside the windows": (
        fault(), {"chaos": {**ALLOWED, "windows": [{"cron": "0 0 1 1 *", "length": "1m"}]}}, "OutsideWindow", "01-01",
    ),
    "more nodes than serve": (
        fault(nodes=40), {"chaos": ALLOWED, "service": {"workload": None}}, "NotEnoughNodes", "40",
    ),
    "no such Service": (
        fault(), {"chaos": ALLOWED, "service": NOBODY}, "NoEndpoints|ServiceNotFound", "nobody",
    ),
    "load for no such Service": (
        LOAD.format(rate=50), {"service": NOBODY}, "NoEndpoints|ServiceNotFound", "nobody",
    ),
    "more load than can be made": (
        LOAD.format(rate=2_000_000), {}, "GeneratorSaturated", r"saturated at (about )?\d+/s",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_clear_reason_and_nothing_left(kubectl, place, case):
    text, spec, reason, sentence = CASES[case]
    namespace, working = place
    name = re.sub("[^a-z]+", "-", case)
    target = served.target(name, load=SHORT, **spec)
    applied(kubectl, namespace, text, target)
    run = awaited(kubectl, namespace, name, finished, 120, working)
    status = run["status"]
    assert status["phase"] == "Inconclusive", told(run)
    [scenario] = status["scenarios"]
    assert re.fullmatch(reason, scenario["reason"]), told(run)
    assert re.search(sentence, scenario["message"]), told(run)
    assert all(each["state"] == "Refused" for each in status.get("faults") or ()), told(run)
    assert_nothing_left(kubectl, namespace)


def test_an_unhealthy_cluster_is_left_alone(kubectl, place):
    namespace, working = place
    node = served.ready_nodes(kubectl, namespace)[0]
    # Scaled by nobody: that the workload is not whole would be told first.
    target = served.target("unhealthy", load=SHORT, chaos=ALLOWED, service={"workload": None})
    kubectl("cordon", node)
    try:
        applied(kubectl, namespace, fault(), target)
        run = awaited(kubectl, namespace, "unhealthy", finished, 180, working)
    finally:
        kubectl("uncordon", node)
    [scenario] = run["status"]["scenarios"]
    assert (run["status"]["phase"], scenario["reason"]) == ("Inconclusive", "ClusterUnhealthy"), told(run)
    assert node in scenario["message"]
    assert_nothing_left(kubectl, namespace)


@pytest.mark.parametrize(
    ("chaos", "sentence"),
    [({"maxShare": 1}, "maxShare"), ({"backend": "chaos-mesh", "kind": "freeze"}, "chaos-mesh cannot do freeze")],
)
def test_what_can_be_told_beforehand_is_told_on_the_target(kubectl, place, chaos, sentence):
    namespace, _working = place
    document = json.dumps(served.target("wrong", chaos={**ALLOWED, **chaos}))
    answer = kubectl("apply", "--namespace", namespace, "--filename", "-", input=document, check=False)
    if "created" in answer:
        kubectl("wait", "perftarget/wrong", "--namespace", namespace, "--for=condition=Stalled", "--timeout=30s")
        answer = kubectl("get", "perftarget/wrong", "--namespace", namespace, "--output", "jsonpath={.status}")
    assert sentence in answer
