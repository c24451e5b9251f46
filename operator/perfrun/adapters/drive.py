"""One turn of one object: load → observe → decide → persist → apply.

This is the only place where decisions meet the world. The status is persisted before any action is carried out,
and whoever was overtaken by a newer version of the object has done nothing yet. Bulk evidence and forecasts are the
exception: they are stored first, for the status links to them.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, get_args

import attrs

from perfrun.adapters.observe import observe_feature, observe_forecast, observe_run
from perfrun.api.run import ArtifactLink, KeptForecast, RunStatus
from perfrun.lifecycle.attachments import suffix_of
from perfrun.lifecycle.decide_feature import decide_feature
from perfrun.lifecycle.decide_forecast import decide_forecast
from perfrun.lifecycle.decide_run import decide_run
from perfrun.lifecycle.decide_target import decide_target
from perfrun.lifecycle.keeping import NOT_KEPT
from perfrun.lifecycle.values import (
    Action,
    CancelRun,
    Change,
    CreateRun,
    DeleteRun,
    Discard,
    Emit,
    Feature,
    Hold,
    Keep,
    Key,
    Ours,
    Run,
    StartPod,
    StopPod,
    Store,
)
from perfrun.ports import Artifacts, Clock, Cluster, Metrics, Unavailable, artifact_root

log = logging.getLogger(__name__)

CHANGES: Final = get_args(Change)


@attrs.frozen
class World:
    """Every external system that a turn may touch."""

    cluster: Cluster
    metrics: Metrics
    artifacts: Artifacts
    clock: Clock


async def drive(key: Key, world: World) -> dt.datetime | None:
    """Make one turn of the object and return when to look again, or None where only an event changes anything.

    Raises:
        Conflict: the object changed meanwhile; nothing was done, look again.
        Unavailable: the other side did not answer; look again later.
    """
    return await _TURNS[key.kind](key, world)


async def _run(key: Key, world: World) -> dt.datetime | None:
    run = await world.cluster.run(key)
    if run is None:
        return None
    seen = await observe_run(run, world)
    # Judging a long measurement takes a second of arithmetic, in which other keys and probes must not wait.
    decision = await asyncio.to_thread(decide_run, run, seen, world.clock.now())
    status, events = await _stored(run, decision.status, decision.actions, world)
    status, unkept = await _kept(run, status, decision.actions, world)
    if status != run.status:
        run = await world.cluster.save_run(run, status)
        log.info("run", extra={"key": attrs.asdict(key), "phase": status.phase.value, "told": status.message})
    await _apply(run, (*decision.actions, *events, *unkept), world)
    return decision.look_at


async def _feature(key: Key, world: World) -> dt.datetime | None:
    feature = await world.cluster.feature(key)
    if feature is None:
        return None
    seen = await observe_feature(feature, world)
    decision = decide_feature(feature, seen, world.clock.now())
    if decision.status != feature.status:
        feature = await world.cluster.save_feature(feature, decision.status)
    await _apply(feature, decision.actions, world)
    return decision.look_at


async def _target(key: Key, world: World) -> dt.datetime | None:
    target = await world.cluster.target(key)
    if target is None:
        return None
    kept = await world.cluster.forecasts_of(key.namespace, key.name)
    decision = decide_target(target, kept, world.clock.now())
    if decision.status != target.status:
        target = await world.cluster.save_target(target, decision.status)
    await _apply(target, decision.actions, world)
    return decision.look_at


async def _forecast(key: Key, world: World) -> dt.datetime | None:
    kept = await world.cluster.forecast(key)
    if kept is None:
        return None
    seen = await observe_forecast(kept, world)
    decision = decide_forecast(kept, seen, world.clock.now())
    if decision.status != kept.status:
        kept = await world.cluster.save_forecast(kept, decision.status)
    await _apply(kept, decision.actions, world)
    return decision.look_at


_TURNS: Mapping[str, Callable[[Key, World], Awaitable[dt.datetime | None]]] = {
    "PerfRun": _run,
    "PerfFeature": _feature,
    "PerfTarget": _target,
    "PerfForecast": _forecast,
}


async def _stored(
    run: Run, status: RunStatus, actions: tuple[Action, ...], world: World
) -> tuple[RunStatus, tuple[Emit, ...]]:
    """Store bulk evidence and link it; a verdict is not held back by a store that fails, but the failure is told."""
    links: dict[str, ArtifactLink] = {each.name: each for each in status.artifacts}
    events = []
    for action in actions:
        if not isinstance(action, Store):
            continue
        path = f"{artifact_root(run.meta.uid)}/{action.name}{suffix_of(action.media_type)}"
        try:
            link = await world.artifacts.put(path, action.content)
        except OSError as error:
            log.exception("evidence not stored", extra={"path": path})
            events.append(Emit("Warning", "EvidenceNotStored", f"{path} could not be stored: {error}"))
        else:
            links[action.name] = link.replace(name=action.name)
    return status.replace(artifacts=tuple(links.values())), tuple(events)


async def _kept(
    run: Run, status: RunStatus, actions: tuple[Action, ...], world: World
) -> tuple[RunStatus, tuple[Emit, ...]]:
    """Keep forecasts and name them; a verdict is not held back by one that is refused, but that is told."""
    named = {each.name: each for each in status.forecasts}
    events = []
    for action in actions:
        if not isinstance(action, Keep):
            continue
        if refused := await world.cluster.keep(run, action):
            text = f"the forecast of {action.spec.metric} is not kept: {refused}"
            events.append(Emit("Warning", NOT_KEPT, text))
        else:
            due = action.spec.points[-1].at
            named[action.name] = KeptForecast(metric=action.spec.metric, name=action.name, due_at=due)
    return status.replace(forecasts=tuple(named.values())), tuple(events)


async def _apply(about: Ours, actions: tuple[Action, ...], world: World) -> None:
    """Carry out actions in order; each is idempotent, so being killed in between costs nothing.

    One that fails does not hold back the others, for a node that does not answer must not keep another from being
    given back. Only where the run could not be held nothing else is done.
    """
    failed: Unavailable | None = None
    for action in actions:
        try:
            await _carry_out(about, action, world)
        except Unavailable as error:
            if isinstance(action, Hold):
                raise
            log.warning("action failed", extra={"action": type(action).__name__, "error": str(error)})
            failed = failed or error
    if failed is not None:
        raise failed


async def _carry_out(about: Ours, action: Action, world: World) -> None:
    match about, action:
        case Run(), StartPod():
            await world.cluster.start_pod(about, action)
        case Run(), StopPod():
            await world.cluster.stop_pod(about, action.name)
        case Run(), change if isinstance(change, CHANGES):
            await world.cluster.change(about, change)
        case Feature(), CreateRun():
            await world.cluster.create_run(about, action)
        case _, CancelRun():
            await world.cluster.cancel_run(about.meta.namespace, action.name)
        case _, DeleteRun():
            await world.cluster.delete_run(about.meta.namespace, action.name)
        case _, Discard():
            await world.cluster.discard(about.meta.namespace, action.name)
        case _, Emit():
            await world.cluster.emit(about, action)
        case _:
            pass
