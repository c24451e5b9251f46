"""What a PerfFeature does next: which run it starts, replaces or deletes, and what its conditions say.

Level-triggered: what the spec asks for is compared with what was started last (``specDigest``), so it does not
matter how often or in which order changes were noticed. The name of a run is written to status, as the run under
way, before the run is created; until it is seen it is simply asked for again.
"""

from __future__ import annotations

import datetime as dt
from typing import Literal

import attrs

from perfrun.api.durations import seconds
from perfrun.api.feature import FeatureSpec, FeatureStatus, LastRun
from perfrun.api.plan import digest
from perfrun.api.run import RunSpec
from perfrun.api.target import TargetSpec
from perfrun.api.verdicts import Verdict
from perfrun.lifecycle.check_target import target_problems
from perfrun.lifecycle.conditions import Condition, merged
from perfrun.lifecycle.feature_conditions import FeatureView, expired, feature_conditions
from perfrun.lifecycle.freezing import planned_for
from perfrun.lifecycle.history import surplus
from perfrun.lifecycle.values import (
    Action,
    CancelRun,
    CreateRun,
    Decision,
    DeleteRun,
    Emit,
    Feature,
    FeatureObservation,
    Missing,
    Run,
)
from perfrun.manifests.names import run_name
from perfrun.planning.schedule import check_schedule, due_now, next_start

PERMANENT = frozenset({
    "NotImplemented", "NoGPU", "UnsupportedPrecision", "Projected", "NothingMeasured", "InvalidFeature", "InvalidPlan",
    "Cancelled",
})  # fmt: skip
"""Reasons that another run of the same spec would only repeat."""

Cause = Literal["Changed", "Scheduled", "Retry"]


@attrs.frozen
class _Due:
    """A run that should start now, and why."""

    cause: Cause
    scheduled: dt.datetime | None = None


def decide_feature(feature: Feature, seen: FeatureObservation, now: dt.datetime) -> Decision[FeatureStatus]:
    """Return what the feature does next."""
    if feature.meta.deleting:
        return Decision(feature.status)
    cleaning = tuple(DeleteRun(name) for name in surplus(feature.spec, seen.runs, now))
    status = _caught_up(feature.status, seen.runs)
    wrong = _wrong(feature.spec, seen)
    if isinstance(wrong, Missing):
        return _stalled(feature, status, wrong, cleaning, now)
    spec = wanted_run(feature, wrong)
    wanted = digest(spec.to_wire())
    if status.spec_digest != wanted:
        status = status.replace(retries=0)
    active = next((run for run in seen.runs if run.meta.name == status.active_run), None)
    if status.active_run and active is None:
        # Intended, but not seen: created now, or once more.
        again = CreateRun(status.active_run, spec, "Started")
        return _decision(feature, status, wanted, (*cleaning, again), now)
    due = _due(feature, status, wanted, now)
    if due is None:
        return _decision(feature, status, wanted, cleaning, now)
    if status.active_run:
        return _while_active(feature, status, wanted, due, cleaning, now)
    return _start(feature, status, spec, wanted, due, cleaning, now)


def wanted_run(feature: Feature, text: str) -> RunSpec:
    """Return the run that the feature's spec asks for."""
    spec = feature.spec
    return RunSpec(
        feature=text,
        feature_ref=feature.meta.name,
        target_ref=spec.target_ref,
        tags=spec.tags,
        revision=spec.revision,
        timeout=spec.timeout,
        policy=spec.policy,
    )


def _wrong(spec: FeatureSpec, seen: FeatureObservation) -> str | Missing:
    """Return the feature's text, or what keeps the feature from ever running as it stands."""
    if isinstance(seen.feature, Missing):
        return seen.feature
    if isinstance(seen.target, Missing):
        return seen.target
    if spec.schedule is not None and (problem := check_schedule(spec.schedule)):
        return Missing("InvalidSchedule", problem)
    target: TargetSpec = seen.target
    if problems := target_problems(target):
        return Missing("InvalidTarget", f"the target {spec.target_ref} cannot be used: {'; '.join(problems)}")
    planned = planned_for(seen.feature, target.model_dump_json(), spec.tags, spec.policy.model_dump_json())
    return planned if isinstance(planned, Missing) else seen.feature


def _caught_up(status: FeatureStatus, runs: tuple[Run, ...]) -> FeatureStatus:
    """Return the status with a finished active run moved to ``lastRun``."""
    active = next((run for run in runs if run.meta.name == status.active_run), None)
    if active is None or not active.status.phase.finished or active.status.finished_at is None:
        return status
    was = active.status
    last = LastRun(
        name=active.meta.name,
        verdict=was.verdict or Verdict.INCONCLUSIVE,
        reason=was.reason,
        message=was.message,
        scenarios=was.summary,
        finished_at=active.status.finished_at,
        spec_digest=digest(active.spec.replace(cancel=False).to_wire()),
        feature_digest=was.frozen.feature_digest if was.frozen else "",
        revision=active.spec.revision,
    )
    conclusive = last.verdict in (Verdict.PASS, Verdict.FAIL)
    return status.replace(active_run="", last_run=last, retries=0 if conclusive else status.retries)


