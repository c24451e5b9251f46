"""What one stage's decision is made from, and what it gives: shared by every kind of stage."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

import attrs

from perfrun.api.faults import FaultStatus, Scaling
from perfrun.api.plan import Stage
from perfrun.api.run import RunStatus, StageStatus
from perfrun.api.target import TargetSpec
from perfrun.lifecycle.trouble import Trouble
from perfrun.lifecycle.values import Action, Run, RunObservation


@attrs.frozen
class Scene:
    """The run, its status so far in this decision, its frozen target, what is seen, and the time."""

    run: Run
    status: RunStatus
    target: TargetSpec
    seen: RunObservation
    now: dt.datetime

    def stage(self, name: str) -> StageStatus:
        """Return the status of a stage that the plan names."""
        return next(each for each in self.status.stages if each.id == name)

    def fault(self, name: str) -> FaultStatus | None:
        """Return the fault of a stage, if one was ever intended."""
        return next((each for each in self.status.faults if each.id == name), None)

    def after(self, progress: Progress) -> Scene:
        """Return the scene once the progress is written."""
        return attrs.evolve(self, status=written(self.status, progress))


@attrs.frozen
class Progress:
    """A stage's next status, what to do once it is persisted, and when to look again.

    ``fault`` and ``scaling`` replace what the run's status says of them, where given.
    """

    status: StageStatus
    actions: tuple[Action, ...] = ()
    look_at: dt.datetime | None = None
    fault: FaultStatus | None = None
    scaling: Scaling | None = None


def written(status: RunStatus, progress: Progress) -> RunStatus:
    """Return the run's status with what the progress says of a stage, its fault and the scaling."""
    stages = tuple(progress.status if each.id == progress.status.id else each for each in status.stages)
    status = status.replace(stages=stages)
    if progress.fault is not None:
        kept = {each.id: each for each in status.faults} | {progress.fault.id: progress.fault}
        status = status.replace(faults=tuple(kept.values()))
    return status if progress.scaling is None else status.replace(scaling=progress.scaling)


def final(status: StageStatus) -> bool:
    """Whether nothing more will come of the stage."""
    return status.state in ("Done", "Lost")


def lost(was: StageStatus, wrong: Trouble, now: dt.datetime) -> StageStatus:
    """Return the status of a stage that is given up."""
    tried = f" (attempt {was.attempt})" if was.attempt > 1 else ""
    # What one stage was lost for is told of those that needed it, too.
    tried = "" if wrong.message.endswith(tried) else tried
    return was.replace(
        state="Lost", since=now, reason=wrong.reason, message=wrong.message + tried, broken=wrong.broken
    )  # fmt: skip


def lose(stages: Iterable[Stage], wrong: Trouble, scene: Scene) -> tuple[Progress, ...]:
    """Return that none of the stages will be; only for a fault of which nothing remains to be undone."""
    return tuple(
        Progress(lost(scene.stage(each.id), wrong, scene.now)) for each in stages if not final(scene.stage(each.id))
    )
