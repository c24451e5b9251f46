"""How the container network is measured, and how latency spikes are looked for."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from perfrun.api.base import Model
from perfrun.api.durations import Duration

SpikeKind = Literal["quota", "freezer", "hog", "tbf", "nfqueue", "drop"]


class Peak(Model):
    """The highest rate that the Service answers well: how it is found, or what it is known to be."""

    rate: float | None = Field(
        default=None, gt=0, le=1e7,
        description="Requests per second at the peak, where they are known or promised; left out, they are looked for.",
    )  # fmt: skip
    first: float = Field(default=500, gt=0, le=1e7, description="Requests per second of the first step.")
    growth: float = Field(default=1.5, gt=1, le=10, description="How many times the rate of the step before.")
    steps: int = Field(default=8, ge=2, le=32, description="Most steps.")
    step: Duration = Field(default="2s", description="Length of a step.")
    latency: Duration = Field(default="50ms", description="p99 up to which a step counts as answered well.")


class Network(Model):
    """How the container network is measured."""

    peak: Peak = Field(default=Peak(), description="The peak load.")
    packet_rate: float = Field(default=5000, gt=0, le=2e5, description="UDP packets per second for loss and latency.")
    packet_bytes: int = Field(default=64, ge=64, le=1400, description="Bytes of each, headers not counted.")
    streams: int = Field(default=4, ge=1, le=128, description="Parallel TCP streams for throughput.")
    rounds: int = Field(default=5, ge=2, le=20, description="Rounds in which the paths take turns for throughput.")
    slice: Duration = Field(default="2s", description="Length of one path's turn, whole seconds.")
    port: int = Field(default=5201, ge=1024, le=65000, description="First of three ports that the servers listen on.")
    host_network: bool = Field(
        default=True, description="Whether the nodes' own network is measured too, to compare with."
    )


class Spikes(Model):
    """How latency spikes are made and looked for."""

    inject: tuple[SpikeKind, ...] = Field(
        default=("quota", "freezer", "hog", "tbf", "nfqueue", "drop"), max_length=6,
        description="Kinds that are made, where chaos.allowed permits it; none, or not permitted: one is waited for.",
    )  # fmt: skip
    rounds: int = Field(default=3, ge=1, le=100, description="How often each kind is made.")
    lasts: Duration = Field(default="50ms", description="How long each lasts.")
    interval: Duration = Field(default="2.25ms", description="Time between two probes of a pod.")
    deadline: Duration = Field(default="2.25ms", description="Time after which an unanswered probe is a spike.")
    budget: float = Field(
        default=0.03, ge=0.001, le=1,
        description="Share of the node's CPUs that watching may take from others; it probes less often before it does.",
    )  # fmt: skip
    path: str = Field(default="/", pattern=r"^/", max_length=2048, description="Path that is probed by GET.")
    container: str = Field(default="", max_length=63, description="Container that is held up; left out: which listens.")
    window: Duration = Field(default="30s", description="How long a spike is waited for that nobody makes.")
