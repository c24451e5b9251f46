"""What a PerfRun does next: (run, what is seen, now) → (status, actions, when to look again).

Pure and total: every phase and every observation has an answer, nothing here does I/O, and the same arguments
give the same decision. Scenarios are run and judged one after another, so that none disturbs the measurement of
another; a scenario's verdict is written as soon as its evidence is complete.

A run ends in two steps. First it is written why it ends (``ending``), and what it started is taken back (phase
Restoring) until nothing of it is seen any more; only then is it finished.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Literal

import attrs

from perfrun.api.durations import seconds
from perfrun.api.plan import Stage
from perfrun.api.run import Frozen, Phase, RunStatus, StageStatus
from perfrun.api.verdicts import Verdict
from perfrun.judging.run import RunJudgement, judge_run
from perfrun.judging.scenario import judge_scenario
from perfrun.lifecycle.conditions import merged, run_conditions
from perfrun.lifecycle.evidence import by_stage, links, record, report
from perfrun.lifecycle.freezing import freeze
from perfrun.lifecycle.sizing import fitted
from perfrun.lifecycle.stages import Progress, advance, ask, final
from perfrun.lifecycle.values import (
    Action,
    Decision,
    DeleteRun,
    Emit,
    Missing,
    Run,
    RunObservation,
    StopPod,
    Store,
)
from perfrun.lifecycle.wording import elapsed

TARGET_PATIENCE = dt.timedelta(seconds=15)
"""How long a run waits for a target or feature that is not there, for one manifest may create all in any order."""

STOP_PATIENCE = dt.timedelta(seconds=60)
"""How long a finished run waits for its stopped pods to disappear; on a dead node they never do."""

_PHASES = {
    Verdict.PASS: Phase.PASSED,
    Verdict.FAIL: Phase.FAILED,
    Verdict.INCONCLUSIVE: Phase.INCONCLUSIVE,
    Verdict.ERROR: Phase.ERROR,
    Verdict.SKIPPED: Phase.INCONCLUSIVE,
}


@attrs.frozen
class _Work:
    """A decision in the making: the status so far, and what goes with it."""

    run: Run
    seen: RunObservation
    now: dt.datetime
    status: RunStatus
    actions: tuple[Action, ...] = ()
    looks: tuple[dt.datetime, ...] = ()

    def do(self, status: RunStatus, *actions: Action, look_at: dt.datetime | None = None) -> _Work:
        looks = (*self.looks, look_at) if look_at is not None else self.looks
        return attrs.evolve(self, status=status, actions=(*self.actions, *actions), looks=looks)


def decide_run(run: Run, seen: RunObservation, now: dt.datetime) -> Decision[RunStatus]:
    """Return what the run does next."""
    if run.status.phase.finished:
        return _afterwards(run, now)
    if run.meta.deleting:
        return Decision(run.status)
    work = _Work(run, seen, now, run.status)
    if work.status.phase is Phase.PENDING:
        work = _begin(work)
    if work.status.phase is Phase.RUNNING:
        work = _go_on(work)
    if work.status.phase is Phase.RESTORING:
        work = _restore(work)
    return _decision(work)


def wants(run: Run) -> bool:
    """Whether anything is left to decide about the run now or later; a finished one without a TTL costs nothing."""
    return not run.status.phase.finished or run.spec.ttl_after_finished is not None


def _begin(work: _Work) -> _Work:
    spec, now = work.run.spec, work.now
    begun = work.status.replace(started_at=work.status.started_at or now)
    if spec.cancel:
        return _end(work.do(begun), "Cancelled")
    frozen = freeze(work.seen.feature, work.seen.target, spec.tags, spec.policy)
    if isinstance(frozen, Missing):
        since = begun.started_at or now
        if frozen.reason.endswith("NotFound") and now < since + TARGET_PATIENCE:
            waiting = begun.replace(reason=frozen.reason, message=frozen.message)
            return work.do(waiting, look_at=since + TARGET_PATIENCE)
        return _end(work.do(begun.replace(reason=frozen.reason, message=frozen.message)), "Invalid")
    stages = tuple(StageStatus(id=stage.id) for stage in frozen.plan.stages)
    running = begun.replace(
        phase=Phase.RUNNING, frozen=frozen.replace(images=dict(work.seen.images)), stages=stages, reason="", message="",
        summary=f"0/{len(frozen.plan.scenarios)}",
    )  # fmt: skip
    count = len(frozen.plan.scenarios)
    return work.do(running, Emit("Normal", "Started", f"Running {count} scenario{'s' if count != 1 else ''}."))


def _go_on(work: _Work) -> _Work:
    if work.run.spec.cancel:
        return _end(work, "Cancelled")
    deadline = (work.status.started_at or work.now) + dt.timedelta(seconds=seconds(work.run.spec.timeout))
    if work.now >= deadline:
        return _end(work, "TimedOut")
    frozen = _frozen(work.status)
    while len(work.status.scenarios) < len(frozen.plan.scenarios):
        work, complete = _scenario(work, frozen, len(work.status.scenarios))
        if not complete:
            return work.do(work.status, look_at=deadline)
    return _end(work, "Completed")


def _scenario(work: _Work, frozen: Frozen, index: int) -> tuple[_Work, bool]:
    """Advance the stages of one scenario, and judge it when all of them are final."""
    mine = [stage for stage in frozen.plan.stages if stage.scenario == index]
    for stage in (each for each in mine if each.kind != "query"):
        was = _stage(work.status, stage.id)
        work = _apply(work, advance(stage, was, work.run.meta.name, work.seen, work.now))
        if not final(_stage(work.status, stage.id)):
            return _note(work, frozen, index, stage), False
    asked = [stage for stage in mine if stage.kind == "query"]
    progress = [
        ask(each, _stage(work.status, each.id), _span(work.status, each), work.seen, work.now) for each in asked
    ]
    # Answers are not kept between looks, so the queries of a scenario end together, in the look that judges them.
    if not all(final(each.status) for each in progress):
        held = [attrs.evolve(each, status=was) if each.status.state == "Done" else each
                for each, was in ((each, _stage(work.status, each.status.id)) for each in progress)]  # fmt: skip
        for each in held:
            work = _apply(work, each)
        return work, False
    for each in progress:
        work = _apply(work, each)
    return _judge(work, frozen, index, mine), True


def _judge(work: _Work, frozen: Frozen, index: int, mine: list[Stage], unreached: str = "") -> _Work:
    evidence = by_stage(mine, work.status, work.seen)
    planned = frozen.plan.scenarios[index]
    policy, confidence = work.run.spec.policy, frozen.plan.confidence
    judged = (
        judge_scenario(planned, evidence, policy, confidence, unreached)
        if unreached
        else judge_scenario(planned, evidence, policy, confidence)
    )
    scenarios = (*work.status.scenarios, judged)
    passed = sum(each.verdict is Verdict.PASS for each in scenarios)
    status = work.status.replace(
        scenarios=scenarios,
        artifacts=(*work.status.artifacts, *links(mine, work.status, work.seen)),
        summary=f"{passed}/{len(frozen.plan.scenarios)}",
        message=f"{len(scenarios)} of {len(frozen.plan.scenarios)} scenarios judged",
    )
    return work.do(status, *record(index, mine, work.status, work.seen))


def _note(work: _Work, frozen: Frozen, index: int, stage: Stage) -> _Work:
    """Say in the run's message what it is waiting for, but only when that changed."""
    state = _stage(work.status, stage.id)
    doing = {"Starting": "starting", "Running": "measuring"}.get(state.state, "waiting")
    where = f" in pod {state.pod}" if state.pod else ""
    message = f"scenario {index + 1} of {len(frozen.plan.scenarios)}: {doing}{where}"
    return attrs.evolve(work, status=work.status.replace(message=message))


