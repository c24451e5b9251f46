"""One stage's turn in a run: whether it may be at all, how it goes on, and what is said of it meanwhile."""

from __future__ import annotations

import datetime as dt

from perfrun.api.plan import Stage
from perfrun.api.run import Frozen
from perfrun.lifecycle.exclusive import blocked_by, may_disturb_at
from perfrun.lifecycle.needs import DISTURBING, needs
from perfrun.lifecycle.notes import doing
from perfrun.lifecycle.progress import Progress, Scene, final, lose
from perfrun.lifecycle.stages import advance
from perfrun.lifecycle.together import advance_both
from perfrun.lifecycle.trouble import Trouble
from perfrun.lifecycle.work import Work

RECHECK = dt.timedelta(seconds=2)
"""How soon it is looked again whether another run is over, which no event tells this one."""


def advance_stage(work: Work, frozen: Frozen, stage: Stage, fault: Stage | None) -> tuple[Work, str]:
    """Advance a stage with the fault that goes along with it; return what goes on at it, empty once it is final."""
    both = [stage] if fault is None else [stage, fault]
    scene = work.scene(frozen)
    if stage.kind in DISTURBING and scene.stage(stage.id).state == "Waiting" and not final_all(both, scene):
        if needs(work.run).begins != stage.id:
            return work.do(work.status, look_at=work.now), doing(stage, fault, scene)
        if (waits := _waits(work, frozen)) is not None:
            until, why = waits
            return work.do(work.status, look_at=until), why
        if (wrong := _hopeless(stage, frozen, scene)) is not None:
            for progress in lose(both, wrong, scene):
                work = work.take(progress)
            return work, ""
    for progress in _progress(stage, fault, scene):
        work = work.take(progress)
    scene = work.scene(frozen)
    return work, "" if final_all(both, scene) else doing(stage, fault, scene)


def final_all(stages: list[Stage], scene: Scene) -> bool:
    """Whether nothing more will come of any of the stages."""
    return all(final(scene.stage(each.id)) for each in stages)


def _progress(stage: Stage, fault: Stage | None, scene: Scene) -> tuple[Progress, ...]:
    return (advance(stage, scene),) if fault is None else advance_both(stage, fault, scene)


def _waits(work: Work, frozen: Frozen) -> tuple[dt.datetime, str] | None:
    """Return until when, and for what, a run waits that has not disturbed its target yet."""
    disturbing = {stage.id for stage in frozen.plan.stages if stage.kind in DISTURBING}
    if any(each.attempt for each in work.status.stages if each.id in disturbing):
        return None
    if (earlier := blocked_by(work.run, work.seen.others)) is not None:
        return work.now + RECHECK, f"waiting for run {earlier}, whose turn it is to disturb the target"
    if work.now < (due := may_disturb_at(work.run, work.now)):
        return due, "waiting to see whether another run's turn is earlier"
    return None


def _hopeless(stage: Stage, frozen: Frozen, scene: Scene) -> Trouble | None:
    """Return why a stage that disturbs cannot begin: a right is missing, or what it needs was lost."""
    if scene.seen.denied and scene.stage(stage.id).attempt == 0:
        return Trouble("MissingRights", scene.seen.denied)
    before = [each for each in frozen.plan.stages if each.scenario == stage.scenario and each.kind == "scale"]
    lost = next((state for each in before if (state := scene.stage(each.id)).state == "Lost"), None)
    return Trouble(lost.reason, lost.message, broken=lost.broken) if lost is not None and stage.kind == "load" else None
