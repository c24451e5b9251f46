"""Pods that measure alongside a load: they begin with its attempt, each at its moment of it, and are given up with it.

A server's pod is made with the intent. A client's is made once its peer runs and has an address, and one that is tied
to another's node once that node is known; who is where follows from what is seen, and is kept nowhere.

One that is not there when its measuring is to begin is late, as a generator may be, and then all are tried again with
a longer lead. Where no try is left, or another would fare no better, that pod alone is given up: what the others
measure is worth as much without it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import attrs

from perfrun.api.plan import Stage
from perfrun.api.run import StageStatus
from perfrun.lifecycle.loads import give_up
from perfrun.lifecycle.progress import Progress, Scene, final, lost
from perfrun.lifecycle.stages import handed_in
from perfrun.lifecycle.trouble import GRACE, Trouble, trouble
from perfrun.lifecycle.values import PodView, StartPod, StopPod
from perfrun.manifests.names import pod_name
from perfrun_kernels.contract import Result

NODE_PATIENCE = dt.timedelta(seconds=5)
"""How long a pod that must not run beside another may find no node; a scheduler answers in less than a second."""

RECHECK = dt.timedelta(seconds=1)
"""How soon it is looked again for a pod that was asked for, or that another waits for."""


@attrs.frozen
class _Place:
    """Where a pod runs, and whom it talks to."""

    on: str = ""
    avoid: tuple[str, ...] = ()
    peer: str = ""


def accompany(load: Stage, pods: Sequence[Stage], scene: Scene) -> tuple[Progress, ...]:
    """Return how the pods of a load go on, and the end of its attempt where they end it.

    ``scene`` holds the load's own progress of this look. ``pods`` are in the plan's order, in which each may depend on
    those before it.
    """
    if not pods:
        return ()
    was, before = scene.stage(load.id), scene
    if was.state == "Waiting":
        return _back(pods, scene)
    done = []
    for stage in pods:
        step = _over(load, was, scene) or _step(stage, was, scene)
        if isinstance(step, Trouble) and step.again and _under_way(was) and was.attempt < load.attempts:
            return (give_up(load, was, step, scene.now), *_back(pods, before))
        progress = _lost(stage, step, scene) if isinstance(step, Trouble) else step
        done.append(progress)
        scene = scene.after(progress)
    states = [scene.stage(each.id) for each in pods]
    if _under_way(was) and all(each.state == "Lost" for each in states):
        # Without any of them the load is for nothing.
        nothing = Trouble(states[0].reason, states[0].message, broken=states[0].broken)
        done.append(give_up(load, was, nothing, scene.now))
    return tuple(done)


def begins_at(stage: Stage, load: StageStatus) -> dt.datetime:
    """Return when a pod's measuring begins; raises ValueError where its load has no start."""
    if load.start_at is None:
        msg = f"load {load.id} is {load.state} without a start; its status was edited by hand"
        raise ValueError(msg)
    return load.start_at + dt.timedelta(seconds=stage.offset)


def _under_way(load: StageStatus) -> bool:
    return load.state in ("Starting", "Running")


def _over(load: Stage, was: StageStatus, scene: Scene) -> Trouble | None:
    """Return why nothing is to be measured alongside a load any more: it was lost, or there was no full load."""
    if was.state == "Lost":
        return Trouble(was.reason, was.message, broken=was.broken)
    if was.state != "Done":
        return None
    shards = [each.result for each in scene.seen.shards.get(load.id, {}).values()]
    short = next((each for each in shards if isinstance(each, Result) and each.outcome != "Completed"), None)
    return Trouble(short.reason, short.message) if short is not None else None


def _back(pods: Sequence[Stage], scene: Scene) -> tuple[Progress, ...]:
    """Let all wait for the next attempt, those that have measured too; what was lost for good stays lost."""
    states = [scene.stage(each.id) for each in pods]
    return tuple(
        Progress(each.replace(state="Waiting", since=scene.now), (StopPod(each.pod),))
        for each in states
        if each.state not in ("Waiting", "Lost")
    )


def _lost(stage: Stage, wrong: Trouble, scene: Scene) -> Progress:
    was = scene.stage(stage.id)
    if final(was):
        return Progress(was)
    return Progress(lost(was, wrong, scene.now), (StopPod(was.pod),) if was.pod else ())


