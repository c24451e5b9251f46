"""Faults that other tools carry out: what they are asked to do, and how far they have come.

One place to choose the tool, so that nothing else needs to know which there are. All of it is pure: objects go out
and stored objects come in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, Protocol

from perfrun.api.chaos import FaultKind
from perfrun.manifests import chaos_mesh, litmus
from perfrun.manifests.external_objects import (
    ExternalFault,
    ExternalObject,
    ExternalState,
    ExternalStep,
    path_of,
)

__all__ = [
    "ExternalBackend",
    "ExternalFault",
    "ExternalObject",
    "ExternalState",
    "ExternalStep",
    "collections",
    "meaning",
    "missing",
    "objects",
    "path_of",
    "reports",
    "state",
    "stop",
    "supported",
]

ExternalBackend = Literal["chaos-mesh", "litmus"]


class _Tool(Protocol):
    @property
    def COLLECTIONS(self) -> tuple[str, ...]: ...  # noqa: N802 -- a constant of each tool's module

    def meaning(self, kind: FaultKind) -> str: ...

    def supported(self, kind: FaultKind) -> str: ...

    def missing(self, fault: ExternalFault) -> str: ...

    def objects(self, fault: ExternalFault) -> tuple[ExternalObject, ...]: ...

    def reports(self, ordered: Iterable[Mapping[str, Any]]) -> tuple[str, ...]: ...

    def state(self, stored: Iterable[Mapping[str, Any]]) -> ExternalState: ...

    def stop(self, stored: Iterable[Mapping[str, Any]]) -> tuple[ExternalStep, ...]: ...


_TOOLS: Final[Mapping[ExternalBackend, _Tool]] = {"chaos-mesh": chaos_mesh, "litmus": litmus}


def meaning(backend: ExternalBackend, kind: FaultKind) -> str:
    """Return what this kind of fault is with this tool, in a sentence; empty where it cannot do it."""
    return _TOOLS[backend].meaning(kind)


def supported(backend: ExternalBackend, kind: FaultKind) -> str:
    """Return nothing, or in a sentence why this tool cannot do this kind of fault and what to choose instead."""
    return _TOOLS[backend].supported(kind)


def missing(backend: ExternalBackend, fault: ExternalFault) -> str:
    """Return nothing, or in a sentence what a fault of a supported kind lacks to be put to this tool safely."""
    return _TOOLS[backend].missing(fault)


def objects(backend: ExternalBackend, fault: ExternalFault) -> tuple[ExternalObject, ...]:
    """Return the objects by which the tool carries the fault out; their names follow from run, fault and node.

    Raises:
        ValueError: the tool cannot do this, or something is missing; the message is the sentence that says so.
    """
    if refusal := supported(backend, fault.kind) or missing(backend, fault):
        raise ValueError(refusal)
    return _TOOLS[backend].objects(fault)


def reports(backend: ExternalBackend, ordered: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the paths of what the tool itself writes about objects (manifests or stored), to be read beside them."""
    return _TOOLS[backend].reports(ordered)


def state(backend: ExternalBackend, stored: Iterable[Mapping[str, Any]]) -> ExternalState:
    """Return how far the tool has come, from those of a fault's objects and reports that are there."""
    return _TOOLS[backend].state(stored)


def stop(backend: ExternalBackend, stored: Iterable[Mapping[str, Any]]) -> tuple[ExternalStep, ...]:
    """Return the next requests that end a fault and remove what is stored of it.

    Ask again with what is stored afterwards, until nothing is: objects go only when the tool lets them go.
    """
    return _TOOLS[backend].stop(stored)


def collections(backend: ExternalBackend) -> tuple[str, ...]:
    """Return where to list the tool's objects in all namespaces; the labels of a fault's run tell which are ours."""
    return _TOOLS[backend].COLLECTIONS
