"""A load and the fault that goes along with it: intended in one writing, advanced in one look, given up together.

Neither is worth anything alone: a load without its fault proves nothing, and a fault without a load breaks nodes for
nothing. So a fault that may not be is found out before the load begins, a load that ends early calls the fault off,
and a fault that is called off ends the load's attempt.
"""

from __future__ import annotations

import datetime as dt

import attrs

from perfrun.api.plan import Stage
from perfrun.lifecycle import faults
from perfrun.lifecycle.loads import advance_load, begin, give_up, start
from perfrun.lifecycle.progress import Progress, Scene, final, lose
from perfrun.lifecycle.trouble import Trouble

RECHECK = dt.timedelta(seconds=2)
"""How soon it is looked again whether a fault may be that may not be now."""


def advance_both(load: Stage, fault: Stage, scene: Scene) -> tuple[Progress, ...]:
    """Return how both go on, in the order in which it is to be written and done."""
    if scene.stage(load.id).state == "Waiting":
        return _waiting(load, fault, scene)
    done = [advance_load(load, scene, faults.avoid(scene.fault(fault.id), scene.target))]
    scene = scene.after(done[0])
    if final(scene.stage(fault.id)):
        return tuple(done)
    done.append(faults.advance_fault(fault, scene))
    scene = scene.after(done[1])
    was, failing = scene.stage(load.id), scene.fault(fault.id)
    off = faults.called_off(failing) if failing is not None else None
    if off is not None and was.state in ("Starting", "Running"):
        done.append(give_up(load, was, off, scene.now))
    return tuple(done)


def _waiting(load: Stage, fault: Stage, scene: Scene) -> tuple[Progress, ...]:
    was, failing = scene.stage(load.id), scene.fault(fault.id)
    if failing is not None and scene.stage(fault.id).state != "Waiting":
        # The attempt before was given up: its fault is called off, or undone, before there is another.
        return (faults.advance_fault(fault, scene),)
    if failing is not None and was.attempt > 0 and not faults.may_retry(failing):
        return lose((load, fault), Trouble(was.reason, was.message), scene)
    return _begin(load, fault, scene)


def _begin(load: Stage, fault: Stage, scene: Scene) -> tuple[Progress, ...]:
    was, ready = scene.stage(load.id), begin(load, scene)
    if ready.status.state == "Lost":
        return lose((load, fault), Trouble(ready.status.reason, ready.status.message), scene)
    if ready.status.state != "Starting" or ready.status.start_at is None:
        return (ready,)
    failing = faults.intend(fault, ready.status.start_at, scene.after(ready))
    since = was.since or scene.now
    if failing.state == "Refused" and scene.now < since + faults.patience(failing, scene.target):
        waiting = was.replace(since=since, reason=failing.reason, message=failing.message)
        return (Progress(waiting, look_at=scene.now + RECHECK),)
    if failing.state == "Refused":
        first, *others = lose((load, fault), Trouble(failing.reason, failing.message), scene)
        return (attrs.evolve(first, fault=failing), *others)
    intended = attrs.evolve(ready, fault=failing)
    armed = faults.advance_fault(fault, scene.after(intended))
    generators = Progress(ready.status, (start(load, ready.status, faults.avoid(failing, scene.target)),))
    return (intended, armed, generators)
