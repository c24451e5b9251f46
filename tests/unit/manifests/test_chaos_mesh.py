"""What Chaos Mesh is ordered to do, and how its statuses read."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from perfrun.manifests import external
from perfrun.manifests.external import ExternalFault, ExternalStep

FAULT = ExternalFault(
    id="s1-fault",
    run="nightly-7",
    run_namespace="shop",
    run_uid="uid-1",
    kind="isolate",
    nodes=("node-2", "node-4"),
    seconds=12.5,
    namespace="backend",
    selector={"app": "web"},
)
KILL = attrs.evolve(FAULT, kind="pod-kill")


def record(pod: str, phase: str, injected: int = 0, recovered: int = 0, *failures: str) -> dict[str, Any]:
    events = [{"type": "Succeeded", "operation": "Apply", "timestamp": "2026-11-25T01:00:00Z"}] * injected
    events += [
        {"type": "Failed", "operation": "Apply", "message": each, "timestamp": "2026-11-25T01:00:01Z"}
        for each in failures
    ]
    return {
        "id": f"backend/{pod}",
        "selectorKey": ".",
        "phase": phase,
        "injectedCount": injected,
        "recoveredCount": recovered,
        **({"events": events} if events else {}),
    }


def stored(
    fault: ExternalFault, desired: str = "", *records: dict[str, Any], deleting: bool = False, paused: bool = False
) -> dict[str, Any]:
    (order,) = external.objects("chaos-mesh", fault)
    metadata = {**order.manifest["metadata"], "finalizers": ["chaos-mesh/records"]}
    if deleting:
        metadata["deletionTimestamp"] = "2026-11-25T01:00:30Z"
    whole = {**order.manifest, "metadata": metadata}
    if desired:
        experiment: dict[str, Any] = {"desiredPhase": desired}
        if records:
            experiment["containerRecords"] = list(records)
        conditions = [{"type": "Paused", "status": str(paused)}]
        whole["status"] = {"conditions": conditions, "experiment": experiment}
    return whole


def test_isolation_cuts_the_services_pods_on_the_nodes_off_in_both_directions() -> None:
    (order,) = external.objects("chaos-mesh", FAULT)
    assert order.path.startswith("/apis/chaos-mesh.org/v1alpha1/namespaces/backend/networkchaos/perfrun-")
    assert order.manifest["spec"] == {
        "mode": "all",
        "selector": {
            "namespaces": ["backend"],
            "labelSelectors": {"app": "web"},
            "nodes": ["node-2", "node-4"],
        },
        "action": "partition",
        "direction": "both",
        "duration": "12500ms",
    }


def test_a_kill_is_immediate_and_has_no_end() -> None:
    (order,) = external.objects("chaos-mesh", KILL)
    assert order.path.startswith("/apis/chaos-mesh.org/v1alpha1/namespaces/backend/podchaos/perfrun-")
    assert order.manifest["spec"] == {
        "mode": "all",
        "selector": {
            "namespaces": ["backend"],
            "labelSelectors": {"app": "web"},
            "nodes": ["node-2", "node-4"],
        },
        "action": "pod-kill",
        "gracePeriod": 0,
    }


@pytest.mark.parametrize(
    ("object_", "phase", "message"),
    [
        (stored(FAULT), "Pending", "is its controller running?"),
        (stored(FAULT, "Run"), "Pending", "has selected no pod in namespace backend on node-2, node-4 yet"),
        (stored(FAULT, "Stop"), "Failed", "before Chaos Mesh had selected a pod"),
        (stored(FAULT, deleting=True), "Recovered", "removed before"),
        (
            # Selected pods count as recovered in the conditions already here, before anything was injected.
            stored(FAULT, "Run", record("web-2", "Not Injected"), record("web-4", "Not Injected")),
            "Pending",
            "into 0 of 2 pods",
        ),
        (
            stored(FAULT, "Run", record("web-2", "Injected", 1), record("web-4", "Not Injected/Wait")),
            "Pending",
            "into 1 of 2 pods",
        ),
        (
            stored(FAULT, "Run", record("web-2", "Not Injected", 0, 0, "no daemon on node-2")),
            "Pending",
            "into 0 of 1 pods; at backend/web-2 it met: no daemon on node-2",
        ),
        (
            stored(FAULT, "Run", record("web-2", "Injected", 1), record("web-4", "Injected", 1)),
            "Injected",
            "injected it into backend/web-2, backend/web-4",
        ),
        (
            stored(FAULT, "Stop", record("web-2", "Injected/Wait", 1), record("web-4", "Not Injected", 1, 1)),
            "Injected",
            "is recovering",
        ),
        (
            stored(FAULT, "Stop", record("web-2", "Not Injected", 1, 1), record("web-4", "Not Injected", 1, 1)),
            "Recovered",
            "recovered backend/web-2, backend/web-4",
        ),
        (
            stored(FAULT, "Stop", record("web-2", "Not Injected", 1, 1), record("web-4", "Not Injected", 0, 0, "dead")),
            "Failed",
            "its time passed before Chaos Mesh had injected it into backend/web-4; at backend/web-4 it met: dead",
        ),
        (
            stored(FAULT, "Stop", record("web-2", "Not Injected"), paused=True),
            "Failed",
            "it was paused before Chaos Mesh had injected it into backend/web-2",
        ),
        (stored(KILL, "Run", record("web-2", "Injected", 1)), "Injected", "injected it into backend/web-2"),
        (
            stored(FAULT, "Run", record("web-2", "Injected", 1), deleting=True),
            "Injected",
            "is recovering backend/web-2",
        ),
        (
            stored(FAULT, "Stop", record("web-2", "Not Injected", 1, 1), deleting=True),
            "Recovered",
            "recovered backend/web-2",
        ),
    ],
)
def test_statuses_read_as_what_they_mean(object_: dict[str, Any], phase: str, message: str) -> None:
    state = external.state("chaos-mesh", [object_])
    assert state.phase == phase
    assert message in state.message


def test_a_long_list_of_pods_is_cut_short() -> None:
    records = [record(f"web-{number}", "Injected", 1) for number in range(8)]
    state = external.state("chaos-mesh", [stored(FAULT, "Run", *records)])
    assert state.message.endswith("backend/web-3, backend/web-4 and 3 more")


def test_stopping_is_deleting_once() -> None:
    running = stored(FAULT, "Run", record("web-2", "Injected", 1))
    assert external.stop("chaos-mesh", [running]) == (ExternalStep(external.path_of(running)),)
    assert external.stop("chaos-mesh", [stored(FAULT, "Stop", deleting=True)]) == ()
    assert external.reports("chaos-mesh", [running]) == ()
