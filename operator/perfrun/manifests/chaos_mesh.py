"""Faults by Chaos Mesh: experiments on the Service's pods of the failing nodes.

Chaos Mesh acts on pods, never on nodes. Its controller ends an experiment when its duration is over, and removes an
object only after it recovered every pod: until then the object's finalizer stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from perfrun.api.chaos import FaultKind
from perfrun.manifests.external_objects import (
    ExternalFault,
    ExternalObject,
    ExternalState,
    ExternalStep,
    being_deleted,
    listed,
    made,
    path_of,
    together,
)
from perfrun.manifests.names import external_name

API_VERSION: Final = "chaos-mesh.org/v1alpha1"
COLLECTIONS: Final = (f"/apis/{API_VERSION}/networkchaos", f"/apis/{API_VERSION}/podchaos")

_INJECTED: Final = "Injected"
_NOT_INJECTED: Final = "Not Injected"
_STOP: Final = "Stop"

_MEANINGS: Final[Mapping[FaultKind, str]] = {
    "isolate": "Chaos Mesh cuts the Service's pods on the node off from the network; the node itself stays Ready",
    "pod-kill": "Chaos Mesh kills the Service's pods on the node once, without grace",
}


def meaning(kind: FaultKind) -> str:
    """Return what this kind of fault is with Chaos Mesh, in a sentence; empty where it cannot do it."""
    return _MEANINGS.get(kind, "")


def supported(kind: FaultKind) -> str:
    """Return nothing, or why Chaos Mesh cannot do this kind of fault and what to choose instead."""
    if kind in _MEANINGS:
        return ""
    return (
        f"chaos.backend: chaos-mesh cannot do {kind}, because Chaos Mesh acts on pods and not on nodes: "
        f"choose the backend native or litmus for it, or the kind isolate or pod-kill"
    )


def missing(fault: ExternalFault) -> str:
    """Return nothing, or what this fault lacks to be put to Chaos Mesh safely."""
    if not fault.selector:
        return (
            "chaos.backend: chaos-mesh finds the Service's pods by their labels, and the Service has no selector: "
            "name a Service with a selector, or choose the backend native"
        )
    return ""


def objects(fault: ExternalFault) -> tuple[ExternalObject, ...]:
    """Return the one experiment that makes all nodes' pods fail together; ``fault.kind`` must be supported."""
    spec: dict[str, Any] = {
        "mode": "all",
        "selector": {
            "namespaces": [fault.namespace],
            "labelSelectors": dict(fault.selector),
            "nodes": list(fault.nodes),
        },
    }
    name = external_name(fault.run_uid, fault.id)
    if fault.kind == "pod-kill":
        # No duration: a kill is over at once, and the controller never repeats it.
        return (made(fault, API_VERSION, "PodChaos", name, {"action": "pod-kill", "gracePeriod": 0, **spec}),)
    # A partition from nothing in particular is one from everything.
    spec |= {"action": "partition", "direction": "both", "duration": f"{round(fault.seconds * 1000)}ms"}
    return (made(fault, API_VERSION, "NetworkChaos", name, spec),)


def reports(ordered: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return nothing: Chaos Mesh tells everything in the status of the experiment."""
    del ordered
    return ()


def state(stored: Iterable[Mapping[str, Any]]) -> ExternalState:
    """Return how far Chaos Mesh has come with the experiments of one fault."""
    return together(_state(each) for each in stored)


def stop(stored: Iterable[Mapping[str, Any]]) -> tuple[ExternalStep, ...]:
    """Return the deletions that make Chaos Mesh recover every pod; those already asked for are not repeated."""
    return tuple(ExternalStep(path_of(each)) for each in stored if not being_deleted(each))


def _state(stored: Mapping[str, Any]) -> ExternalState:
    status = stored.get("status") or {}
    experiment = status.get("experiment") or {}
    records = experiment.get("containerRecords") or []
    stopping = experiment.get("desiredPhase") == _STOP
    deleting = being_deleted(stored)
    if not records:
        return _unselected(stored, taken_up=bool(experiment), stopping=stopping, deleting=deleting)
    if (stopping or deleting) and all(each["phase"] == _NOT_INJECTED for each in records):
        return _over(stored, records, deleting=deleting)
    where = listed(each["id"] for each in records)
    if stopping or deleting:
        return ExternalState("Injected", f"Chaos Mesh is recovering {where}{_last_failure(records)}")
    injected = [each for each in records if each["phase"] == _INJECTED]
    if len(injected) == len(records):
        return ExternalState("Injected", f"Chaos Mesh injected it into {where}")
    return ExternalState(
        "Pending", f"Chaos Mesh injected it into {len(injected)} of {len(records)} pods{_last_failure(records)}"
    )


def _unselected(stored: Mapping[str, Any], *, taken_up: bool, stopping: bool, deleting: bool) -> ExternalState:
    if deleting:
        return ExternalState("Recovered", "it was removed before Chaos Mesh had selected a pod")
    selector = stored["spec"]["selector"]
    where = f"in namespace {listed(selector.get('namespaces', ()))} on {listed(selector.get('nodes', ()))}"
    if stopping:
        return ExternalState("Failed", f"its time passed before Chaos Mesh had selected a pod {where}")
    if taken_up:
        return ExternalState("Pending", f"Chaos Mesh has selected no pod {where} yet")
    return ExternalState("Pending", "Chaos Mesh has not taken it up yet: is its controller running?")


def _over(stored: Mapping[str, Any], records: list[Mapping[str, Any]], *, deleting: bool) -> ExternalState:
    if deleting or all(each.get("injectedCount", 1) for each in records):
        return ExternalState("Recovered", f"Chaos Mesh recovered {listed(each['id'] for each in records)}")
    why = "it was paused" if _paused(stored) else "its time passed"
    never = listed(each["id"] for each in records if not each.get("injectedCount", 1))
    return ExternalState("Failed", f"{why} before Chaos Mesh had injected it into {never}{_last_failure(records)}")


def _paused(stored: Mapping[str, Any]) -> bool:
    conditions = stored["status"].get("conditions") or []
    return any(each["type"] == "Paused" and each["status"] == "True" for each in conditions)


def _last_failure(records: list[Mapping[str, Any]]) -> str:
    """Return, to end a sentence, what went wrong last where the last thing that happened to a pod went wrong."""
    for each in records:
        events = each.get("events") or [{}]
        if events[-1].get("type") == "Failed":
            return f"; at {each['id']} it met: {events[-1].get('message', 'a failure without a message')}"
    return ""
