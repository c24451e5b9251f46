"""The plan: what a run will do, frozen onto it before anything is done.

It is stored on the PerfRun, so that an operator of another version, or one that starts after a crash, carries on
with exactly what the first one meant.
"""

from __future__ import annotations

import hashlib
import json
from typing import Literal

from pydantic import Field

from perfrun.api.base import JSON, Model

Comparator = Literal["<", "<=", ">", ">="]


class Claim(Model):
    """A measured promise: the subject compared with a limit."""

    subject: str = Field(description="What is measured, such as 'sampling.p99_latency'.")
    label: str = Field(description="The subject in the feature's own words.")
    comparator: Comparator = Field(description="How the value must stand to the limit.")
    limit: float = Field(description="The limit, in unit.")
    unit: str = Field(description="Unit of limit and value.")
    stage: str = Field(default="", description="Stage whose result answers this claim.")
    parameters: dict[str, JSON] = Field(default_factory=dict, description="What else the subject needs.")


class PlannedStep(Model):
    """One step of a scenario, as planned."""

    keyword: str = Field(description="Given, When or Then; And and But are resolved.")
    text: str = Field(description="The step as written, placeholders filled in.")
    line: int = Field(description="Line in the feature.")
    claim: Claim | None = Field(default=None, description="What the step promises; absent for Given and When.")


class Stage(Model):
    """One piece of work: a benchmark pod, a stretch of time to observe, a load with its fault, or queries."""

    id: str = Field(description="Name of the stage, unique in the run.")
    scenario: int = Field(description="Index of the scenario that it serves.")
    kind: Literal["pod", "observe", "query", "load", "fault", "scale", "ids"] = Field(
        description="pod measures by itself; observe waits; query asks; load sends requests from generator pods; fault "
        "breaks nodes meanwhile; scale sets the number of servers; ids reads from the servers' logs what they answered."
    )
    alongside: str = Field(default="", description="Load stage that a fault or pod stage goes along with.")
    offset: float = Field(default=0, description="When a pod alongside a load begins, seconds from the load's start.")
    beside: str = Field(default="", description="Stage on whose pod's node this stage's pod runs.")
    apart: str = Field(default="", description="Stage on whose pod's node this stage's pod never runs.")
    peer: str = Field(default="", description="Stage whose pod this stage's pod talks to; it is told its address.")
    host_network: bool = Field(default=False, description="Whether the pod uses its node's network.")
    rate_of: str = Field(default="", description="Load stage that finds the rate which this load is to have.")
    shards: int = Field(default=1, description="Generator pods of a load stage.")
    program: str = Field(default="", description="What a pod runs, such as 'sampling'.")
    parameters: dict[str, JSON] = Field(default_factory=dict, description="Arguments of the program or query.")
    gpus: int = Field(default=0, description="GPUs that the pod asks for.")
    seconds: float = Field(default=0, description="Budget of the measuring itself, seconds.")
    start_timeout: float = Field(default=300, description="Longest time from a pod's creation to its start, seconds.")
    timeout: float = Field(default=600, description="Longest time that one attempt may run once started, seconds.")
    attempts: int = Field(default=1, description="Most attempts.")
    resumes: bool = Field(
        default=False,
        description="Whether the pod hands in what it has while it goes on, so that another attempt does the rest.",
    )


class PlannedScenario(Model):
    """One scenario (an outline gives one for each row), as planned."""

    name: str = Field(description="Name, with the row's values for an outline.")
    line: int = Field(description="Line in the feature (of the row, for an outline).")
    tags: tuple[str, ...] = Field(default=(), description="Tags, inherited ones included.")
    steps: tuple[PlannedStep, ...] = Field(description="Steps, those of the background first.")
    not_implemented: str = Field(
        default="", description="The capability that this version lacks; the scenario is then Inconclusive."
    )


class Plan(Model):
    """What a run will do, in order."""

    scenarios: tuple[PlannedScenario, ...] = Field(description="Scenarios in the feature's order.")
    stages: tuple[Stage, ...] = Field(default=(), description="Stages in the order of execution.")
    confidence: float = Field(default=0.99, description="Confidence of every interval.")
    prometheus: JSON = Field(default=None, description="The target's Prometheus, frozen.")

    def digest(self) -> str:
        """Return the SHA-256 of the plan as canonical JSON, prefixed with ``sha256:``."""
        return digest(self.to_wire())


def digest(data: JSON) -> str:
    """Return the SHA-256 of canonical JSON (or of a text's UTF-8 bytes), prefixed with ``sha256:``."""
    text = data if isinstance(data, str) else json.dumps(data, sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()