def _end(work: _Work, ending: Literal["Completed", "Cancelled", "TimedOut", "Invalid"]) -> _Work:
    status = work.status.replace(phase=Phase.RESTORING, ending=ending, ending_at=work.now)
    return attrs.evolve(work, status=status)


def _restore(work: _Work) -> _Work:
    """Take back what the run started; when nothing of it is seen any more, or in vain long enough, conclude."""
    handed_in = {stage.pod for stage in work.status.stages if stage.state == "Done"}
    alive = [
        pod for pod in work.seen.pods.values() if pod.phase not in ("Succeeded", "Failed") and pod.name not in handed_in
    ]
    since = work.status.ending_at or work.now
    if alive and work.now < since + STOP_PATIENCE:
        stops = tuple(StopPod(pod.name) for pod in alive if not pod.deleting)
        return work.do(work.status, *stops, look_at=work.now + dt.timedelta(seconds=1))
    stuck = ", ".join(f"{pod.name} on node {pod.node or 'none'}" for pod in alive)
    return _conclude(work, f"; still terminating: {stuck}" if stuck else "")


def _conclude(work: _Work, suffix: str) -> _Work:
    status = work.status
    if status.ending in ("Cancelled", "TimedOut") and status.frozen is not None:
        why = {
            "Cancelled": "the run was cancelled",
            "TimedOut": f"the run exceeded its timeout of {work.run.spec.timeout}",
        }
        work = _judge_rest(work, status.frozen, why[status.ending])
        status = work.status
    phase, verdict = _verdict(status, work)
    status = status.replace(
        phase=phase, verdict=verdict.verdict, reason=verdict.reason, message=(verdict.message + suffix)[:1024],
        summary=verdict.summary, finished_at=work.now, images=dict(work.seen.images),
        duration=elapsed(status.started_at or work.now, work.now),
    )  # fmt: skip
    event = Emit("Normal" if phase is Phase.PASSED else "Warning", phase.value, status.message)
    stores = (Store("report", report(status)),) if status.scenarios else ()
    return work.do(fitted(status), *stores, event)


