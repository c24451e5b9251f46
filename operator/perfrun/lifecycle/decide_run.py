"""What a PerfRun does next: (run, what is seen, now) → (status, actions, when to look again).

Pure and total: every phase and every observation has an answer, nothing here does I/O, and the same arguments
give the same decision. Scenarios are run and judged one after another, so that none disturbs the measurement of
another; a scenario's verdict is written as soon as its evidence is complete.

A run ends in two steps. First it is written why it ends (``ending``), and what it started is taken back (phase
Restoring) until nothing of it is seen any more; only then is it finished. A run that is deleted while it holds
something that must be undone ends the same way.
"""

from __future__ import annotations

import datetime as dt

from perfrun.api.durations import seconds
from perfrun.api.faults import FINALIZER
from perfrun.api.plan import Stage
from perfrun.api.run import Frozen, Phase, RunStatus, StageStatus
from perfrun.lifecycle.asking import ASKED, ask, asked_from
from perfrun.lifecycle.conditions import merged, run_conditions
from perfrun.lifecycle.ending import end, restore
from perfrun.lifecycle.freezing import freeze
from perfrun.lifecycle.needs import disturbs
from perfrun.lifecycle.notes import SAMPLES, fault_events, scenario_note
from perfrun.lifecycle.progress import Scene, final
from perfrun.lifecycle.turns import advance_stage
from perfrun.lifecycle.values import (
    Decision,
    DeleteRun,
    Emit,
    Missing,
    Release,
    Run,
    RunObservation,
)
from perfrun.lifecycle.work import Work, judge
from perfrun.planning.cost import longest

TARGET_PATIENCE = dt.timedelta(seconds=15)
"""How long a run waits for a target or feature that is not there, for one manifest may create all in any order."""


def decide_run(run: Run, seen: RunObservation, now: dt.datetime) -> Decision[RunStatus]:
    """Return what the run does next."""
    if run.status.phase.finished:
        return _afterwards(run, now)
    held = FINALIZER in run.meta.finalizers
    if run.meta.deleting and not held:
        return Decision(run.status)
    work = Work(run, seen, now, run.status)
    if run.meta.deleting and work.status.phase is not Phase.RESTORING:
        work = end(work, "Cancelled")
    if work.status.phase is Phase.PENDING:
        work = _begin(work)
    if work.status.phase is Phase.RUNNING:
        work = _go_on(work)
    if work.status.phase is Phase.RESTORING:
        work = restore(work) if _seen_for_the_end(run) else work.do(work.status, look_at=now)
    return _decision(work)


def _seen_for_the_end(run: Run) -> bool:
    """Whether the look showed all that a run may have to take back; of one that disturbs, only a look for that does."""
    frozen = run.status.frozen
    return run.status.phase is Phase.RESTORING or frozen is None or not disturbs(frozen)


def _begin(work: Work) -> Work:
    spec, now = work.run.spec, work.now
    begun = work.status.replace(started_at=work.status.started_at or now)
    if spec.cancel:
        return end(work.do(begun), "Cancelled")
    frozen = freeze(work.seen.feature, work.seen.target, spec.tags, spec.policy)
    if isinstance(frozen, Missing):
        since = begun.started_at or now
        if frozen.reason.endswith("NotFound") and now < since + TARGET_PATIENCE:
            waiting = begun.replace(reason=frozen.reason, message=frozen.message)
            return work.do(waiting, look_at=since + TARGET_PATIENCE)
        return end(work.do(begun.replace(reason=frozen.reason, message=frozen.message)), "Invalid")
    stages = tuple(StageStatus(id=stage.id) for stage in frozen.plan.stages)
    running = begun.replace(
        phase=Phase.RUNNING, frozen=frozen.replace(images=dict(work.seen.images)), stages=stages, reason="", message="",
        summary=f"0/{len(frozen.plan.scenarios)}",
    )  # fmt: skip
    count = len(frozen.plan.scenarios)
    return work.do(running, Emit("Normal", "Started", f"Running {count} scenario{'s' if count != 1 else ''}."))


def _go_on(work: Work) -> Work:
    if work.run.spec.cancel:
        return end(work, "Cancelled")
    frozen = _frozen(work.status)
    allowed = dt.timedelta(seconds=longest(work.run.spec.timeout, frozen.plan))
    deadline = (work.status.started_at or work.now) + allowed
    if work.now >= deadline:
        return end(work, "TimedOut")
    while len(work.status.scenarios) < len(frozen.plan.scenarios):
        work, complete = _scenario(work, frozen, len(work.status.scenarios))
        if not complete:
            return work.do(work.status, look_at=deadline)
    return end(work, "Completed")


def _scenario(work: Work, frozen: Frozen, index: int) -> tuple[Work, bool]:
    """Advance the stages of one scenario, and judge it when all of them are final."""
    mine = [stage for stage in frozen.plan.stages if stage.scenario == index]
    for stage in (each for each in mine if each.kind not in ASKED and not each.alongside):
        along = [each for each in mine if each.alongside == stage.id]
        work, doing = advance_stage(work, frozen, stage, along)
        if doing:
            return work.say(scenario_note(frozen, index, doing)), False
    asked = [stage for stage in mine if stage.kind in ASKED]
    scene = work.scene(frozen)
    if any(_unread(each, scene) for each in mine):
        return work.do(work.status, look_at=work.now), False
    due = asked_from(mine, scene)
    if work.now < due:
        return work.do(work.status, look_at=due).say(scenario_note(frozen, index, SAMPLES)), False
    progress = [ask(each, scene) for each in asked]
    complete = all(final(each.status) for each in progress)
    for each in progress:
        # Answers are not kept between looks, so what is asked ends together, in the look that judges it.
        if complete or each.status.state != "Done":
            work = work.take(each)
    return (judge(work, frozen, index, mine), True) if complete else (work, False)


def _unread(stage: Stage, scene: Scene) -> bool:
    """Whether a load is over whose results this look did not read: it had another stage in view."""
    return stage.kind == "load" and scene.stage(stage.id).state == "Done" and stage.id not in scene.seen.shards


def _afterwards(run: Run, now: dt.datetime) -> Decision[RunStatus]:
    if FINALIZER in run.meta.finalizers:
        # Nothing is concluded while anything is left, so whoever put it there, it has nothing to hold.
        return Decision(run.status, (Release(),))
    ttl, finished = run.spec.ttl_after_finished, run.status.finished_at
    if ttl is None or finished is None or run.meta.deleting:
        return Decision(run.status)
    due = finished + dt.timedelta(seconds=seconds(ttl))
    return Decision(run.status, (DeleteRun(run.meta.name),)) if now >= due else Decision(run.status, look_at=due)


def _decision(work: Work) -> Decision[RunStatus]:
    status, generation = work.status, work.run.meta.generation
    wanted = run_conditions(status.phase, status.reason, status.message)
    conditions = merged(work.run.status.conditions, wanted, generation, work.now)
    status = status.replace(conditions=conditions, observed_generation=generation)
    due = None if status.phase.finished else min(work.looks, default=work.now)
    if status.phase.finished and work.run.spec.ttl_after_finished is not None:
        due = work.now + dt.timedelta(seconds=seconds(work.run.spec.ttl_after_finished))
    events = fault_events(work.run.status.faults, status.faults)
    return Decision(status, (*work.actions, *events), due)


def _frozen(status: RunStatus) -> Frozen:
    if status.frozen is None:
        msg = "a running run has no frozen plan; its status was edited by hand"
        raise ValueError(msg)
    return status.frozen
