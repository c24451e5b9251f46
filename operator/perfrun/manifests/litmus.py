"""Faults by Litmus (3 or newer): an engine for each node, which runs one of the generic experiments.

The experiments for nodes take one node each. Litmus runs pods for each experiment, so that a fault begins some seconds
after its engine was created, and Litmus does not say when: that is seen at the nodes themselves.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from perfrun.api.chaos import FaultKind
from perfrun.manifests.external_objects import (
    ExternalFault,
    ExternalObject,
    ExternalState,
    ExternalStep,
    being_deleted,
    made,
    path_of,
    together,
)
from perfrun.manifests.names import external_name

API_VERSION: Final = "litmuschaos.io/v1alpha1"
COLLECTIONS: Final = (f"/apis/{API_VERSION}/chaosengines",)

_EXPERIMENTS: Final[Mapping[FaultKind, str]] = {
    "drain": "node-drain",
    "freeze": "kubelet-service-kill",
    "pod-kill": "pod-delete",
}
_MEANINGS: Final[Mapping[FaultKind, str]] = {
    "drain": "Litmus drains the node with kubectl and uncordons it afterwards",
    "freeze": "Litmus stops the kubelet of the node and starts it again; containers that run go on running",
    "pod-kill": "Litmus kills the Service's pods on the node once, without grace",
}
_RUNNING: Final = "Running"
_COMPLETED: Final = "Completed"
_GIVEN_UP: Final = ("ChaosExperiment Not Found", "Skipped")


def meaning(kind: FaultKind) -> str:
    """Return what this kind of fault is with Litmus, in a sentence; empty where it cannot do it."""
    return _MEANINGS.get(kind, "")


def supported(kind: FaultKind) -> str:
    """Return nothing, or why Litmus cannot do this kind of fault and what to choose instead."""
    if kind in _EXPERIMENTS:
        return ""
    return (
        f"chaos.backend: litmus cannot do {kind}, because Litmus has no experiment that cuts a node off: "
        f"choose the backend native or chaos-mesh for it, or the kind freeze, drain or pod-kill"
    )


def missing(fault: ExternalFault) -> str:
    """Return nothing, or what this fault lacks to be put to Litmus safely."""
    if not fault.service_account:
        return (
            "chaos.serviceAccountName: Litmus runs its experiments as a service account, and none is named: name the "
            f"one that may run {_EXPERIMENTS[fault.kind]} in namespace {fault.namespace}"
        )
    if fault.kind == "pod-kill" and not fault.pods:
        return f"chaos.kind: no pod of the Service runs on {', '.join(fault.nodes)}: there is nothing to kill"
    return ""


def objects(fault: ExternalFault) -> tuple[ExternalObject, ...]:
    """Return the engines that make the nodes fail; ``fault.kind`` must be supported, and nothing missing."""
    if fault.kind == "pod-kill":
        # Experiments repeat until their time is over: one second is one round. Names rather than labels, because
        # Litmus would look for labels on all nodes.
        pods = [{"namespace": fault.namespace, "names": ",".join(fault.pods)}]
        once = {"TOTAL_CHAOS_DURATION": "1", "CHAOS_INTERVAL": "1", "FORCE": "true", "SEQUENCE": "parallel"}
        return (_engine(fault, "", once, {"selectors": {"pods": pods}}),)
    seconds = str(math.ceil(fault.seconds))
    return tuple(
        _engine(fault, node, {"TOTAL_CHAOS_DURATION": seconds, "TARGET_NODE": node}, {}) for node in fault.nodes
    )


def reports(ordered: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the paths where Litmus leaves the results of engines; they outlive these unless they are removed, too."""
    return tuple(path_of(_result(each)) for each in ordered if each["kind"] == "ChaosEngine")


def state(stored: Iterable[Mapping[str, Any]]) -> ExternalState:
    """Return how far Litmus has come with one fault, from its engines and, where they are there, their results."""
    every = tuple(stored)
    results = {path_of(each): each for each in every if each["kind"] == "ChaosResult"}
    engines = [each for each in every if each["kind"] == "ChaosEngine"]
    return together(_state(each, results.get(path_of(_result(each)), {})) for each in engines)


