"""What a run changed in the world, and how it was taken back: written before it is done, proven before it is over."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from perfrun.api.base import Model
from perfrun.api.chaos import AnyFault, Backend
from perfrun.api.durations import Time

FINALIZER = "perfrun.dev/faults"
"""Keeps a run until everything that it changed is proven undone."""


class NodeFault(Model):
    """One node that fails."""

    node: str = Field(description="Name of the node.")
    injected_at: Time | None = Field(default=None, description="When the fault began on it.")
    not_ready_at: Time | None = Field(default=None, description="When the cluster was seen to have noticed.")
    undone_at: Time | None = Field(default=None, description="When the fault ended.")
    clean_at: Time | None = Field(default=None, description="When it was proven that nothing of it is left.")
    cordoned: bool = Field(default=False, description="Whether it had been cordoned before, and must stay so.")
    proof: str = Field(default="", description="What was looked at, and seen, in a sentence.")


class FaultStatus(Model):
    """One fault, from the intent to the proof that it is undone."""

    id: str = Field(description="Name of the fault, that of its stage.")
    kind: AnyFault = Field(description="How the nodes fail; spike: containers are held up.")
    backend: Backend = Field(description="Who carries it out.")
    seed: int = Field(description="Seed of the choice of nodes.")
    nodes: tuple[NodeFault, ...] = Field(description="The nodes that fail.")
    state: Literal["Intended", "Injected", "Undone", "Refused"] = Field(
        default="Intended", description="Refused: it was called off before anything happened."
    )
    starts_at: Time = Field(description="When it begins.")
    ends_at: Time = Field(description="When it ends, if nobody ends it before.")
    reason: str = Field(default="", description="Why it was called off or failed, in one word.")
    message: str = Field(default="", description="The same in a sentence.")

    @property
    def settled(self) -> bool:
        """Whether nothing of it remains to be undone."""
        return self.state in ("Undone", "Refused")


class ServingNode(Model):
    """A node with ready endpoints of the Service, as it was when the load began."""

    node: str = Field(description="Name of the node.")
    pods: tuple[str, ...] = Field(default=(), description="Pods of the Service on it.")
    cpu: float = Field(default=0, description="Allocatable CPU, cores.")


class Scaling(Model):
    """A workload that was scaled for the run."""

    kind: Literal["Deployment", "StatefulSet"] = Field(description="Kind of the workload.")
    namespace: str = Field(description="Its namespace.")
    name: str = Field(description="Its name.")
    before: int = Field(description="Replicas before the run.")
    now: int = Field(description="Replicas that the run wants at present.")
    restored: bool = Field(default=False, description="Whether it has as many as before again.")
