"""PerfFeature: a feature file under continuous verification, owned by the team that owns the SLO."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from perfrun.api.base import JSON, Model
from perfrun.api.durations import Duration, Time
from perfrun.api.limits import MAX_FEATURE_BYTES
from perfrun.api.verdicts import Verdict


class ConfigMapKeyRef(Model):
    """A key of a ConfigMap in the same namespace."""

    name: str = Field(min_length=1, max_length=253, description="Name of the ConfigMap.")
    key: str = Field(min_length=1, max_length=253, description="Key that holds the feature text.")


class Schedule(Model):
    """When the feature is verified again."""

    cron: str = Field(
        min_length=1, max_length=256, description="Cron expression with five fields, or a nickname such as @hourly."
    )
    time_zone: str = Field(default="UTC", max_length=64, description="IANA time zone of the cron expression.")
    jitter: Duration | None = Field(
        default=None, description="Each start is delayed by up to this long, the same for the same object and time."
    )
    starting_deadline_seconds: int | None = Field(
        default=None, ge=1, description="A start missed by more than this is left out; default: none is too late."
    )


class Retry(Model):
    """What happens after a run that could not tell."""

    limit: int = Field(
        default=1, ge=0, le=10, description="Runs repeated after Inconclusive or Error before giving up."
    )
    backoff: Duration = Field(default="30s", description="Wait before the first repetition; doubled each time.")


class Policy(Model):
    """How evidence becomes a verdict."""

    on_no_data: Literal["Inconclusive", "Fail"] = Field(
        default="Inconclusive", description="Verdict of a metric without data; it is never a pass."
    )
    accept_projected: bool = Field(
        default=False, description="Whether a value projected from shorter evidence may pass."
    )
    confidence: float = Field(default=0.99, ge=0.5, lt=1, description="Confidence of every interval.")


class History(Model):
    """How many finished runs are kept."""

    passed: int = Field(default=3, ge=0, le=1000, description="Finished runs kept that passed.")
    other: int = Field(default=5, ge=0, le=1000, description="Finished runs kept that did not pass.")


class FeatureSpec(Model):
    """What is to be verified, against what, and when."""

    feature: str | None = Field(default=None, max_length=MAX_FEATURE_BYTES, description="The feature text (Gherkin).")
    config_map_key_ref: ConfigMapKeyRef | None = Field(
        default=None, description="Where the feature text is kept instead."
    )
    target_ref: str = Field(min_length=1, max_length=253, description="Name of the PerfTarget in the same namespace.")
    schedule: Schedule | None = Field(default=None, description="When to verify again; without it only on change.")
    suspend: bool = Field(default=False, description="Whether new runs are held back; runs under way go on.")
    tags: str = Field(default="", max_length=1024, description="Cucumber tag expression that selects scenarios.")
    concurrency_policy: Literal["Forbid", "Replace"] = Field(
        default="Forbid", description="What a due start does while a run is under way: it is left out, or replaces it."
    )
    revision: str = Field(default="", max_length=256, description="Revision under test; a change starts a run.")
    max_age: Duration | None = Field(default=None, description="Age past which a verdict no longer counts.")
    timeout: Duration | None = Field(
        default=None,
        description="Longest time for a run; left out, an hour, or twice what its plan expects where that is more.",
    )
    retry: Retry = Field(default=Retry(), description="What happens after Inconclusive or Error.")
    policy: Policy = Field(default=Policy(), description="How evidence becomes a verdict.")
    history: History = Field(default=History(), description="How many finished runs are kept.")
    ttl_after_finished: Duration | None = Field(default=None, description="Finished runs older than this are deleted.")


class LastRun(Model):
    """The newest finished run."""

    name: str = Field(description="Name of the PerfRun.")
    verdict: Verdict = Field(description="Its verdict.")
    reason: str = Field(default="", description="Its reason, in one word.")
    message: str = Field(default="", description="Its message.")
    scenarios: str = Field(default="", description="Scenarios passed of all, such as 2/3.")
    finished_at: Time = Field(description="When it finished.")
    spec_digest: str = Field(default="", description="Digest of the spec that it executed.")
    feature_digest: str = Field(description="Digest of the feature that it judged.")
    revision: str = Field(default="", description="Revision that it judged.")


class FeatureStatus(Model):
    """What is known of the feature."""

    observed_generation: int = Field(default=-1, description="Generation that this status describes.")
    conditions: tuple[dict[str, JSON], ...] = Field(default=(), description="Ready, Reconciling, Stalled and Running.")
    verdict: Verdict | None = Field(default=None, description="Verdict of the newest finished run of this generation.")
    message: str = Field(default="", description="One sentence for people.")
    feature_digest: str = Field(default="", description="Digest of the current feature text.")
    spec_digest: str = Field(default="", description="Digest of the run that the current spec asked for, once started.")
    active_run: str = Field(default="", description="Name of the PerfRun under way.")
    last_run: LastRun | None = Field(default=None, description="The newest finished run.")
    retries: int = Field(default=0, description="Repetitions used since the last conclusive verdict.")
    started: int = Field(default=0, description="Runs started so far; numbers their names.")
    last_schedule_time: Time | None = Field(default=None, description="The scheduled time that was served last.")
    next_schedule_time: Time | None = Field(default=None, description="When the next run is due, jitter included.")
