"""How a run ends: it is said why, what it started is taken back, and only then is there a verdict.

While anything that the run started is still seen, it is in phase Restoring. Stages that were under way and
scenarios that were not reached get their verdicts too, so that a status never has holes.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Literal

import attrs

from perfrun.api.run import Frozen, Phase, RunStatus
from perfrun.api.verdicts import Verdict
from perfrun.judging.run import RunJudgement, judge_run
from perfrun.lifecycle.evidence import report
from perfrun.lifecycle.progress import final
from perfrun.lifecycle.sizing import fitted
from perfrun.lifecycle.values import Emit, StopPod, Store
from perfrun.lifecycle.wording import elapsed
from perfrun.lifecycle.work import Work, judge, stage_of

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


def _conclude(work: Work, suffix: str) -> Work:
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


def _judge_rest(work: Work, frozen: Frozen, why: str) -> Work:
    stages = tuple(
        each if final(each) or each.state == "Waiting"
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
        text = f"the run exceeded its timeout of {work.run.spec.timeout}; {judged.summary} scenarios passed before"
        return Phase.INCONCLUSIVE, attrs.evolve(judged, verdict=Verdict.INCONCLUSIVE, reason="TimedOut", message=text)
    return _PHASES[judged.verdict], judged


def _changed(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """Return which image digests came or went, or an empty text; pods that moved run the same digests still."""
    old, new = set(before.values()), set(after.values())
    if not old or not new or old == new:
        return ""
    return ", ".join(sorted(each.rpartition("@")[2][:19] for each in old ^ new))
