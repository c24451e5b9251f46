"""What decisions need to know of nodes, Services, workloads, agents and other runs: pure functions of their JSON."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from perfrun.adapters.podview import pod_view
from perfrun.api.run import Phase
from perfrun.lifecycle.values import AgentView, NodeView, OtherRun, WorkloadView
from perfrun.manifests import labels
from perfrun_kernels.contract import ContractError, FaultReport

AGENT: Final = "agent"
"""Container of a fault agent's pod."""

_DISTURBING: Final = frozenset({"load", "fault", "scale"})
_SETTLED: Final = frozenset({"Undone", "Refused"})
_UNDER_WAY: Final = frozenset({Phase.RUNNING.value, Phase.RESTORING.value})


def node_view(node: Mapping[str, Any]) -> NodeView:
    """Return what decisions need to know of a node."""
    metadata, status = node["metadata"], node.get("status") or {}
    conditions = {each["type"]: each["status"] for each in status.get("conditions") or ()}
    return NodeView(
        name=metadata["name"],
        ready=conditions.get("Ready") == "True",
        cordoned=bool((node.get("spec") or {}).get("unschedulable")),
        labels=dict(metadata.get("labels") or {}),
        cpu=cores((status.get("allocatable") or {}).get("cpu", "0")),
        cordoned_by=(metadata.get("annotations") or {}).get(labels.CORDONED_BY, ""),
    )


def cores(quantity: str) -> float:
    """Return an amount of CPU in cores; the API server writes whole cores or thousandths (``3920m``)."""
    return float(quantity[:-1]) / 1000 if quantity.endswith("m") else float(quantity)


def serving_of(slices: Iterable[Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    """Return the names of the pods that are ready behind a Service, by node, from its EndpointSlices."""
    found: dict[str, set[str]] = {}
    for each in slices:
        for node, pod in ready_endpoints(each):
            found.setdefault(node, set()).add(pod)
    return {node: tuple(sorted(pods)) for node, pods in sorted(found.items())}


def ready_endpoints(part: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield node and name of every pod that one EndpointSlice calls ready."""
    for endpoint in part.get("endpoints") or ():
        node, pod = endpoint.get("nodeName"), endpoint.get("targetRef") or {}
        # Not knowing is to be taken for ready, as the API defines it.
        ready = (endpoint.get("conditions") or {}).get("ready") is not False
        if node and ready and pod.get("kind") == "Pod":
            yield node, pod["name"]


def nodes_behind(slices: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return the nodes of all endpoints, ready or not."""
    return {node for each in slices for endpoint in each.get("endpoints") or () if (node := endpoint.get("nodeName"))}


def workload_view(stored: Mapping[str, Any]) -> WorkloadView:
    """Return the replicas of a Deployment or StatefulSet."""
    # What was not said is one replica, and a count that is left out is zero.
    return WorkloadView(
        replicas=(stored.get("spec") or {}).get("replicas", 1),
        ready=(stored.get("status") or {}).get("readyReplicas", 0),
    )


def agent_view(pod: Mapping[str, Any], faults: Mapping[str, str]) -> AgentView:
    """Return what decisions need to know of a fault agent; ``faults`` are ids of faults by the value of their label."""
    marks = pod["metadata"].get("labels") or {}
    view = pod_view(pod, AGENT)
    fault = marks.get(labels.FAULT, "")
    return AgentView(
        pod=view, fault=faults.get(fault, fault), node=view.node, undo=marks.get(labels.FAULT_KIND) == "undo",
        report=_report(view.message) if view.phase in ("Succeeded", "Failed") else None,
    )  # fmt: skip


def _report(message: str) -> FaultReport | None:
    try:
        return FaultReport.from_json(message)
    except ContractError:
        # Then the pod's own state and message tell what became of it.
        return None


def has_open_faults(run: Mapping[str, Any]) -> bool:
    """Return whether a PerfRun has faults that are not undone."""
    faults = (run.get("status") or {}).get("faults") or ()
    return any(each.get("state", "Intended") not in _SETTLED for each in faults)


def other_run(run: Mapping[str, Any]) -> OtherRun | None:
    """Return what another PerfRun means to a run of its target, or None where it is finished.

    One that has no plan yet may turn out to disturb: what cannot be known counts as if it did.
    """
    metadata, status = run["metadata"], run.get("status") or {}
    phase = status.get("phase") or Phase.PENDING.value
    if Phase(phase).finished:
        return None
    plan = (status.get("frozen") or {}).get("plan")
    return OtherRun(
        name=metadata["name"],
        created=dt.datetime.fromisoformat(metadata["creationTimestamp"]),
        running=phase in _UNDER_WAY,
        disturbs=plan is None or any(stage.get("kind") in _DISTURBING for stage in plan.get("stages") or ()),
    )
