"""Seeing runs and leftovers to their end, with or without an operator, one line for each thing that happens.

Runs are driven with the operator's own decisions: what is undone, and what counts as proof, is the same whoever asks.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable
from typing import Final

from perfrun.adapters.drive import World, drive
from perfrun.adapters.reading import MalformedError
from perfrun.api.faults import FINALIZER, FaultStatus
from perfrun.lifecycle.telling import fault_line, scaling_line
from perfrun.lifecycle.values import Key, Run
from perfrun.ports import Clock, Cluster, Conflict, Unavailable

Tell = Callable[[str], None]
Turn = Callable[[], Awaitable[dt.datetime | None]]

SHORTEST: Final = 0.2
LONGEST: Final = 1.0
"""Seconds between two looks at a run, whatever its decision says: nothing wakes this loop but time."""


async def finish(key: Key, cluster: Cluster, turn: Turn, clock: Clock, until: dt.datetime, tell: Tell) -> bool:
    """Take turns of one run until it is over; return whether that was before ``until``."""
    before: Run | None = None
    said = ""
    while True:
        due = None
        try:
            due = await turn()
            run = await cluster.run(key)
        except Conflict:
            due = clock.now()
        except Unavailable as error:
            if str(error) != said:
                tell(f"{key.namespace}/{key.name}: {error}")
            said = str(error)
        except MalformedError as error:
            tell(f"{error}; correct its status by hand, or delete it and undo what is then left without a run")
            return False
        else:
            said = ""
            for line in news(before, run):
                tell(f"{key.namespace}/{key.name}: {line}")
            if run is None or over(run):
                return True
            before = run
        now = clock.now()
        if now >= until:
            return False
        wanted = (due - now).total_seconds() if due is not None else LONGEST
        await asyncio.sleep(min(max(SHORTEST, wanted), LONGEST, max(SHORTEST, (until - now).total_seconds())))


def driven(key: Key, world: World) -> Turn:
    """Return turns that do an operator's work on a run."""
    return lambda: drive(key, world)


async def watched() -> dt.datetime | None:
    """Take a turn that leaves the work to an operator."""
    return None


def over(run: Run) -> bool:
    """Whether the run is finished, everything that it changed is proven undone, and nothing keeps it."""
    settled = all(each.settled for each in run.status.faults)
    scaled = run.status.scaling is not None and not run.status.scaling.restored
    return run.status.phase.finished and settled and not scaled and FINALIZER not in run.meta.finalizers


def news(before: Run | None, run: Run | None) -> list[str]:
    """Return what happened to a run between two looks, a line each."""
    if run is None:
        return ["it is gone"]
    if before is None:
        return [f"is {run.status.phase.value}", *(fault_line(each) for each in run.status.faults if not each.settled)]
    lines = []
    was = {each.id: each for each in before.status.faults}
    for fault in run.status.faults:
        lines += _of_fault(was.get(fault.id), fault)
    if run.status.scaling is not None and run.status.scaling != before.status.scaling:
        lines.append(scaling_line(run.status.scaling))
    if run.status.phase is not before.status.phase:
        lines.append(f"is {run.status.phase.value}: {run.status.message}")
    elif run.status.message != before.status.message:
        lines.append(run.status.message)
    if FINALIZER in before.meta.finalizers and FINALIZER not in run.meta.finalizers:
        lines.append("the finalizer is off: nothing of it is left")
    return lines


def _of_fault(before: FaultStatus | None, fault: FaultStatus) -> list[str]:
    was = {each.node: each for each in before.nodes} if before is not None else {}
    lines = []
    for each in fault.nodes:
        old = was.get(each.node)
        if each.undone_at is not None and (old is None or old.undone_at is None):
            lines.append(f"fault {fault.id}: ended on {each.node}")
        if each.clean_at is not None and (old is None or old.clean_at is None):
            lines.append(f"fault {fault.id}: {each.node} is proven clean: {each.proof or 'no proof is written down'}")
    if before is None or before.state != fault.state:
        lines.append(f"fault {fault.id} is {fault.state}: {fault_line(fault)}")
    return lines
