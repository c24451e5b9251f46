"""What a decision on a run needs to see of the world: only that, for every look costs requests, and looks are many.

Pure, so that what is read is decided in one place and can be tested without any reading.
"""

from __future__ import annotations

import attrs

from perfrun.api.plan import Stage
from perfrun.api.run import Frozen, Phase, RunStatus, StageStatus
from perfrun.lifecycle.progress import final
from perfrun.lifecycle.values import Run

DISTURBING = ("scale", "load")
"""Kinds of the stages that disturb a target; a fault only ever goes along with a load."""


@attrs.frozen
class Needs:
    """What is to be read beside the run's pods; see ``RunObservation`` for what each of them is.

    ``rights`` comes before all else, for reading what may not be read is an error. ``endpoints`` are those behind the
    Service, with the nodes that they are on. ``shards`` and ``ids`` are the stages whose results are wanted. ``begins``
    is the one stage that may begin to disturb on such a look: what speaks against any other was not looked for.
    """

    begins: str = ""
    rights: bool = False
    others: bool = False
    endpoints: bool = False
    workload: bool = False
    jobs: bool = False
    agents: bool = False
    external: bool = False
    dangers: bool = False
    shards: tuple[Stage, ...] = ()
    ids: tuple[Stage, ...] = ()


def disturbs(frozen: Frozen) -> bool:
    """Whether a run loads or breaks anything."""
    return any(stage.kind in DISTURBING for stage in frozen.plan.stages)


def needs(run: Run) -> Needs:
    """Return what the next decision on a run needs to see."""
    status, frozen = run.status, run.status.frozen
    if frozen is None or not disturbs(frozen):
        return Needs()
    states = {each.id: each for each in status.stages}
    if status.phase is Phase.RESTORING:
        return _restoring(frozen, status, states)
    mine = [stage for stage in frozen.plan.stages if stage.scenario == len(status.scenarios)]
    working = [stage for stage in mine if not final(states[stage.id])]
    current = next((stage for stage in working if stage.kind not in ("query", "ids")), None)
    if current is None:
        ids = tuple(stage for stage in mine if stage.kind == "ids" and states[stage.id].state == "Running")
        return Needs(shards=_loads(mine), ids=ids)
    if current.kind not in DISTURBING and not current.alongside:
        return Needs()
    begins = not current.alongside and states[current.id].state == "Waiting"
    failing = any(not each.settled for each in status.faults) or any(
        states[stage.id].state in ("Starting", "Running") for stage in mine if stage.kind == "fault"
    )
    with_fault = any(stage.kind == "fault" and stage.alongside == current.id for stage in mine)
    return Needs(
        begins=current.id if begins else "",
        rights=begins and states[current.id].attempt == 0,
        others=begins and not _disturbed(frozen, states),
        endpoints=begins or failing or current.kind == "scale",
        workload=current.kind == "scale",
        jobs=current.kind == "load",
        agents=failing or (begins and with_fault),
        external=_external(frozen) and (failing or (begins and with_fault)),
        # Until it begins, another run may turn out to have intended its fault in the same moment.
        dangers=with_fault and (begins or any(each.state == "Intended" for each in status.faults)),
        shards=(current,) if current.kind == "load" and states[current.id].attempt else (),
    )


def _restoring(frozen: Frozen, status: RunStatus, states: dict[str, StageStatus]) -> Needs:
    faults = bool(status.faults)
    mine = [stage for stage in frozen.plan.stages if stage.scenario == len(status.scenarios)]
    return Needs(
        endpoints=faults,
        workload=status.scaling is not None and not status.scaling.restored,
        jobs=any(states[stage.id].attempt for stage in frozen.plan.stages if stage.kind == "load"),
        agents=faults,
        external=faults and _external(frozen),
        shards=tuple(each for each in _loads(mine) if states[each.id].state == "Done"),
    )


def _loads(stages: list[Stage]) -> tuple[Stage, ...]:
    return tuple(stage for stage in stages if stage.kind == "load")


def _external(frozen: Frozen) -> bool:
    return frozen.target.chaos.backend != "native"


def _disturbed(frozen: Frozen, states: dict[str, StageStatus]) -> bool:
    return any(states[stage.id].attempt for stage in frozen.plan.stages if stage.kind in DISTURBING)