def stop(stored: Iterable[Mapping[str, Any]]) -> tuple[ExternalStep, ...]:
    """Return what to do next to end the fault and remove its objects: first stop, then delete.

    An engine that is asked to stop still reports how it ended, so it is deleted only when it has. Ask again with what
    is stored then. A frozen kubelet comes back when its time is over, not before: the node itself sees to that.
    """
    every = [each for each in stored if not being_deleted(each)]
    going_on = [each for each in every if each["kind"] == "ChaosEngine" and _under_way(each)]
    kept = {path for each in going_on for path in (path_of(each), path_of(_result(each)))}
    stops = [
        ExternalStep(path_of(each), {"spec": {"engineState": "stop"}})
        for each in going_on
        if each["spec"].get("engineState") != "stop"
    ]
    return (*stops, *(ExternalStep(path) for path in map(path_of, every) if path not in kept))


def _engine(
    fault: ExternalFault, node: str, environment: Mapping[str, str], target: Mapping[str, Any]
) -> ExternalObject:
    components: dict[str, Any] = {"env": [{"name": name, "value": value} for name, value in environment.items()]}
    runner: dict[str, Any] = {}
    if fault.home:
        # An experiment that ran on the node that it drains or freezes would end with it.
        components["nodeSelector"] = runner["nodeSelector"] = {"kubernetes.io/hostname": fault.home}
    spec = {
        "engineState": "active",
        "chaosServiceAccount": fault.service_account,
        "jobCleanUpPolicy": "delete",
        "components": {"runner": runner},
        "experiments": [{"name": _EXPERIMENTS[fault.kind], "spec": {"components": components}}],
        **target,
    }
    return made(fault, API_VERSION, "ChaosEngine", external_name(fault.run_uid, fault.id, node), spec)


def _result(engine: Mapping[str, Any]) -> dict[str, Any]:
    """Return the identity of the result that Litmus writes for an engine's only experiment."""
    metadata, experiment = engine["metadata"], engine["spec"]["experiments"][0]["name"]
    name = f"{metadata['name']}-{experiment}"
    return {
        "apiVersion": API_VERSION,
        "kind": "ChaosResult",
        "metadata": {"name": name, "namespace": metadata["namespace"]},
    }


def _under_way(engine: Mapping[str, Any]) -> bool:
    return (engine.get("status") or {}).get("engineStatus") == "initialized"


def _state(engine: Mapping[str, Any], result: Mapping[str, Any]) -> ExternalState:
    status: Mapping[str, Any] = engine.get("status") or {}
    name = engine["spec"]["experiments"][0]["name"]
    engine_status = status.get("engineStatus")
    if engine_status == "stopped":
        return ExternalState("Recovered", f"{name} was stopped early")
    if engine_status:
        experiments: Sequence[Mapping[str, Any]] = status.get("experiments") or [{}]
        return _of_experiment(name, experiments[0], result, over=engine_status == "completed")
    if being_deleted(engine):
        return ExternalState("Recovered", f"{name} was removed before Litmus had taken it up")
    return ExternalState("Pending", f"Litmus has not taken {name} up yet: is its operator running?")


def _of_experiment(name: str, experiment: Mapping[str, Any], result: Mapping[str, Any], *, over: bool) -> ExternalState:
    now, verdict = experiment.get("status"), experiment.get("verdict")
    if now == _COMPLETED and verdict == "Pass":
        return ExternalState("Recovered", f"{name} is completed")
    if now == _COMPLETED or now in _GIVEN_UP:
        return ExternalState("Failed", f"{name} ended as {verdict} ({now}){_reason(result)}")
    if over:
        return ExternalState("Failed", f"Litmus ended {name} without having run it: is there a ChaosExperiment {name}?")
    if now == _RUNNING:
        return ExternalState("Injected", f"{name} is running")
    return ExternalState("Pending", f"Litmus has not started {name} yet")


def _reason(result: Mapping[str, Any]) -> str:
    status = (result.get("status") or {}).get("experimentStatus") or {}
    reason = (status.get("errorOutput") or {}).get("reason")
    return f": {reason}" if reason else ""
