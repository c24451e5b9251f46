"""Faults that the operator itself carries out at the API server: draining nodes, and killing pods.

The moment is written before the act, and the act has to be seen done shortly after: an operator that died in between
cannot tell afterwards when it happened, and a fault without a beginning is no evidence.
"""

from __future__ import annotations

import datetime as dt

from perfrun.api.faults import FaultStatus
from perfrun.api.run import StageStatus
from perfrun.lifecycle.arming import ARMED, LOOK, Step
from perfrun.lifecycle.progress import Scene
from perfrun.lifecycle.trouble import Trouble
from perfrun.lifecycle.undoing import load_of, witnessed
from perfrun.lifecycle.values import Action, Cordon, KillPods, Missing

LATE = dt.timedelta(seconds=2)
"""How much too late an act may begin."""

CONFIRMED = dt.timedelta(seconds=3)
"""How soon after it was ordered an act has to be seen done, for its moment to be known."""


def step(fault: FaultStatus, was: StageStatus, scene: Scene) -> Step:
    """Return how a fault goes on whose end has not come."""
    now = scene.now
    if now < fault.starts_at:
        due = (fault.starts_at - ARMED, fault.starts_at)
        return Step(fault, was, look_at=min(each for each in due if each > now))
    ordered_at = next((each.injected_at for each in fault.nodes if each.injected_at is not None), None)
    if ordered_at is None:
        wrong = _impossible(fault, scene)
        begun = fault.replace(nodes=tuple(each.replace(injected_at=now) for each in fault.nodes))
        return Step(fault, was, wrong=wrong) if wrong is not None else Step(begun, was, _acts(fault, scene), now + LOOK)
    if fault.state == "Intended":
        return _confirmed(fault, was, scene, ordered_at)
    again = _acts(fault, scene) if fault.kind == "drain" and _served(fault, scene) else ()
    return Step(witnessed(fault, scene), was, again, now + LOOK)


def _confirmed(fault: FaultStatus, was: StageStatus, scene: Scene, ordered_at: dt.datetime) -> Step:
    late = scene.now > ordered_at + CONFIRMED
    if _done(fault, scene) and not late:
        undone = {"undone_at": ordered_at} if fault.kind == "pod-kill" else {}
        nodes = tuple(each.replace(**undone) for each in fault.nodes)
        return Step(fault.replace(state="Injected", nodes=nodes), was, look_at=scene.now + LOOK)
    if late:
        text = (
            f"chaos.kind {fault.kind} on {_names(fault)} was not seen done within {CONFIRMED.total_seconds():g} s of "
            f"{ordered_at:%H:%M:%S} UTC, so it is not known when it happened; run it again"
        )
        # It may have happened, so it is undone like one that did.
        return Step(fault.replace(state="Injected"), was, wrong=Trouble("FaultLate", text))
    return Step(fault, was, _acts(fault, scene), scene.now + LOOK)


def _acts(fault: FaultStatus, scene: Scene) -> tuple[Action, ...]:
    if fault.kind == "drain":
        return tuple(Cordon(each.node) for each in fault.nodes)
    return (KillPods(_pods(fault, scene), fault.starts_at),)


def _done(fault: FaultStatus, scene: Scene) -> bool:
    if fault.kind == "drain":
        seen = (scene.seen.nodes.get(each.node) for each in fault.nodes)
        return all(view is not None and view.cordoned_by == scene.run.meta.uid for view in seen)
    return not set(_pods(fault, scene)) & _served(fault, scene)


def _impossible(fault: FaultStatus, scene: Scene) -> Trouble | None:
    if scene.now > fault.starts_at + LATE:
        text = (
            f"chaos.kind {fault.kind} on {_names(fault)} was to begin at {fault.starts_at:%H:%M:%S} UTC, and nobody "
            f"was there to begin it within {LATE.total_seconds():g} s; look why the operator was away"
        )
        return Trouble("FaultLate", text, again=True)
    for each in fault.nodes:
        view = scene.seen.nodes.get(each.node)
        if view is None or (view.cordoned and not view.cordoned_by and not each.cordoned):
            what = "is no longer part of the cluster" if view is None else "was cordoned by somebody else meanwhile"
            return Trouble(
                "ClusterUnhealthy", f"node {each.node} {what}; expected it to be as it was chosen; try again"
            )
    if fault.kind == "pod-kill" and not set(_pods(fault, scene)) & _served(fault, scene):
        text = f"the pods on {_names(fault)} are others than when the load began; expected the same; run it again"
        return Trouble("ClusterUnhealthy", text)
    return None


def _pods(fault: FaultStatus, scene: Scene) -> tuple[str, ...]:
    """Return the pods that served on the failing nodes when the load began; those that came later are not meant."""
    load, failing = load_of(fault, scene), {each.node for each in fault.nodes}
    serving = scene.stage(load.id).serving if load is not None else ()
    return tuple(pod for each in serving if each.node in failing for pod in each.pods)


def _served(fault: FaultStatus, scene: Scene) -> set[str]:
    """Return the pods that are ready on the failing nodes."""
    serving = scene.seen.serving
    if isinstance(serving, Missing):
        return set()
    return {pod for each in fault.nodes for pod in serving.get(each.node, ())}


def _names(fault: FaultStatus) -> str:
    return ", ".join(each.node for each in fault.nodes)
