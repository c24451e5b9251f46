"""What faults may do to a target: nothing, unless the platform team allows it here."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from perfrun.api.base import Model
from perfrun.api.durations import Duration

FaultKind = Literal["isolate", "freeze", "drain", "pod-kill"]
AnyFault = Literal["isolate", "freeze", "drain", "pod-kill", "spike"]
"""What a fault of a run may be: a node that fails, or containers that are held up for moments."""

Backend = Literal["native", "chaos-mesh", "litmus"]


class Window(Model):
    """A recurring stretch of time."""

    cron: str = Field(min_length=1, max_length=256, description="When it opens, as a cron expression.")
    length: Duration = Field(description="How long it stays open.")
    time_zone: str = Field(default="UTC", max_length=64, description="IANA time zone of the cron expression.")


class Chaos(Model):
    """What faults may do to this target: nothing, unless allowed here."""

    allowed: bool = Field(default=False, description="Whether faults may be injected at all.")
    kind: FaultKind = Field(
        default="isolate",
        description="How a node fails: isolate cuts its network, freeze stops kubelet and container runtime, drain "
        "cordons it and evicts its pods, pod-kill kills the Service's pods on it.",
    )
    backend: Backend = Field(default="native", description="Who carries the fault out.")
    nodes: tuple[str, ...] = Field(default=(), max_length=1000, description="Only these nodes may fail; none: any.")
    node_selector: dict[str, str] = Field(
        default_factory=dict, max_length=64, description="Only nodes with these labels may fail."
    )
    max_nodes: int = Field(default=1, ge=0, description="Most nodes that may fail at once.")
    max_share: float = Field(
        default=0.34, ge=0, lt=1, description="Largest share of the serving nodes that may fail at once."
    )
    protected_labels: dict[str, str] = Field(
        default_factory=dict, max_length=64, description="Nodes with any of these never fail."
    )
    spare: tuple[Literal["operator", "prometheus", "generator"], ...] = Field(
        default=("operator", "prometheus", "generator"), max_length=3, description="Whose nodes never fail."
    )
    windows: tuple[Window, ...] = Field(
        default=(), max_length=64, description="When faults may happen; empty means at any time."
    )
    max_duration: Duration = Field(default="2m", description="Longest time that a fault may last.")
    patience: Duration = Field(
        default="1m",
        description="How long unhealthy nodes, or too few of them, are waited for before the fault is refused.",
    )
    seed: int | None = Field(
        default=None,
        ge=0,
        description="Seed of the choice of nodes; left out, it follows from the run. It is recorded.",
    )
    service_account_name: str | None = Field(
        default=None, max_length=253, description="Service account for the experiments of Litmus."
    )
