"""How the stage that asks the servers' logs goes on: what they say that they answered, or what of it is missing."""

from __future__ import annotations

import datetime as dt

from perfrun.api.plan import Stage
from perfrun.lifecycle.progress import Progress, Scene, final, lost
from perfrun.lifecycle.trouble import Trouble

GAPS_PATIENCE = dt.timedelta(seconds=10)
"""How long logs that cannot be read are asked for again: a node that was cut off serves them a little later."""

RECHECK = dt.timedelta(seconds=2)
"""How soon logs with gaps are read again."""


def advance_ids(stage: Stage, scene: Scene) -> Progress:
    """Return how an ids stage goes on; logs that stay unreadable end it too, and are told as gaps."""
    was, now = scene.stage(stage.id), scene.now
    if final(was):
        return Progress(was)
    load = scene.stage(str(stage.parameters["after"]))
    if load.start_at is None or load.state != "Done":
        text = f"there is nothing to look for in the servers' logs, for load {load.id} was lost"
        return Progress(lost(was, Trouble("NoWindow", text), now))
    if was.state == "Waiting":
        running = was.replace(state="Running", attempt=1, since=now, started_at=load.start_at)
        return Progress(running, look_at=now)
    found = scene.seen.ids.get(stage.id)
    if found is None:
        return Progress(was, look_at=now)
    if found.gaps and now < (was.since or now) + GAPS_PATIENCE:
        return Progress(was, look_at=now + RECHECK)
    return Progress(was.replace(state="Done", since=now, finished_at=now))
