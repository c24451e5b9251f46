"""How a fault goes on, in step with the load that it goes along with.

Everything that may speak against it is asked before the load begins, so that nothing begins for nothing. From the
intent on, all that was persisted and all that is seen decide together, whoever decides: an operator that was away
finds out what became of the fault, and what it cannot find out it does not claim.
"""

from __future__ import annotations

import datetime as dt

import attrs

from perfrun.api.durations import seconds
from perfrun.api.faults import FINALIZER, FaultStatus, NodeFault
from perfrun.api.plan import Stage
from perfrun.api.run import StageStatus
from perfrun.api.target import TargetSpec
from perfrun.lifecycle import acts, arming, externals
from perfrun.lifecycle.asked import GuardInput, Harm, Refusal
from perfrun.lifecycle.choosing import choose, seed_of
from perfrun.lifecycle.guards import another_fault, changed, possible, refusal
from perfrun.lifecycle.progress import Progress, Scene, final, lost
from perfrun.lifecycle.trouble import Trouble
from perfrun.lifecycle.undoing import by_agents, undo
from perfrun.lifecycle.values import Hold

_CONSEQUENCES = frozenset({"", "CalledOff", "EndedEarly", "FaultNotProven"})
"""Reasons for which no load is given up: it was before, or what it measured has to be judged by the evidence."""

_AGAIN = frozenset({"AgentLate", "AnotherFault", "FaultLate", "ClusterUnhealthy"})

_PASSING = frozenset({"ClusterUnhealthy", "NotEnoughNodes"})
"""What may pass by itself in the time that the target grants, such as pods that start again after the fault before."""

_PATIENCE = {
    "NoEndpoints": dt.timedelta(seconds=15),
    "AnotherFault": dt.timedelta(minutes=5),
}
"""How long what a target has no say in is waited for."""


def intend(stage: Stage, start_at: dt.datetime, scene: Scene) -> FaultStatus:
    """Return the fault of a stage whose load begins at ``start_at``: intended, or refused before anything begins."""
    chaos = scene.target.chaos
    starts_at = start_at + dt.timedelta(seconds=float(stage.parameters["offset"]))
    ask = _asked(stage, starts_at, scene)
    seed = chaos.seed if chaos.seed is not None else seed_of(scene.run.meta.uid, stage.id)
    spike = ask.harm != "nodes"
    intended = FaultStatus(
        id=stage.id, kind="spike" if spike else chaos.kind, backend="native" if spike else chaos.backend, seed=seed,
        nodes=(), starts_at=starts_at, ends_at=ask.ends_at,
    )  # fmt: skip
    if (no := refusal(ask)) is not None:
        return intended.replace(state="Refused", reason=no.reason, message=no.message)
    chosen = choose(possible(ask).names, ask.count, seed)
    nodes = tuple(NodeFault(node=name, cordoned=ask.nodes[name].cordoned) for name in chosen)
    return intended.replace(nodes=nodes)


def patience(fault: FaultStatus, target: TargetSpec) -> dt.timedelta:
    """Return how long a refusal may be waited out before it is final; zero for what does not pass by itself."""
    if fault.reason in _PASSING:
        return dt.timedelta(seconds=seconds(target.chaos.patience))
    return _PATIENCE.get(fault.reason, dt.timedelta(0))


def avoid(fault: FaultStatus | None, target: TargetSpec) -> tuple[str, ...]:
    """Return the nodes on which no generator may run: those that fail, unless the target spares no generator."""
    if fault is None or fault.kind == "spike" or "generator" not in target.chaos.spare:
        return ()
    return tuple(each.node for each in fault.nodes)


def called_off(fault: FaultStatus) -> Trouble | None:
    """Return why the load of a fault is to be given up, or None."""
    if fault.reason in _CONSEQUENCES:
        return None
    untouched = fault.state in ("Intended", "Refused")
    return Trouble(fault.reason, fault.message, again=untouched and fault.reason in _AGAIN)


def may_retry(fault: FaultStatus) -> bool:
    """Whether a fault may be intended anew: it is proven that nothing of it ever happened."""
    return fault.state == "Refused"


