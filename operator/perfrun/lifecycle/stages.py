"""How one stage goes on: (stage, its status, what is seen, now) → its next status and what to do.

A stage that is Starting may or may not have a pod already: the intent is written first, and the pod's name is
derived, so it is simply asked for until it is seen. A stage that is Running had one; if it is gone, it was lost.
"""

from __future__ import annotations

import datetime as dt

import attrs

from perfrun.api.plan import Stage
from perfrun.api.run import StageStatus
from perfrun.lifecycle.loads import advance_load
from perfrun.lifecycle.progress import Progress, Scene, final, lost
from perfrun.lifecycle.scaling import advance_scale
from perfrun.lifecycle.trouble import Trouble, trouble
from perfrun.lifecycle.values import HandedIn, Missing, PodView, RunObservation, StartPod, StopPod
from perfrun.manifests.names import pod_name

RECHECK = dt.timedelta(seconds=2)
"""How soon it is looked again for a pod that was asked for."""


def advance(stage: Stage, scene: Scene) -> Progress:
    """Return how a stage goes on that measures or prepares by itself.

    A load that a fault goes along with advances together with it (``together``), and what is only read when all else
    is done, advances at the end (``asking``).
    """
    was = scene.stage(stage.id)
    if final(was):
        return Progress(was)
    match stage.kind:
        case "observe":
            return _observe(stage, was, scene.now)
        case "scale":
            return advance_scale(stage, scene)
        case "load":
            return advance_load(stage, scene)
        case _:
            return _pod(stage, was, scene.run.meta.name, scene.seen, scene.now)


def handed_in(was: StageStatus, handed: HandedIn, now: dt.datetime) -> Progress:
    """Return the end of a pod's stage that handed something in."""
    if isinstance(handed.result, Missing):
        wrong = Trouble(handed.result.reason, handed.result.message, broken=True)
        return Progress(lost(was, wrong, now), (StopPod(was.pod),))
    started = dt.datetime.fromtimestamp(handed.result.started, dt.UTC)
    finished = dt.datetime.fromtimestamp(handed.result.finished, dt.UTC)
    done = was.replace(state="Done", since=now, started_at=started, finished_at=finished, artifact=handed.link.digest)
    return Progress(done)


def _observe(stage: Stage, was: StageStatus, now: dt.datetime) -> Progress:
    if was.state == "Waiting" or was.started_at is None:
        end = now + dt.timedelta(seconds=stage.seconds)
        return Progress(was.replace(state="Running", attempt=1, since=now, started_at=now), look_at=end)
    end = was.started_at + dt.timedelta(seconds=stage.seconds)
    if now < end:
        return Progress(was, look_at=end)
    return Progress(was.replace(state="Done", since=now, finished_at=end))


def _pod(stage: Stage, was: StageStatus, run: str, seen: RunObservation, now: dt.datetime) -> Progress:
    if was.state == "Waiting":
        return _start(stage, was, run, now, attempt=1)
    result = seen.results.get(stage.id)
    if result is not None:
        return handed_in(was, result, now)
    pod = seen.pods.get(was.pod)
    if pod is None:
        if was.state == "Starting":
            return _start(stage, was, run, now, attempt=was.attempt, since=was.since)
        gone = Trouble("PodLost", f"pod {was.pod} is gone and handed in no result", again=True)
        return _give_up(stage, was, run, gone, now)
    wrong = trouble(pod, stage, was.since or now, now)
    if wrong is not None:
        return _give_up(stage, was, run, wrong, now)
    if pod.phase == "Running" and was.state == "Starting":
        was = was.replace(state="Running", since=now)
    return Progress(was, look_at=_deadline(stage, was, pod, now))


def _deadline(stage: Stage, was: StageStatus, pod: PodView, now: dt.datetime) -> dt.datetime:
    if was.state == "Starting":
        return (was.since or now) + dt.timedelta(seconds=stage.start_timeout)
    return (pod.started or was.since or now) + dt.timedelta(seconds=stage.timeout + 6)


def _start(
    stage: Stage, was: StageStatus, run: str, now: dt.datetime, attempt: int, since: dt.datetime | None = None
) -> Progress:
    name = pod_name(run, stage.id, attempt)
    begun = since or now
    status = was.replace(state="Starting", attempt=attempt, pod=name, since=begun, reason="", message="")
    look_at = begun + dt.timedelta(seconds=stage.start_timeout)
    return Progress(status, (StartPod(name=name, stage=stage, attempt=attempt),), max(look_at, now + RECHECK))


def _give_up(stage: Stage, was: StageStatus, run: str, wrong: Trouble, now: dt.datetime) -> Progress:
    stop = (StopPod(was.pod),)
    if wrong.again and was.attempt < stage.attempts:
        progress = _start(stage, was, run, now, attempt=was.attempt + 1)
        return attrs.evolve(progress, actions=stop + progress.actions)
    return Progress(lost(was, wrong, now), stop)
