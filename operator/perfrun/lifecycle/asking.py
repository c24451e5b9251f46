"""What a scenario asks for when all else is done: queries, and the servers' logs, together in one look.

Answers are not kept between looks, so they end together, in the look that judges them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from perfrun.api.durations import seconds
from perfrun.api.plan import Stage
from perfrun.lifecycle.ids import advance_ids
from perfrun.lifecycle.progress import Progress, Scene, final, lost
from perfrun.lifecycle.trouble import Trouble

ASKED = ("query", "ids")
"""Kinds of the stages that are asked."""

RECHECK = dt.timedelta(seconds=2)
"""How soon a query that failed is asked again."""

_SAMPLES_STEPS = 2
"""Steps of the metrics store after the end of a load until its last samples are there to be asked for."""


def asked_from(stages: Iterable[Stage], scene: Scene) -> dt.datetime:
    """Return from when on the stages may be asked: once the store has the samples of the loads' ends."""
    prometheus = scene.target.prometheus
    if prometheus is None:
        return scene.now
    loads = {stage.id for stage in stages if stage.kind == "load"}
    ends = [
        scene.stage(after).finished_at
        for stage in stages
        if stage.kind == "query" and (after := str(stage.parameters.get("after") or "")) in loads
    ]
    settling = dt.timedelta(seconds=_SAMPLES_STEPS * seconds(prometheus.step))
    return max((end + settling for end in ends if end is not None), default=scene.now)


def ask(stage: Stage, scene: Scene) -> Progress:
    """Return how a stage goes on that is asked: a query, whose window is that of another stage or ends now, or ids."""
    was = scene.stage(stage.id)
    if final(was):
        return Progress(was)
    return advance_ids(stage, scene) if stage.kind == "ids" else _query(stage, scene)


def _query(stage: Stage, scene: Scene) -> Progress:
    was, now = scene.stage(stage.id), scene.now
    if was.state == "Waiting":
        span = _span(stage, scene)
        if isinstance(span, Trouble):
            return Progress(lost(was, span, now))
        start, end = span
        running = was.replace(state="Running", attempt=1, since=now, started_at=start, finished_at=end)
        return Progress(running, look_at=now)
    answer = scene.seen.answers.get(stage.id)
    if answer is None:
        return Progress(was, look_at=now)
    waited = (now - (was.since or now)).total_seconds()
    if answer.error and waited < stage.timeout:
        return Progress(was, look_at=now + RECHECK)
    return Progress(was.replace(state="Done", since=now))


def _span(stage: Stage, scene: Scene) -> tuple[dt.datetime, dt.datetime] | Trouble:
    """Return the window of a query, or why it has none."""
    after = str(stage.parameters.get("after") or "")
    if not after:
        return scene.now - dt.timedelta(seconds=float(stage.parameters["lookback"])), scene.now
    before = next((each for each in scene.status.stages if each.id == after), None)
    if before is None or before.started_at is None or before.finished_at is None:
        return Trouble("NoWindow", f"its window is that of stage {after}, which was lost")
    start = before.started_at + dt.timedelta(seconds=float(stage.parameters.get("offset") or 0))
    end = min(before.finished_at, _schedule_end(after, before.started_at, scene) or before.finished_at)
    if start >= end:
        return Trouble("NoWindow", f"its window is that of stage {after}, which ended before the window began")
    return start, end


def _schedule_end(name: str, start: dt.datetime, scene: Scene) -> dt.datetime | None:
    """Return when a load's traffic ended by its schedule; the load itself ends when the last answer came."""
    stages = scene.status.frozen.plan.stages if scene.status.frozen is not None else ()
    length = next((each.seconds for each in stages if each.id == name and each.kind == "load"), None)
    return None if length is None else start + dt.timedelta(seconds=length)
