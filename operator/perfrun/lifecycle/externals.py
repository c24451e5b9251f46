"""Faults that other tools carry out: asked for on time, and watched until they are seen to have begun.

Tools do not say when a fault began. It is taken to have begun when it was last seen not to have, which is never too
late; where nobody looked for a while, it is not known.
"""

from __future__ import annotations

import datetime as dt

from perfrun.api.faults import FaultStatus
from perfrun.api.run import StageStatus
from perfrun.lifecycle.acts import LATE
from perfrun.lifecycle.arming import ARMED, LOOK, Step
from perfrun.lifecycle.progress import Scene
from perfrun.lifecycle.trouble import Trouble
from perfrun.lifecycle.undoing import witnessed
from perfrun.lifecycle.values import StartExternal

LEAD = dt.timedelta(seconds=0.5)
"""How long before the start a tool is asked: about what it takes to act."""

PATIENCE = dt.timedelta(seconds=30)
"""How much later than asked a tool may begin, where the fault lasts twice as long; some start pods first."""

GAP = dt.timedelta(seconds=3)
"""Longest time between two looks from which the beginning is known well enough."""


def step(fault: FaultStatus, was: StageStatus, scene: Scene) -> Step:
    """Return how a fault goes on whose end has not come; the stage's ``started_at`` is when it had not begun yet."""
    now, asked_at = scene.now, fault.starts_at - LEAD
    if fault.state == "Injected":
        return Step(_watched(fault, scene), was, look_at=now + LOOK)
    if now < asked_at:
        due = (fault.starts_at - ARMED, asked_at)
        return Step(fault, was, look_at=min(each for each in due if each > now))
    tool = scene.seen.external.get(fault.id)
    if tool is not None and tool.phase == "Failed":
        return Step(fault, was, wrong=Trouble("ExternalFailed", f"{fault.backend} failed: {tool.message}"))
    if tool is not None and tool.phase in ("Injected", "Recovered"):
        return _begun(fault, was, scene)
    patience = min(PATIENCE, (fault.ends_at - fault.starts_at) / 2)
    if (was.started_at is None and now > fault.starts_at + LATE) or now > fault.starts_at + patience:
        told = f": {tool.message}" if tool is not None and tool.message else ""
        text = (
            f"{fault.backend} had not begun the fault {(now - fault.starts_at).total_seconds():.0f} s after "
            f"{fault.starts_at:%H:%M:%S} UTC{told}; expected it by then; look at {fault.backend}"
        )
        return Step(fault, was, wrong=Trouble("FaultLate", text, again=True))
    starts = (StartExternal(fault),) if tool is None else ()
    return Step(fault, was.replace(started_at=now), starts, now + LOOK)


def _begun(fault: FaultStatus, was: StageStatus, scene: Scene) -> Step:
    last = was.started_at
    fault = fault.replace(state="Injected")
    if last is not None and scene.now <= last + GAP:
        undone = {"undone_at": last} if fault.kind == "pod-kill" else {}
        fault = fault.replace(nodes=tuple(each.replace(injected_at=last, **undone) for each in fault.nodes))
    return Step(_watched(fault, scene), was, look_at=scene.now + LOOK)


def _watched(fault: FaultStatus, scene: Scene) -> FaultStatus:
    tool = scene.seen.external.get(fault.id)
    fault = witnessed(fault, scene)
    if fault.kind == "pod-kill" or (tool is not None and tool.phase != "Recovered"):
        return fault
    return fault.replace(nodes=tuple(each.replace(undone_at=each.undone_at or scene.now) for each in fault.nodes))
