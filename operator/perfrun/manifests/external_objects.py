"""What every tool that carries out faults for perfrun has in common: the order, its objects, and how far it has come.

Apart from the tools themselves, so that each tool's module needs to know only its own objects.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

import attrs

from perfrun.api.chaos import FaultKind
from perfrun.manifests import labels
from perfrun.manifests.names import label_value
from perfrun.manifests.pods import owner_reference

Phase = Literal["Pending", "Injected", "Recovered", "Failed"]

_PLURALS: Final = {
    "NetworkChaos": "networkchaos",
    "PodChaos": "podchaos",
    "ChaosEngine": "chaosengines",
    "ChaosResult": "chaosresults",
}


@attrs.frozen
class ExternalFault:
    """A fault that another tool is to carry out on ``nodes`` for ``seconds``.

    ``namespace`` and ``selector`` (labels) tell the Service's pods; ``pods`` are the names of those that run on the
    failing nodes. ``service_account`` is the one that Litmus's experiments run as. ``home`` is the hostname label of a
    node that does not fail, where programs of the tool may run; empty leaves that to the scheduler.
    """

    id: str
    run: str
    run_namespace: str
    run_uid: str
    kind: FaultKind
    nodes: tuple[str, ...]
    seconds: float
    namespace: str
    selector: Mapping[str, str]
    service_account: str = ""
    pods: tuple[str, ...] = ()
    home: str = ""


@attrs.frozen
class ExternalObject:
    """An object to create: its path in the API, and its manifest."""

    path: str
    manifest: Mapping[str, Any]

    @property
    def collection(self) -> str:
        """The path to which it is posted."""
        return self.path.rpartition("/")[0]


@attrs.frozen
class ExternalState:
    """How far another tool has come with a fault: its phase, and a sentence.

    Recovered: nothing of the fault is in place any more, as far as the tool knows. Failed: the tool gave up, or never
    began; what it had done by then may still have to be undone.
    """

    phase: Phase
    message: str = ""


@attrs.frozen
class ExternalStep:
    """One request that ends a fault early: a JSON merge patch of the object at ``path``, or else its deletion."""

    path: str
    patch: Mapping[str, Any] | None = None


def made(fault: ExternalFault, api_version: str, kind: str, name: str, spec: Mapping[str, Any]) -> ExternalObject:
    """Return an object of the Service's namespace that tells by its labels which run it belongs to.

    The run owns it where both are in one namespace: owners in other namespaces would have it deleted at once.
    """
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": fault.namespace,
        "labels": {
            labels.NAME: "perfrun",
            labels.COMPONENT: "fault",
            labels.MANAGED_BY: "perfrun",
            labels.RUN: label_value(fault.run),
            labels.RUN_UID: fault.run_uid,
            labels.RUN_NAMESPACE: fault.run_namespace,
            labels.FAULT: label_value(fault.id),
        },
    }
    if fault.namespace == fault.run_namespace:
        metadata["ownerReferences"] = [owner_reference("PerfRun", fault.run, fault.run_uid)]
    manifest = {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec}
    return ExternalObject(path=path_of(manifest), manifest=manifest)


def path_of(stored: Mapping[str, Any]) -> str:
    """Return the path in the API of an object of one of these tools."""
    metadata = stored["metadata"]
    plural = _PLURALS[stored["kind"]]
    return f"/apis/{stored['apiVersion']}/namespaces/{metadata['namespace']}/{plural}/{metadata['name']}"


def being_deleted(stored: Mapping[str, Any]) -> bool:
    """Whether the object only waits for its finalizers."""
    return "deletionTimestamp" in stored["metadata"]


def together(states: Iterable[ExternalState]) -> ExternalState:
    """Return the state of a fault from those of its objects.

    Failed if any is; else as little as the least advanced. Nothing left is Recovered.
    """
    found = tuple(states)
    for phase in ("Failed", "Pending", "Injected", "Recovered"):
        messages = [each.message for each in found if each.phase == phase]
        if messages:
            return ExternalState(phase=phase, message="; ".join(dict.fromkeys(messages)))
    return ExternalState(phase="Recovered", message="nothing of it is left")


def listed(names: Iterable[str], most: int = 5) -> str:
    """Return names for a sentence: a few of them, and how many more there are."""
    every = tuple(names)
    shown = ", ".join(every[:most])
    return f"{shown} and {len(every) - most} more" if len(every) > most else shown