def _judge_rest(work: _Work, frozen: Frozen, why: str) -> _Work:
    stages = tuple(
        each if final(each) or each.state == "Waiting"
        else each.replace(state="Lost", since=work.now, reason=work.status.ending, message=why)
        for each in work.status.stages
    )  # fmt: skip
    work = attrs.evolve(work, status=work.status.replace(stages=stages))
    for index in range(len(work.status.scenarios), len(frozen.plan.scenarios)):
        mine = [stage for stage in frozen.plan.stages if stage.scenario == index]
        reached = [stage for stage in mine if _stage(work.status, stage.id).state != "Waiting"]
        work = _judge(work, frozen, index, reached, unreached=why)
    return work


def _verdict(status: RunStatus, work: _Work) -> tuple[Phase, RunJudgement]:
    if status.ending == "Invalid":
        return Phase.ERROR, RunJudgement(Verdict.ERROR, status.reason, status.message, "")
    judged = judge_run(status.scenarios)
    if status.ending == "Cancelled":
        return Phase.CANCELLED, attrs.evolve(
            judged, verdict=Verdict.INCONCLUSIVE, reason="Cancelled", message="the run was cancelled"
        )
    frozen = status.frozen
    changed = _changed(frozen.images, work.seen.images) if frozen is not None else ""
    if changed:
        text = f"what is under test changed during the run ({changed}), so the verdict would belong to neither"
        return Phase.INCONCLUSIVE, attrs.evolve(
            judged, verdict=Verdict.INCONCLUSIVE, reason="RevisionChanged", message=text
        )
    if status.ending == "TimedOut" and judged.verdict is not Verdict.FAIL:
        text = f"the run exceeded its timeout of {work.run.spec.timeout}; {judged.summary} scenarios passed before"
        return Phase.INCONCLUSIVE, attrs.evolve(judged, verdict=Verdict.INCONCLUSIVE, reason="TimedOut", message=text)
    return _PHASES[judged.verdict], judged


def _afterwards(run: Run, now: dt.datetime) -> Decision[RunStatus]:
    ttl, finished = run.spec.ttl_after_finished, run.status.finished_at
    if ttl is None or finished is None or run.meta.deleting:
        return Decision(run.status)
    due = finished + dt.timedelta(seconds=seconds(ttl))
    return Decision(run.status, (DeleteRun(run.meta.name),)) if now >= due else Decision(run.status, look_at=due)


def _decision(work: _Work) -> Decision[RunStatus]:
    status, generation = work.status, work.run.meta.generation
    wanted = run_conditions(status.phase, status.reason, status.message)
    conditions = merged(work.run.status.conditions, wanted, generation, work.now)
    status = status.replace(conditions=conditions, observed_generation=generation)
    due = None if status.phase.finished else min(work.looks, default=work.now)
    if status.phase.finished and work.run.spec.ttl_after_finished is not None:
        due = work.now + dt.timedelta(seconds=seconds(work.run.spec.ttl_after_finished))
    return Decision(status, work.actions, due)


def _apply(work: _Work, progress: Progress) -> _Work:
    stages = tuple(progress.status if each.id == progress.status.id else each for each in work.status.stages)
    return work.do(work.status.replace(stages=stages), *progress.actions, look_at=progress.look_at)


def _stage(status: RunStatus, name: str) -> StageStatus:
    return next(each for each in status.stages if each.id == name)


def _span(status: RunStatus, stage: Stage) -> tuple[dt.datetime, dt.datetime] | None:
    after = str(stage.parameters.get("after") or "")
    before = next((each for each in status.stages if each.id == after), None)
    if before is None or before.started_at is None or before.finished_at is None:
        return None
    return before.started_at, before.finished_at


def _frozen(status: RunStatus) -> Frozen:
    if status.frozen is None:
        msg = "a running run has no frozen plan; its status was edited by hand"
        raise ValueError(msg)
    return status.frozen


def _changed(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """Return which image digests came or went, or an empty text; pods that moved run the same digests still."""
    old, new = set(before.values()), set(after.values())
    if not old or not new or old == new:
        return ""
    return ", ".join(sorted(each.rpartition("@")[2][:19] for each in old ^ new))