def advance_fault(stage: Stage, scene: Scene) -> Progress:
    """Return how a fault goes on that was intended; its load's newest state is in the scene."""
    was, fault = scene.stage(stage.id), scene.fault(stage.id)
    if final(was) or fault is None:
        return Progress(was)
    load = scene.stage(stage.alongside)
    if was.state == "Waiting" and not fault.settled:
        was = was.replace(state="Starting", attempt=load.attempt, since=scene.now, started_at=None, finished_at=None)
        scene = scene.after(Progress(was))
    alone = load.state in ("Waiting", "Lost") or (load.state == "Done" and scene.now < fault.ends_at)
    if fault.settled or fault.reason or alone or _no_more(fault) or scene.now >= fault.ends_at:
        return _taken_back(was, fault, load, scene, early=bool(fault.reason) or alone)
    wrong = _unhealthy(stage, fault, scene)
    step = arming.Step(fault, was, wrong=wrong) if wrong is not None else _step(fault, was, scene)
    if step.wrong is not None:
        # An operator that dies now finds the reason, and goes on with the undoing.
        off = step.fault.replace(reason=step.wrong.reason, message=step.wrong.message)
        return _taken_back(step.status, off, load, scene, early=True)
    status = step.status
    if step.fault.state == "Injected" and status.state != "Running":
        status = status.replace(state="Running", since=scene.now)
    hold = () if FINALIZER in scene.run.meta.finalizers else (Hold(),)
    return Progress(status, (*hold, *step.actions), step.look_at, fault=step.fault)


def _no_more(fault: FaultStatus) -> bool:
    """Whether nothing more will be done although there is time: all spikes were made, and the agent said so."""
    return fault.kind == "spike" and all(each.undone_at is not None for each in fault.nodes)


def _step(fault: FaultStatus, was: StageStatus, scene: Scene) -> arming.Step:
    if fault.backend != "native":
        return externals.step(fault, was, scene)
    return arming.step(fault, was, scene) if by_agents(fault) else acts.step(fault, was, scene)


def _asked(stage: Stage, starts_at: dt.datetime, scene: Scene) -> GuardInput:
    target, seen, parameters = scene.target, scene.seen, stage.parameters
    return GuardInput(
        chaos=target.chaos,
        service=target.service.name if target.service is not None else "",
        count=int(parameters["count"]),
        wanted=int(parameters.get("nodes") or 0),
        starts_at=starts_at,
        ends_at=starts_at + dt.timedelta(seconds=float(parameters["seconds"])),
        nodes=seen.nodes,
        serving=seen.serving,
        protected=seen.protected,
        generators=target.pods.node_selector | target.load.node_selector,
        foreign_faults=seen.foreign_faults,
        denied=seen.denied,
        harm=_harm(stage),
    )


def _harm(stage: Stage) -> Harm:
    if stage.parameters.get("kind") != "spike":
        return "nodes"
    return "containers" if stage.parameters["spike"]["inject"] else "nothing"


def _unhealthy(stage: Stage, fault: FaultStatus, scene: Scene) -> Trouble | None:
    """Look once more at the cluster just before the fault: it may have become unhealthy since the intent."""
    if not fault.starts_at - arming.ARMED <= scene.now < fault.starts_at:
        return None
    ask = _asked(stage, fault.starts_at, scene)
    found = _outrun(ask, scene) or changed(ask, [each.node for each in fault.nodes])
    return Trouble(found.reason, found.message) if found is not None else None


def _outrun(ask: GuardInput, scene: Scene) -> Refusal | None:
    """Give way to a run that intended a fault in the same moment: of two, only that of the earlier name goes on."""
    mine = f"{scene.run.meta.namespace}/{scene.run.meta.name}"
    return another_fault(attrs.evolve(ask, foreign_faults=tuple(each for each in ask.foreign_faults if each < mine)))


def _taken_back(was: StageStatus, fault: FaultStatus, load: StageStatus, scene: Scene, *, early: bool) -> Progress:
    undoing = undo((fault,), scene, early=early)
    (fault,) = undoing.faults
    status = _over(was, fault, load, scene.now) if undoing.settled else was
    return Progress(status, undoing.actions, scene.now if undoing.settled else undoing.look_at, fault=fault)


def _over(was: StageStatus, fault: FaultStatus, load: StageStatus, now: dt.datetime) -> StageStatus:
    """Return the status of a stage of whose fault nothing is left."""
    if load.state == "Waiting":
        return was.replace(state="Waiting", since=now)
    if load.state == "Lost":
        return lost(was, called_off(fault) or Trouble(load.reason, load.message, broken=load.broken), now)
    if fault.state == "Refused" or called_off(fault) is not None:
        if load.state in ("Starting", "Running"):
            # The load is given up in this look; whether it is tried again decides what becomes of this stage.
            return was
        return lost(was, Trouble(fault.reason, fault.message), now)
    begun = [each.injected_at for each in fault.nodes if each.injected_at is not None]
    over = [each.undone_at for each in fault.nodes if each.undone_at is not None]
    return was.replace(
        state="Done", since=now, started_at=min(begun, default=fault.starts_at),
        finished_at=max(over, default=fault.ends_at),
    )  # fmt: skip
