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
from perfrun.lifecycle.resuming import told
from perfrun.lifecycle.scaling import advance_scale
from perfrun.lifecycle.trouble import Trouble, trouble
from perfrun.lifecycle.values import HandedIn, Missing, PodView, RunObservation, StartPod, StopPod
from perfrun.manifests.names import pod_name
from perfrun_kernels.contract import Result

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


def handed_in(stage: Stage, was: StageStatus, handed: HandedIn, now: dt.datetime) -> Progress:
    """Return the end of a pod's stage that handed something in."""
    if isinstance(handed.result, Missing):
        wrong = Trouble(handed.result.reason, handed.result.message, broken=True)
        return Progress(lost(was, wrong, now), (StopPod(was.pod),))
    started = dt.datetime.fromtimestamp(handed.result.started, dt.UTC)
    finished = dt.datetime.fromtimestamp(handed.result.finished, dt.UTC)
    done = was.replace(
        state="Done", since=now, started_at=started, finished_at=finished, artifact=handed.link.digest,
        saved_seconds=_saved(stage, handed.result),
    )  # fmt: skip
    return Progress(done)


def _saved(stage: Stage, result: Result) -> float | None:
    """Return the part of the budget that was not needed, in seconds, where the program ended for what it had seen."""
    if result.outcome != "Completed" or result.facts.get("stop_reason") in (None, "", "budget"):
        return None
    return round(max(0.0, stage.seconds - (result.finished - result.started)), 3)


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
        return _start(stage, was, run, seen, now, attempt=1)
    result, pod = seen.results.get(stage.id), seen.pods.get(was.pod)
    if pod is None and result is None and was.state == "Starting":
        return _start(stage, was, run, seen, now, attempt=was.attempt, since=was.since)
    wrong = trouble(pod, stage, was.since or now, now) if pod is not None else _gone(was)
    if result is not None:
        if not _interrupted(result) or (wrong is not None and not wrong.again):
            return handed_in(stage, was, result, now)
        if wrong is None:
            # Pods are read before results: the next look shows why it was told to stop.
            return Progress(was, look_at=now + RECHECK)
    if pod is None or wrong is not None:
        return _give_up(stage, was, run, wrong or _gone(was), seen, now)
    if pod.phase == "Running" and was.state == "Starting":
        was = was.replace(state="Running", since=now)
    return Progress(was, look_at=_deadline(stage, was, pod, now))


def _gone(was: StageStatus) -> Trouble:
    return Trouble("PodLost", f"pod {was.pod} is gone and handed in no result", again=True)


def _interrupted(handed: HandedIn) -> bool:
    """Whether the program was told to stop: if its pod was lost through no fault of its own, it is tried again."""
    return isinstance(handed.result, Result) and handed.result.reason == "Terminated"


def _deadline(stage: Stage, was: StageStatus, pod: PodView, now: dt.datetime) -> dt.datetime:
    if was.state == "Starting":
        return (was.since or now) + dt.timedelta(seconds=stage.start_timeout)
    return (pod.started or was.since or now) + dt.timedelta(seconds=stage.timeout + 6)


def _start(
    stage: Stage, was: StageStatus, run: str, seen: RunObservation, now: dt.datetime, attempt: int,
    since: dt.datetime | None = None,
) -> Progress:  # fmt: skip
    name = pod_name(run, stage.id, attempt)
    begun = since or now
    status = was.replace(state="Starting", attempt=attempt, pod=name, since=begun, reason="", message="")
    look_at = begun + dt.timedelta(seconds=stage.start_timeout)
    start = StartPod(name=name, stage=told(stage, attempt, seen), attempt=attempt)
    return Progress(status, (start,), max(look_at, now + RECHECK))


def _give_up(
    stage: Stage, was: StageStatus, run: str, wrong: Trouble, seen: RunObservation, now: dt.datetime
) -> Progress:
    stop = (StopPod(was.pod),)
    if wrong.again and was.attempt < stage.attempts:
        progress = _start(stage, was, run, seen, now, attempt=was.attempt + 1)
        return attrs.evolve(progress, actions=stop + progress.actions)
    return Progress(lost(was, wrong, now), stop)
