"""What a run does now, in words for its message: they name moments, so that they stay the same while time passes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence

from perfrun.api.faults import FaultStatus
from perfrun.api.plan import Stage
from perfrun.api.run import Frozen, StageStatus
from perfrun.lifecycle.progress import Scene, final
from perfrun.lifecycle.telling import fault_line
from perfrun.lifecycle.values import Emit

MESSAGE = 1024
"""Most characters of a message."""

SAMPLES = "waiting until the metrics store has the samples of the load's end"


def scenario_note(frozen: Frozen, index: int, doing: str) -> str:
    """Return the message of a run that is at a scenario (counted from 0)."""
    return f"scenario {index + 1} of {len(frozen.plan.scenarios)}: {doing}"


def doing(stage: Stage, along: Sequence[Stage], scene: Scene) -> str:
    """Return what goes on at a stage, and at those that go along with it."""
    state = scene.stage(stage.id)
    fault = next((each for each in along if each.kind == "fault"), None)
    failing = scene.fault(fault.id) if fault is not None else None
    if stage.kind == "load":
        pods = [each.id for each in along if each.kind == "pod" and scene.stage(each.id).state == "Running"]
        if failing is None and final(state):
            return f"the traffic is over, waiting for {', '.join(pods) or 'what went along with it'}"
        return _load(state, failing, scene) + (f", {', '.join(pods)} alongside" if pods else "")
    if stage.kind == "scale":
        return _scale(stage, scene)
    where = f" in pod {state.pod}" if state.pod else ""
    return {"Starting": "starting", "Running": "measuring"}.get(state.state, "waiting") + where


def _load(state: StageStatus, failing: FaultStatus | None, scene: Scene) -> str:
    if failing is not None and not failing.settled and (final(state) or state.state == "Waiting"):
        return _undoing(failing, scene)
    if state.state == "Waiting":
        return (
            f"{'trying again' if state.attempt else 'waiting'}: {state.message}" if state.message else "about to begin"
        )
    begins = clock(state.start_at) if state.start_at is not None else "once they are ready"
    if state.state == "Starting":
        return f"generators are getting ready, traffic from {begins}"
    if failing is None:
        return f"traffic since {begins}"
    if failing.state == "Intended":
        return f"normal traffic, {fault_line(failing)}"
    return f"traffic, {fault_line(failing)}"


def _undoing(failing: FaultStatus, scene: Scene) -> str:
    left = [each.node for each in failing.nodes if each.clean_at is None]
    seen = scene.seen.nodes
    unready = [name for name in left if name in seen and not seen[name].ready]
    if unready:
        return f"waiting for {', '.join(unready)} to be Ready again"
    return f"proving that nothing of the fault is left on {', '.join(left)}" if left else "taking back the fault"


def _scale(stage: Stage, scene: Scene) -> str:
    workload = scene.target.service.workload if scene.target.service is not None else None
    name = f"{workload.kind} {workload.name}" if workload is not None else "the workload"
    return f"scaling {name} to {stage.parameters['replicas']} nodes"


def fault_events(before: Iterable[FaultStatus], after: Iterable[FaultStatus]) -> tuple[Emit, ...]:
    """Return the events that tell of what became of faults since the status before."""
    states = {each.id: each.state for each in before}
    return tuple(
        Emit("Normal" if each.state == "Undone" else "Warning", f"Fault{each.state}", fault_line(each)[:MESSAGE])
        for each in after
        if each.state not in ("Intended", states.get(each.id))
    )


def clock(moment: dt.datetime) -> str:
    """Return the time of a moment, in UTC."""
    return moment.astimezone(dt.UTC).strftime("%H:%M:%S UTC")
