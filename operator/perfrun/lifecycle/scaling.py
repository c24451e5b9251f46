"""How the servers' number is changed for a scenario, and back: what it was is written before it is changed."""

from __future__ import annotations

import datetime as dt

import attrs

from perfrun.api.faults import FINALIZER, Scaling
from perfrun.api.plan import Stage
from perfrun.api.run import StageStatus
from perfrun.api.service import Workload
from perfrun.api.target import TargetSpec
from perfrun.lifecycle.progress import Progress, Scene, final, lost
from perfrun.lifecycle.trouble import Trouble
from perfrun.lifecycle.values import Action, Hold, Missing, Scale, WorkloadView

RECHECK = dt.timedelta(seconds=1)
"""How soon it is looked again: neither workloads nor endpoints are watched."""

WORKLOAD_PATIENCE = dt.timedelta(seconds=15)
"""How long a workload that is not there is waited for."""


@attrs.frozen
class Restoring:
    """How far a workload is from what it was: what the status says of it next, and what is to be done."""

    scaling: Scaling | None
    actions: tuple[Action, ...] = ()
    waits_for: str = ""


def advance_scale(stage: Stage, scene: Scene) -> Progress:
    """Return how a scale stage goes on: the intent first, then until so many nodes serve."""
    was, now = scene.stage(stage.id), scene.now
    workload = scene.target.service.workload if scene.target.service is not None else None
    if final(was):
        return Progress(was)
    if workload is None:
        text = "the target names no workload to scale; set spec.service.workload of the PerfTarget"
        return Progress(lost(was, Trouble("NoWorkload", text, broken=True), now))
    since, view = was.since or now, scene.seen.workload
    if not isinstance(view, WorkloadView):
        return _not_seen(was.replace(since=since), view, since, now)
    wanted = int(stage.parameters["replicas"])
    if was.state == "Waiting":
        before = scene.status.scaling
        scaling = _intended(workload, scene, before.before if before is not None else view.replicas, wanted)
        was = was.replace(state="Starting", attempt=1, since=now, started_at=now)
        return Progress(was, _steps(scene, view, wanted), now + RECHECK, scaling=scaling)
    return _under_way(stage, workload, scene, view)


def restore_scaling(target: TargetSpec, scaling: Scaling | None, view: WorkloadView | Missing | None) -> Restoring:
    """Return what remains to be done until the workload is as it was; nothing, where it is gone."""
    if scaling is None or scaling.restored or target.service is None:
        return Restoring(scaling)
    if isinstance(view, Missing) and view.reason.endswith("NotFound"):
        return Restoring(scaling.replace(restored=True))
    name = f"{scaling.kind} {scaling.name}"
    if not isinstance(view, WorkloadView):
        return Restoring(scaling, waits_for=f"{name} to be readable, for it was scaled")
    if view.replicas == scaling.before:
        return Restoring(scaling.replace(now=scaling.before, restored=True))
    back = scaling.replace(now=scaling.before)
    return Restoring(back, (Scale(scaling.before),), f"{name} to have {scaling.before} replicas again")


def _under_way(stage: Stage, workload: Workload, scene: Scene, view: WorkloadView) -> Progress:
    was, wanted = scene.stage(stage.id), int(stage.parameters["replicas"])
    now, have = scene.now, _serving_nodes(scene)
    if view.replicas == wanted == view.ready and len(have) >= wanted:
        return Progress(was.replace(state="Done", since=now, finished_at=now))
    if now >= (was.since or now) + dt.timedelta(seconds=stage.timeout):
        return Progress(lost(was, _too_few(workload, wanted, view, len(have)), now))
    return Progress(was, _steps(scene, view, wanted), now + RECHECK)


def _not_seen(was: StageStatus, view: Missing | None, since: dt.datetime, now: dt.datetime) -> Progress:
    if view is None or now < since + WORKLOAD_PATIENCE:
        return Progress(was, look_at=now + RECHECK)
    text = f"{view.message}; create it, or correct spec.service.workload of the PerfTarget"
    return Progress(lost(was, Trouble(view.reason, text), now))


def _intended(workload: Workload, scene: Scene, before: int, wanted: int) -> Scaling | None:
    """Return what the status says of the workload from now on; nothing, where nothing is changed."""
    if scene.status.scaling is None and before == wanted:
        return None
    service = scene.target.service
    namespace = (service.namespace if service is not None else None) or scene.run.meta.namespace
    return Scaling(kind=workload.kind, namespace=namespace, name=workload.name, before=before, now=wanted)


def _steps(scene: Scene, view: WorkloadView, wanted: int) -> tuple[Action, ...]:
    if view.replicas == wanted:
        return ()
    held = FINALIZER in scene.run.meta.finalizers
    return (Scale(wanted),) if held else (Hold(), Scale(wanted))


def _serving_nodes(scene: Scene) -> list[str]:
    serving, nodes = scene.seen.serving, scene.seen.nodes
    if isinstance(serving, Missing):
        return []
    return [name for name in serving if name in nodes and nodes[name].ready and not nodes[name].cordoned]


def _too_few(workload: Workload, wanted: int, view: WorkloadView, nodes: int) -> Trouble:
    name = f"{workload.kind} {workload.name}"
    if view.ready < wanted:
        text = (
            f"{name} has {view.ready} of {wanted} pods ready after {workload.timeout}; add nodes or room on them, "
            "or raise spec.service.workload.timeout of the PerfTarget"
        )
        return Trouble("NotEnoughReplicas", text)
    text = (
        f"the {view.ready} pods of {name} serve from {nodes} nodes that are ready and not cordoned, "
        f"and the scenario needs {wanted}; spread them over nodes (podAntiAffinity or topologySpreadConstraints), "
        "or add nodes"
    )
    return Trouble("NotEnoughNodes", text)
