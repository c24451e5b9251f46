"""PerfRun: one execution of a feature, from the frozen plan to the evidence of every step."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field

from perfrun.api.base import JSON, Model
from perfrun.api.durations import Duration, Time
from perfrun.api.faults import FaultStatus, Scaling, ServingNode
from perfrun.api.feature import ConfigMapKeyRef, Policy
from perfrun.api.limits import MAX_FEATURE_BYTES
from perfrun.api.plan import Comparator, Plan
from perfrun.api.target import TargetSpec
from perfrun.api.verdicts import Verdict


class Phase(StrEnum):
    """Where a run stands; conditions are projected from it."""

    PENDING = "Pending"
    RUNNING = "Running"
    RESTORING = "Restoring"
    PASSED = "Passed"
    FAILED = "Failed"
    INCONCLUSIVE = "Inconclusive"
    ERROR = "Error"
    CANCELLED = "Cancelled"

    @property
    def finished(self) -> bool:
        """Whether no further phase can follow."""
        return self not in (Phase.PENDING, Phase.RUNNING, Phase.RESTORING)


class RunSpec(Model):
    """What to execute; the operator freezes a copy into status before it starts."""

    feature: str | None = Field(default=None, max_length=MAX_FEATURE_BYTES, description="The feature text (Gherkin).")
    config_map_key_ref: ConfigMapKeyRef | None = Field(
        default=None, description="Where the feature text is kept instead."
    )
    feature_ref: str | None = Field(
        default=None, min_length=1, max_length=253, description="Name of the PerfFeature that this run belongs to."
    )
    target_ref: str = Field(min_length=1, max_length=253, description="Name of the PerfTarget in the same namespace.")
    tags: str = Field(default="", max_length=1024, description="Cucumber tag expression that selects scenarios.")
    revision: str = Field(default="", max_length=256, description="Revision under test.")
    timeout: Duration | None = Field(
        default=None,
        description="Longest time for the run; left out, an hour, or twice what the plan expects where that is more.",
    )
    policy: Policy = Field(default=Policy(), description="How evidence becomes a verdict.")
    cancel: bool = Field(default=False, description="true stops the run and undoes its faults.")
    ttl_after_finished: Duration | None = Field(default=None, description="Deleted this long after it finished.")


class Frozen(Model):
    """Copies taken when the run began; nothing later changes what it judges."""

    feature: str = Field(description="The feature text.")
    feature_digest: str = Field(description="SHA-256 of the feature text.")
    target: TargetSpec = Field(description="The target's spec.")
    target_digest: str = Field(description="SHA-256 of the target's spec.")
    plan: Plan = Field(description="What the run does.")
    plan_digest: str = Field(description="SHA-256 of the plan.")
    images: dict[str, str] = Field(
        default_factory=dict, description="Image digests of the target's pods when the run began."
    )


class StageStatus(Model):
    """How far one stage has come."""

    id: str = Field(description="Name of the stage.")
    state: Literal["Waiting", "Starting", "Running", "Done", "Lost"] = Field(
        default="Waiting", description="Starting: intended, perhaps not yet begun. Lost: given up."
    )
    attempt: int = Field(default=0, description="Number of the current attempt; the first is 1.")
    pod: str = Field(default="", description="Name of the pod of the current attempt.")
    since: Time | None = Field(default=None, description="When the state was entered.")
    started_at: Time | None = Field(default=None, description="When the measuring began.")
    finished_at: Time | None = Field(default=None, description="When the measuring ended.")
    reason: str = Field(default="", description="Why the stage is Lost, in one word.")
    message: str = Field(default="", description="The same in a sentence.")
    broken: bool = Field(default=False, description="Whether the run itself failed, not the world around it.")
    artifact: str = Field(default="", description="Digest of the stored result.")
    saved_seconds: float | None = Field(
        default=None, description="Seconds of its budget that were left when the evidence sufficed."
    )
    start_at: Time | None = Field(default=None, description="When all generators of a load begin together.")
    serving: tuple[ServingNode, ...] = Field(default=(), description="Who served when a load began.")
    rate: float | None = Field(default=None, description="The rate that a load found or was given, 1/s.")


class TimeWindow(Model):
    """The stretch of time that a value covers."""

    start: Time = Field(description="Beginning.")
    end: Time = Field(description="End.")


class Source(Model):
    """Where a value came from."""

    kind: Literal["Pod", "Prometheus"] = Field(description="A benchmark pod, or a query.")
    name: str = Field(description="Pod name, or URL of the server.")
    query: str = Field(default="", description="The resolved PromQL.")
    step: str = Field(default="", description="Resolution of a range query.")


class StepStatus(Model):
    """The verdict on one step, with its evidence."""

    keyword: str = Field(description="Given, When or Then.")
    text: str = Field(description="The step as written, placeholders filled in.")
    verdict: Verdict = Field(description="Pass, Fail, Inconclusive, Error or Skipped.")
    reason: str = Field(description="Why, in one word.")
    message: str = Field(default="", description="Why, in one sentence with the number.")
    value: float | None = Field(default=None, description="The measured value, in unit.")
    unit: str | None = Field(default=None, description="Unit of value, limit and bounds.")
    limit: float | None = Field(default=None, description="The limit, in unit.")
    comparator: Comparator | None = Field(default=None, description="How the value must stand to the limit.")
    lower: float | None = Field(default=None, description="Lower bound of the confidence interval.")
    upper: float | None = Field(default=None, description="Upper bound of the confidence interval.")
    confidence: float | None = Field(default=None, description="Confidence of the interval.")
    samples: int | None = Field(default=None, description="Samples behind the value.")
    effective_samples: float | None = Field(
        default=None, description="Samples that they are worth, correlation considered."
    )
    window: TimeWindow | None = Field(default=None, description="The time that the value covers.")
    source: Source | None = Field(default=None, description="Where the value came from.")
    basis: Literal["Observed", "Projected"] | None = Field(
        default=None, description="Whether the value was observed in full or projected from shorter evidence."
    )
    facts: dict[str, JSON] = Field(
        default_factory=dict, description="What was measured: device, dtype, parameter count."
    )


class ScenarioStatus(Model):
    """The verdict on one scenario."""

    name: str = Field(description="Name, with the row's values for an outline.")
    line: int = Field(description="Line in the feature.")
    verdict: Verdict = Field(description="Worst of its steps.")
    reason: str = Field(default="", description="Why, in one word.")
    message: str = Field(default="", description="Why, in one sentence.")
    steps: tuple[StepStatus, ...] = Field(
        default=(), description="Every step with its evidence; left out, where the object would grow too large."
    )


class ArtifactLink(Model):
    """Bulk evidence kept outside the object."""

    name: str = Field(description="What it is, such as the id of a stage or 'report'.")
    url: str = Field(description="Where it is.")
    digest: str = Field(description="SHA-256 of its content.")
    bytes: int = Field(description="Its size in bytes.")


class KeptForecast(Model):
    """A forecast that the run made and that is kept until it can be scored."""

    metric: str = Field(description="The metric in the feature's words.")
    name: str = Field(description="Name of the PerfForecast.")
    due_at: Time = Field(description="When all of it has happened.")


class RunStatus(Model):
    """How far a run has come and what it found."""

    observed_generation: int = Field(default=-1, description="Generation that this status describes.")
    phase: Phase = Field(default=Phase.PENDING, description="Where the run stands.")
    conditions: tuple[dict[str, JSON], ...] = Field(default=(), description="Finished, Ready, Reconciling and Stalled.")
    ending: Literal["", "Completed", "Cancelled", "TimedOut", "Invalid"] = Field(
        default="", description="Why the run ends; set before anything that it started is taken back."
    )
    ending_at: Time | None = Field(default=None, description="When the end began.")
    verdict: Verdict | None = Field(default=None, description="Worst of its scenarios; absent until the run finished.")
    reason: str = Field(default="", description="Why, in one word.")
    message: str = Field(default="", description="Why, in one sentence.")
    summary: str = Field(default="", description="Scenarios passed of all, such as 2/3.")
    duration: str = Field(default="", description="How long it took, such as 1m32s.")
    saved: str = Field(
        default="", description="Measuring time that its budgets allowed and the evidence did not need, such as 1m48s."
    )
    started_at: Time | None = Field(default=None, description="When it began.")
    finished_at: Time | None = Field(default=None, description="When it finished.")
    frozen: Frozen | None = Field(default=None, description="Copies of feature, target and plan.")
    stages: tuple[StageStatus, ...] = Field(default=(), description="Every stage's progress.")
    scenarios: tuple[ScenarioStatus, ...] = Field(default=(), description="Every judged scenario, in order.")
    faults: tuple[FaultStatus, ...] = Field(default=(), description="Every fault, from intent to proof.")
    scaling: Scaling | None = Field(default=None, description="The workload that was scaled for the run.")
    artifacts: tuple[ArtifactLink, ...] = Field(default=(), description="Bulk evidence: results, report.")
    forecasts: tuple[KeptForecast, ...] = Field(default=(), description="Every forecast that is kept.")
    images: dict[str, str] = Field(default_factory=dict, description="Image digests of the target's pods at the end.")
