"""A decision on a run in the making, and the two things that both going on and ending do to it."""

from __future__ import annotations

import datetime as dt

import attrs

from perfrun.api.plan import Stage
from perfrun.api.run import Frozen, RunStatus, StageStatus
from perfrun.api.verdicts import Verdict
from perfrun.judging.scenario import UNREACHED, judge_scenario
from perfrun.lifecycle.evidence import by_stage, links, record
from perfrun.lifecycle.keeping import keeps
from perfrun.lifecycle.notes import MESSAGE
from perfrun.lifecycle.progress import Progress, Scene, written
from perfrun.lifecycle.sizing import slimmed
from perfrun.lifecycle.values import Action, Run, RunObservation


@attrs.frozen
class Work:
    """A decision in the making: the status so far, and what goes with it."""

    run: Run
    seen: RunObservation
    now: dt.datetime
    status: RunStatus
    actions: tuple[Action, ...] = ()
    looks: tuple[dt.datetime, ...] = ()

    def do(self, status: RunStatus, *actions: Action, look_at: dt.datetime | None = None) -> Work:
        """Return the work with this status, more actions, and another moment to look again at."""
        looks = (*self.looks, look_at) if look_at is not None else self.looks
        return attrs.evolve(self, status=status, actions=(*self.actions, *actions), looks=looks)

    def take(self, progress: Progress) -> Work:
        """Return the work with a stage's progress written."""
        return self.do(written(self.status, progress), *progress.actions, look_at=progress.look_at)

    def say(self, message: str) -> Work:
        """Return the work with what the run does now as its message; told in words that stay the same for a while."""
        return attrs.evolve(self, status=self.status.replace(message=message[:MESSAGE]))

    def scene(self, frozen: Frozen) -> Scene:
        """Return what the decision on a stage is made from."""
        return Scene(self.run, self.status, frozen.target, self.seen, self.now)


def stage_of(status: RunStatus, name: str) -> StageStatus:
    """Return the status of a stage that the plan names."""
    return next(each for each in status.stages if each.id == name)


def judge(work: Work, frozen: Frozen, index: int, mine: list[Stage], unreached: str = UNREACHED) -> Work:
    """Judge a scenario on what its stages ``mine`` left, and link and keep the evidence.

    ``unreached`` is why steps whose stage is not among them were not reached.
    """
    evidence = by_stage(mine, work.status, work.seen)
    planned = frozen.plan.scenarios[index]
    policy, confidence = work.run.spec.policy, frozen.plan.confidence
    judged = judge_scenario(planned, evidence, policy, confidence, unreached)
    scenarios = (*work.status.scenarios, judged)
    passed = sum(each.verdict is Verdict.PASS for each in scenarios)
    status = work.status.replace(
        scenarios=scenarios,
        artifacts=(*work.status.artifacts, *links(mine, work.status, work.seen)),
        summary=f"{passed}/{len(frozen.plan.scenarios)}",
        message=f"{len(scenarios)} of {len(frozen.plan.scenarios)} scenarios judged",
    )
    kept = keeps(work.run, mine, work.status, work.seen)
    return work.do(slimmed(status), *record(index, mine, work.status, work.seen), *kept)