def _due(feature: Feature, status: FeatureStatus, wanted: str, now: dt.datetime) -> _Due | None:
    spec = feature.spec
    if spec.suspend:
        return None
    if status.spec_digest != wanted:
        return _Due("Changed")
    if spec.schedule is not None:
        since = status.last_schedule_time or feature.meta.created or now
        start = due_now(spec.schedule, since, now, feature.meta.uid)
        if start is not None:
            return _Due("Scheduled", start.scheduled)
    at = _retry_at(spec, status)
    return _Due("Retry") if at is not None and now >= at and not status.active_run else None


def _retry_at(spec: FeatureSpec, status: FeatureStatus) -> dt.datetime | None:
    """Return when the last run is repeated, or None where it was conclusive, permanent, or tried often enough."""
    last = status.last_run
    if last is None or last.verdict not in (Verdict.INCONCLUSIVE, Verdict.ERROR) or last.reason in PERMANENT:
        return None
    if status.retries >= spec.retry.limit:
        return None
    return last.finished_at + dt.timedelta(seconds=seconds(spec.retry.backoff) * 2**status.retries)


def _while_active(
    feature: Feature, status: FeatureStatus, wanted: str, due: _Due, cleaning: tuple[Action, ...], now: dt.datetime
) -> Decision[FeatureStatus]:
    if feature.spec.concurrency_policy == "Replace":
        cancel = CancelRun(status.active_run)
        return _decision(feature, status, wanted, (*cleaning, cancel), now)
    if due.scheduled is not None:
        text = f"A start due at {due.scheduled:%Y-%m-%dT%H:%M:%SZ} was left out, for {status.active_run} is under way."
        status = status.replace(last_schedule_time=due.scheduled)
        return _decision(feature, status, wanted, (*cleaning, Emit("Normal", "StartSkipped", text)), now)
    return _decision(feature, status, wanted, cleaning, now)


def _start(
    feature: Feature, status: FeatureStatus, spec: RunSpec, wanted: str, due: _Due,
    cleaning: tuple[Action, ...], now: dt.datetime,
) -> Decision[FeatureStatus]:  # fmt: skip
    name = run_name(feature.meta.name, str(status.started + 1))
    status = status.replace(
        active_run=name,
        started=status.started + 1,
        spec_digest=wanted,
        feature_digest=digest(spec.feature or ""),
        retries=status.retries + 1 if due.cause == "Retry" else 0,
        last_schedule_time=due.scheduled or status.last_schedule_time,
    )
    event = Emit("Normal", "RunStarted", f"Started {name} ({due.cause}).")
    return _decision(feature, status, wanted, (*cleaning, CreateRun(name, spec, due.cause), event), now)


def _stalled(
    feature: Feature, status: FeatureStatus, wrong: Missing, cleaning: tuple[Action, ...], now: dt.datetime
) -> Decision[FeatureStatus]:
    wanted = (
        Condition("Ready", "False", wrong.reason, wrong.message),
        Condition("Stalled", "True", wrong.reason, wrong.message),
    )
    known = {each["type"]: each.get("reason") for each in feature.status.conditions}
    events = () if known.get("Stalled") == wrong.reason else (Emit("Warning", wrong.reason, wrong.message),)
    generation = feature.meta.generation
    status = status.replace(
        observed_generation=generation, verdict=None, message=wrong.message[:1024],
        # What is mended runs again; a target that was only away for a moment changes nothing.
        spec_digest=status.spec_digest if wrong.reason.endswith("NotFound") else "",
        conditions=merged(feature.status.conditions, wanted, generation, now), next_schedule_time=None,
    )  # fmt: skip
    return Decision(status, (*cleaning, *events))


def _decision(
    feature: Feature, status: FeatureStatus, wanted: str, actions: tuple[Action, ...], now: dt.datetime
) -> Decision[FeatureStatus]:
    generation = feature.meta.generation
    last = status.last_run
    if last is not None and last.spec_digest != wanted:
        last = None
    retry_at = _retry_at(feature.spec, status) if last is not None else None
    projected = feature_conditions(FeatureView(feature.spec, status.active_run, last, retry_at, now))
    status = status.replace(
        observed_generation=generation,
        verdict=None if last is None or expired(feature.spec, last, now) else last.verdict,
        message=projected[0].message[:1024],
        conditions=merged(feature.status.conditions, projected, generation, now),
        next_schedule_time=_upcoming(feature, status, now),
    )
    return Decision(status, actions, _look(feature.spec, status, retry_at, now))


def _upcoming(feature: Feature, status: FeatureStatus, now: dt.datetime) -> dt.datetime | None:
    schedule = feature.spec.schedule
    if schedule is None or feature.spec.suspend:
        return None
    since = status.last_schedule_time or feature.meta.created or now
    start = next_start(schedule, since, feature.meta.uid)
    # One that was missed by more than its deadline is never made up for.
    return start.due if start.due > now else next_start(schedule, now, feature.meta.uid).due


def _look(
    spec: FeatureSpec, status: FeatureStatus, retry_at: dt.datetime | None, now: dt.datetime
) -> dt.datetime | None:
    """Return the earliest moment at which anything changes by itself."""
    moments = [status.next_schedule_time, retry_at]
    if status.last_run is not None:
        lengths = [length for length in (spec.max_age, spec.ttl_after_finished) if length is not None]
        moments += [status.last_run.finished_at + dt.timedelta(seconds=seconds(length)) for length in lengths]
    return min((moment for moment in moments if moment is not None and moment > now), default=None)
