"""How a run ends: it is said why, what it started is taken back, and only then is there a verdict.

While anything that the run started is still seen, it is in phase Restoring. Stages that were under way and
scenarios that were not reached get their verdicts too, so that a status never has holes.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Literal

import attrs

from perfrun.api.durations import written
from perfrun.api.faults import FINALIZER
from perfrun.api.run import Frozen, Phase, RunStatus
from perfrun.api.verdicts import Verdict
from perfrun.judging.run import RunJudgement, judge_run
from perfrun.lifecycle.evidence import report
from perfrun.lifecycle.progress import final
from perfrun.lifecycle.saving import saved
from perfrun.lifecycle.scaling import restore_scaling
from perfrun.lifecycle.sizing import fitted
from perfrun.lifecycle.undoing import undo
from perfrun.lifecycle.values import Action, Emit, Release, StopLoad, StopPod, Store
from perfrun.lifecycle.wording import elapsed
from perfrun.lifecycle.work import Work, judge, stage_of
from perfrun.manifests.names import pod_name
from perfrun.planning.cost import longest

RECHECK = dt.timedelta(seconds=1)
"""How soon it is looked again whether all is taken back."""

STOP_PATIENCE = dt.timedelta(seconds=60)
"""How long a finished run waits for its stopped pods to disappear; on a dead node they never do."""

_PHASES = {
    Verdict.PASS: Phase.PASSED,
    Verdict.FAIL: Phase.FAILED,
    Verdict.INCONCLUSIVE: Phase.INCONCLUSIVE,
    Verdict.ERROR: Phase.ERROR,
    Verdict.SKIPPED: Phase.INCONCLUSIVE,
}


def end(work: Work, ending: Literal["Completed", "Cancelled", "TimedOut", "Invalid"]) -> Work:
    """Write why the run ends; nothing is judged or called finished yet."""
    status = work.status.replace(phase=Phase.RESTORING, ending=ending, ending_at=work.now)
    return attrs.evolve(work, status=status)


def restore(work: Work) -> Work:
    """Take back what the run started; when nothing of it is seen any more, conclude.

    Pods are waited for only so long, for on a dead node they never go. What was done to nodes and workloads is waited
    for without end: a run that holds a fault is not over.
    """
    work, waits_for = _taken_back(work)
    work, alive = _stopped(work)
    since = work.status.ending_at or work.now
    if waits_for:
        return work.do(work.status, look_at=work.now + RECHECK).say(f"taking back: waiting for {waits_for}")
    if alive and work.now < since + STOP_PATIENCE:
        return work.do(work.status, look_at=work.now + RECHECK)
    if FINALIZER in work.run.meta.finalizers:
        return work.do(work.status, Release(), look_at=work.now)
    return _conclude(work, f"; still terminating: {', '.join(alive)}" if alive else "")


def _taken_back(work: Work) -> tuple[Work, str]:
    """Undo faults, and then scale back; return what is waited for, empty once nothing is left."""
    frozen, status = work.status.frozen, work.status
    if frozen is None or not (status.faults or status.scaling):
        return work, ""
    undoing = undo(status.faults, work.scene(frozen), early=True)
    work = work.do(status.replace(faults=undoing.faults), *undoing.actions, look_at=undoing.look_at)
    if not undoing.settled:
        return work, undoing.waits_for
    scaled = restore_scaling(frozen.target, status.scaling, work.seen.workload)
    return work.do(work.status.replace(scaling=scaled.scaling), *scaled.actions), scaled.waits_for


def _stopped(work: Work) -> tuple[Work, list[str]]:
    """Stop pods and Jobs; return those that are still seen, with their nodes."""
    handed_in = {stage.pod for stage in work.status.stages if stage.state == "Done"}
    alive = [
        pod for pod in work.seen.pods.values() if pod.phase not in ("Succeeded", "Failed") and pod.name not in handed_in
    ]
    loads = {pod_name(work.run.meta.name, pod.stage, pod.attempt) for pod in alive if pod.index is not None}
    jobs = sorted(work.seen.jobs)
    # A Job's pods go with it; those of a Job that is gone go one by one.
    single = [
        pod for pod in alive
        if pod.index is None or pod_name(work.run.meta.name, pod.stage, pod.attempt) not in work.seen.jobs
    ]  # fmt: skip
    stops: tuple[Action, ...] = (
        *(StopLoad(name) for name in jobs),
        *(StopPod(pod.name) for pod in single if not pod.deleting),
    )
    told = [f"job {name}" for name in jobs if name not in loads]
    told += [f"{pod.name} on node {pod.node or 'none'}" for pod in alive]
    return work.do(work.status, *stops), told


def _conclude(work: Work, suffix: str) -> Work:
    status = work.status
    if status.ending in ("Cancelled", "TimedOut") and status.frozen is not None:
        why = {
            "Cancelled": "the run was cancelled",
            "TimedOut": f"the run exceeded its timeout of {_timeout(work, status.frozen)}",
        }
        work = _judge_rest(work, status.frozen, why[status.ending])
        status = work.status
    phase, verdict = _verdict(status, work)
    status = status.replace(
        phase=phase, verdict=verdict.verdict, reason=verdict.reason, message=(verdict.message + suffix)[:1024],
        summary=verdict.summary, finished_at=work.now, images=dict(work.seen.images),
        duration=elapsed(status.started_at or work.now, work.now), saved=saved(status),
    )  # fmt: skip
    event = Emit("Normal" if phase is Phase.PASSED else "Warning", phase.value, status.message)
    stores = (Store("report", report(status).encode()),) if status.scenarios else ()
    return work.do(fitted(status), *stores, event)


def _timeout(work: Work, frozen: Frozen) -> str:
    given = work.run.spec.timeout
    return given or written(longest(given, frozen.plan))


def _judge_rest(work: Work, frozen: Frozen, why: str) -> Work:
    stages = tuple(
        each if final(each) or (each.state == "Waiting" and not each.attempt)
        else each.replace(state="Lost", since=work.now, reason=work.status.ending, message=why)
        for each in work.status.stages
    )  # fmt: skip
    work = attrs.evolve(work, status=work.status.replace(stages=stages))
    for index in range(len(work.status.scenarios), len(frozen.plan.scenarios)):
        mine = [stage for stage in frozen.plan.stages if stage.scenario == index]
        reached = [stage for stage in mine if stage_of(work.status, stage.id).state != "Waiting"]
        work = judge(work, frozen, index, reached, unreached=why)
    return work


def _verdict(status: RunStatus, work: Work) -> tuple[Phase, RunJudgement]:
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
        told = f"its timeout of {_timeout(work, frozen)}" if frozen is not None else "its timeout"
        text = f"the run exceeded {told}; {judged.summary} scenarios passed before"
        return Phase.INCONCLUSIVE, attrs.evolve(judged, verdict=Verdict.INCONCLUSIVE, reason="TimedOut", message=text)
    return _PHASES[judged.verdict], judged


def _changed(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """Return which image digests came or went, or an empty text; pods that moved run the same digests still."""
    old, new = set(before.values()), set(after.values())
    if not old or not new or old == new:
        return ""
    return ", ".join(sorted(each.rpartition("@")[2][:19] for each in old ^ new))