def _step(stage: Stage, load: StageStatus, scene: Scene) -> Progress | Trouble:
    """Return how a pod goes on, or what is wrong with it; ``again`` says that it is late."""
    was, pod = scene.stage(stage.id), scene.seen.pods.get(scene.stage(stage.id).pod)
    if final(was):
        left = was.state == "Lost" and pod is not None and not pod.deleting and pod.phase not in ("Succeeded", "Failed")
        return Progress(was, (StopPod(was.pod),) if left else ())
    begins = begins_at(stage, load)
    if was.state == "Waiting":
        name = pod_name(scene.run.meta.name, stage.id, load.attempt)
        intended = StageStatus(id=stage.id, state="Starting", attempt=load.attempt, pod=name, since=scene.now)
        return _start(stage, intended, begins, scene)
    if (result := scene.seen.results.get(stage.id)) is not None:
        if isinstance(result.result, Result) and result.result.reason == "LateStart":
            return Trouble("LateStart", result.result.message, again=True)
        return handed_in(stage, was, result, scene.now)
    if pod is None and was.state == "Starting":
        return _start(stage, was, begins, scene)
    return _seen(stage, was, pod, begins, scene.now)


def _seen(
    stage: Stage, was: StageStatus, pod: PodView | None, begins: dt.datetime, now: dt.datetime
) -> Progress | Trouble:
    if pod is None:
        return Trouble("PodLost", f"pod {was.pod} is gone and handed in no result", again=now < begins)
    if (wrong := _wrong(stage, pod, begins, now)) is not None:
        return wrong
    if pod.phase == "Running" and was.state == "Starting":
        was = was.replace(state="Running", since=now)
    return Progress(was, look_at=_next_look(stage, pod, begins, now))


def _start(stage: Stage, was: StageStatus, begins: dt.datetime, scene: Scene) -> Progress | Trouble:
    """Return that the pod is made, or what it waits for; made again, it is the same pod."""
    place, now = _place(stage, scene), scene.now
    if isinstance(place, Trouble):
        return place
    if now >= begins:
        why = place if isinstance(place, str) else "nobody had made it"
        return Trouble("LateStart", f"pod {was.pod} was not there when it was to begin: {why}", again=True)
    look_at = min(begins, now + RECHECK)
    if isinstance(place, str):
        return Progress(was, look_at=look_at)
    start = StartPod(was.pod, _told(stage, was, begins, place.peer), was.attempt, place.on, place.avoid)
    return Progress(was, (start,), look_at)


def _place(stage: Stage, scene: Scene) -> _Place | str | Trouble:
    """Return where a pod runs; a text says for whom that waits, a trouble that it will never be known."""
    pods: dict[str, PodView] = {}
    for other in filter(None, (stage.beside, stage.apart, stage.peer)):
        state = scene.stage(other)
        if state.state == "Lost":
            return Trouble(state.reason, f"it needs {other}, which was lost: {state.message}", broken=state.broken)
        pod = scene.seen.pods.get(state.pod)
        if pod is None or not pod.node:
            return f"{other} is not on a node yet"
        pods[other] = pod
    peer = pods.get(stage.peer)
    if peer is not None and not (peer.phase == "Running" and peer.ip):
        return f"{stage.peer}, its peer, does not run yet"
    return _Place(
        on=pods[stage.beside].node if stage.beside else "",
        avoid=(pods[stage.apart].node,) if stage.apart else (),
        peer=peer.ip if peer is not None else "",
    )


def _told(stage: Stage, was: StageStatus, begins: dt.datetime, peer: str) -> Stage:
    """Return the stage as its pod is told it: when it begins and with whom, and that it has to wait until then."""
    waits = _waits(was, begins)
    moment = {"start_at": begins.timestamp()} | ({"peer_address": peer} if peer else {})
    return stage.replace(
        parameters={**stage.parameters, **moment}, seconds=stage.seconds + waits, timeout=stage.timeout + waits
    )


def _waits(was: StageStatus, begins: dt.datetime) -> float:
    return max(0.0, (begins - (was.since or begins)).total_seconds())


def _wrong(stage: Stage, pod: PodView, begins: dt.datetime, now: dt.datetime) -> Trouble | None:
    if stage.apart and pod.waiting == "Unschedulable" and now >= pod.created + NODE_PATIENCE:
        told = pod.message.strip() or "the scheduler did not say why"
        return Trouble(
            "NoSecondNode",
            f"no node takes pod {pod.name}, which must not share one with {stage.apart}: {told}; add a node, or make "
            "room on one that the target's pods may run on",
        )
    lead = max(0.0, (begins - pod.created).total_seconds())
    timed = stage.replace(start_timeout=min(lead, stage.start_timeout), timeout=stage.timeout + lead)
    found = trouble(pod, timed, pod.created, now)
    if found is None:
        return None
    return attrs.evolve(found, again=found.again and (now < begins or pod.phase == "Pending"))


def _next_look(stage: Stage, pod: PodView, begins: dt.datetime, now: dt.datetime) -> dt.datetime:
    """Return when what no event tells is due: that it found no node, is late, or never ends."""
    ends = max(begins, pod.started or begins) + dt.timedelta(seconds=stage.timeout + GRACE + 1)
    due = [begins, ends] if pod.phase == "Pending" else [ends]
    if stage.apart and pod.waiting:
        due.append(pod.created + NODE_PATIENCE)
    return min((each for each in due if each > now), default=now + RECHECK)
