"""What Litmus is ordered to do, and how its statuses and results read."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from perfrun.manifests import external
from perfrun.manifests.external import ExternalFault, ExternalStep

DRAIN = ExternalFault(
    id="s1-fault",
    run="nightly-7",
    run_namespace="shop",
    run_uid="uid-1",
    kind="drain",
    nodes=("node-2", "node-4"),
    seconds=12.5,
    namespace="backend",
    selector={"app": "web"},
    service_account="litmus-admin",
    pods=("web-2", "web-4"),
    home="node-1",
)
FREEZE = attrs.evolve(DRAIN, kind="freeze")
KILL = attrs.evolve(DRAIN, kind="pod-kill")
ONE = attrs.evolve(DRAIN, nodes=("node-2",))


def environment(manifest: Any) -> dict[str, str]:
    (experiment,) = manifest["spec"]["experiments"]
    return {each["name"]: each["value"] for each in experiment["spec"]["components"]["env"]}


def stored(
    engine_status: str = "",
    status: str = "",
    verdict: str = "Awaited",
    *,
    state: str = "active",
    deleting: bool = False,
) -> dict[str, Any]:
    (order,) = external.objects("litmus", ONE)
    metadata = dict(order.manifest["metadata"])
    if deleting:
        metadata["deletionTimestamp"] = "2026-11-25T01:00:30Z"
    whole = {**order.manifest, "metadata": metadata, "spec": {**order.manifest["spec"], "engineState": state}}
    if engine_status:
        experiments = [
            {"name": "node-drain", "runner": "r", "experimentPod": "p", "status": status, "verdict": verdict}
        ]
        whole["status"] = {"engineStatus": engine_status, "experiments": experiments if status else None}
    return whole


def result(reason: str = "") -> dict[str, Any]:
    metadata = {"namespace": "backend", "name": f"{stored()['metadata']['name']}-node-drain"}
    output = {"errorOutput": {"errorCode": "CHAOS_INJECT_ERROR", "reason": reason}} if reason else {}
    return {
        "apiVersion": "litmuschaos.io/v1alpha1",
        "kind": "ChaosResult",
        "metadata": metadata,
        "status": {"experimentStatus": {"phase": "Error", "verdict": "Error", **output}},
    }


@pytest.mark.parametrize(("fault", "experiment"), [(DRAIN, "node-drain"), (FREEZE, "kubelet-service-kill")])
def test_every_node_gets_an_engine_of_its_own(fault: ExternalFault, experiment: str) -> None:
    orders = external.objects("litmus", fault)
    assert len({each.path for each in orders}) == 2
    for order, node in zip(orders, fault.nodes, strict=True):
        spec = order.manifest["spec"]
        assert order.path.startswith("/apis/litmuschaos.io/v1alpha1/namespaces/backend/chaosengines/perfrun-")
        assert spec["engineState"] == "active"
        assert spec["chaosServiceAccount"] == "litmus-admin"
        assert spec["experiments"][0]["name"] == experiment
        assert environment(order.manifest) == {"TOTAL_CHAOS_DURATION": "13", "TARGET_NODE": node}
        # Without an application to look at, Litmus judges nothing but the node.
        assert "appinfo" not in spec
        assert "selectors" not in spec


def test_a_kill_names_the_pods_and_happens_once() -> None:
    (order,) = external.objects("litmus", KILL)
    spec = order.manifest["spec"]
    assert spec["experiments"][0]["name"] == "pod-delete"
    assert spec["selectors"] == {"pods": [{"namespace": "backend", "names": "web-2,web-4"}]}
    assert environment(order.manifest) == {
        "TOTAL_CHAOS_DURATION": "1",
        "CHAOS_INTERVAL": "1",
        "FORCE": "true",
        "SEQUENCE": "parallel",
    }


def test_experiments_keep_off_the_nodes_that_fail() -> None:
    at_home = {"kubernetes.io/hostname": "node-1"}
    for order in external.objects("litmus", DRAIN):
        spec = order.manifest["spec"]
        assert spec["components"]["runner"]["nodeSelector"] == at_home
        assert spec["experiments"][0]["spec"]["components"]["nodeSelector"] == at_home
    (anywhere,) = external.objects("litmus", attrs.evolve(ONE, home=""))
    assert anywhere.manifest["spec"]["components"] == {"runner": {}}


@pytest.mark.parametrize(
    ("engine", "phase", "message"),
    [
        (stored(), "Pending", "is its operator running?"),
        (stored(deleting=True), "Recovered", "removed before"),
        (stored("initialized"), "Pending", "has not started node-drain yet"),
        (stored("initialized", "Waiting for Job Creation"), "Pending", "has not started node-drain yet"),
        (stored("initialized", "Running"), "Injected", "node-drain is running"),
        (stored("initialized", "Running", deleting=True), "Injected", "node-drain is running"),
        (stored("initialized", "Completed", "Pass"), "Recovered", "node-drain is completed"),
        (stored("completed", "Completed", "Pass", state="stop"), "Recovered", "node-drain is completed"),
        (stored("completed", "Completed", "Error", state="stop"), "Failed", "node-drain ended as Error (Completed)"),
        (stored("completed", "Skipped", "Fail", state="stop"), "Failed", "node-drain ended as Fail (Skipped)"),
        (stored("initialized", "ChaosExperiment Not Found", "Fail"), "Failed", "(ChaosExperiment Not Found)"),
        (stored("completed", state="stop"), "Failed", "is there a ChaosExperiment node-drain?"),
        (stored("stopped", "Forcefully Aborted", "Stopped", state="stop"), "Recovered", "stopped early"),
    ],
)
def test_statuses_read_as_what_they_mean(engine: dict[str, Any], phase: str, message: str) -> None:
    state = external.state("litmus", [engine])
    assert state.phase == phase
    assert message in state.message


def test_a_failure_gives_the_reason_from_the_result() -> None:
    failed = stored("completed", "Completed", "Error", state="stop")
    assert external.state("litmus", [failed, result("could not drain node")]).message.endswith(": could not drain node")
    assert external.state("litmus", [failed, result()]).message.endswith("(Completed)")


def test_a_result_alone_is_nothing_in_place() -> None:
    assert external.state("litmus", [result()]).phase == "Recovered"


def test_results_lie_where_litmus_puts_them() -> None:
    assert external.reports("litmus", [stored(), result()]) == (external.path_of(result()),)


def test_an_engine_under_way_is_stopped_before_it_is_deleted_with_its_result() -> None:
    path, report = external.path_of(stored()), external.path_of(result())
    going_on = [stored("initialized", "Running"), result()]
    assert external.stop("litmus", going_on) == (ExternalStep(path, {"spec": {"engineState": "stop"}}),)
    assert external.stop("litmus", [stored("initialized", "Running", state="stop"), result()]) == ()
    stopped = [stored("stopped", "Forcefully Aborted", "Stopped", state="stop"), result()]
    assert external.stop("litmus", stopped) == (ExternalStep(path), ExternalStep(report))
    assert external.stop("litmus", [stored("stopped", deleting=True)]) == ()
    assert external.stop("litmus", [result()]) == (ExternalStep(report),)
    assert external.stop("litmus", [stored()]) == (ExternalStep(path),)
