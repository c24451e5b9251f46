"""One stage's turn in a run: whether it may be at all, how it goes on, and what is said of it meanwhile.

What goes along with a load, a fault or pods that measure meanwhile, has its turn with it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from perfrun.api.plan import Stage
from perfrun.api.run import Frozen
from perfrun.lifecycle.companions import accompany
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


def advance_stage(work: Work, frozen: Frozen, stage: Stage, along: Sequence[Stage]) -> tuple[Work, str]:
    """Advance a stage with those that go along with it; return what goes on at it, empty once all are final."""
    every = [stage, *along]
    scene = work.scene(frozen)
    if stage.kind in DISTURBING and scene.stage(stage.id).state == "Waiting" and not final_all(every, scene):
        if needs(work.run).begins != stage.id:
            return work.do(work.status, look_at=work.now), doing(stage, along, scene)
        if (waits := _waits(work, frozen)) is not None:
            until, why = waits
            return work.do(work.status, look_at=until), why
        if (wrong := _hopeless(stage, frozen, scene)) is not None:
            for progress in lose(every, wrong, scene):
                work = work.take(progress)
            return work, ""
    for progress in _progress(stage, along, scene):
        work = work.take(progress)
    pods = [each for each in along if each.kind == "pod"]
    for progress in accompany(stage, pods, work.scene(frozen)):
        work = work.take(progress)
    scene = work.scene(frozen)
    return work, "" if final_all(every, scene) else doing(stage, along, scene)


def final_all(stages: list[Stage], scene: Scene) -> bool:
    """Whether nothing more will come of any of the stages."""
    return all(final(scene.stage(each.id)) for each in stages)


def _progress(stage: Stage, along: Sequence[Stage], scene: Scene) -> tuple[Progress, ...]:
    fault = next((each for each in along if each.kind == "fault"), None)
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
    if stage.rate_of:
        before += [each for each in frozen.plan.stages if each.id == stage.rate_of]
    lost = next((state for each in before if (state := scene.stage(each.id)).state == "Lost"), None)
    if lost is not None and stage.kind == "load":
        return Trouble(lost.reason, lost.message, broken=lost.broken)
    if stage.rate_of and scene.stage(stage.rate_of).rate is None:
        return Trouble("NoPeak", scene.stage(stage.rate_of).message)
    return None
