"""Gathers, through the ports, everything that one decision needs into one value: all reading happens here."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from perfrun.adapters.surroundings import disturbed, handed_in
from perfrun.api.durations import seconds
from perfrun.api.faults import FINALIZER
from perfrun.api.feature import FeatureSpec
from perfrun.api.plan import Stage
from perfrun.api.run import Frozen, RunSpec, StageStatus, TimeWindow
from perfrun.api.target import Prometheus, TargetSpec
from perfrun.capabilities.base import QueryAnswer
from perfrun.lifecycle.decide_forecast import due
from perfrun.lifecycle.keeping import foretells
from perfrun.lifecycle.needs import needs
from perfrun.lifecycle.values import (
    Feature,
    FeatureObservation,
    ForecastObservation,
    HandedIn,
    Kept,
    Key,
    Missing,
    Run,
    RunObservation,
)
from perfrun.measuring.promql import with_window
from perfrun.ports import Cluster, checkpoint_path, result_path

if TYPE_CHECKING:
    from perfrun.adapters.drive import World

SUSTAINED_STEPS = 4
"""Steps that ``$window`` spans at each point of a sustained claim."""


async def observe_run(run: Run, world: World) -> RunObservation:
    """Return the world as the run sees it now."""
    if run.status.phase.finished or (run.meta.deleting and FINALIZER not in run.meta.finalizers):
        return RunObservation()
    frozen = run.status.frozen
    if frozen is None:
        target = await _target(run.meta.namespace, run.spec.target_ref, world.cluster)
        selector = target.selector if isinstance(target, TargetSpec) else {}
        return RunObservation(
            feature=await _text_of_run(run, world.cluster),
            target=target,
            images=await _images(run, selector, world.cluster),
        )
    # Pods are read before results: a pod that was seen to end has handed in what it ever will.
    pods = await world.cluster.pods_of(run)
    results, checkpoints, answers, images = await asyncio.gather(
        _results(run, frozen, world), _checkpoints(run, frozen, world), _answers(run, frozen, world),
        _images(run, frozen.target.selector, world.cluster),
    )  # fmt: skip
    kept = await _kept(run, frozen, results, world.cluster)
    seen = RunObservation(
        pods=pods, results=results, checkpoints=checkpoints, answers=answers, images=images, kept=kept
    )  # fmt: skip
    return await disturbed(run, needs(run), seen, world.cluster, world.artifacts)


async def observe_feature(feature: Feature, world: World) -> FeatureObservation:
    """Return the world as the feature sees it now."""
    text, target, runs = await asyncio.gather(
        _text(feature.meta.namespace, feature.spec, world.cluster),
        _target(feature.meta.namespace, feature.spec.target_ref, world.cluster),
        world.cluster.runs_of(feature),
    )
    return FeatureObservation(feature=text, target=target, runs=runs)


async def observe_forecast(kept: Kept, world: World) -> ForecastObservation | None:
    """Return what the forecast is scored with, or None where it is not due, or over."""
    spec = kept.spec
    if kept.status.state != "Waiting" or world.clock.now() < due(spec):
        return None
    target = await _target(kept.meta.namespace, spec.target_ref, world.cluster)
    if isinstance(target, Missing) or target.prometheus is None:
        return ForecastObservation(target)
    window = TimeWindow(start=spec.points[0].at, end=spec.points[-1].at)
    server = target.prometheus.replace(step=spec.step)
    return ForecastObservation(target, await world.metrics.range(server, spec.query, window))


async def _kept(run: Run, frozen: Frozen, results: Mapping[str, HandedIn], cluster: Cluster) -> tuple[Kept, ...]:
    foretold = any(foretells(stage) and stage.id in results for stage in frozen.plan.stages)
    return await cluster.forecasts_of(run.meta.namespace, run.spec.target_ref) if foretold else ()


async def _text_of_run(run: Run, cluster: Cluster) -> str | Missing:
    if run.spec.feature is not None or run.spec.config_map_key_ref is not None or run.spec.feature_ref is None:
        return await _text(run.meta.namespace, run.spec, cluster)
    feature = await cluster.feature(Key("PerfFeature", run.meta.namespace, run.spec.feature_ref))
    if feature is None:
        return Missing("FeatureNotFound", f"PerfFeature {run.spec.feature_ref} was not found in {run.meta.namespace}")
    return await _text(run.meta.namespace, feature.spec, cluster)


async def _text(namespace: str, spec: FeatureSpec | RunSpec, cluster: Cluster) -> str | Missing:
    ref = spec.config_map_key_ref
    if ref is None:
        return spec.feature or Missing(
            "InvalidFeature", "1:1: the feature is empty; write at least one scenario [empty]"
        )
    found = await cluster.config_map_key(namespace, ref)
    if found is None:
        text = f"ConfigMap {ref.name} in {namespace} has no key {ref.key}, or is not there; create it"
        return Missing("FeatureNotFound", text)
    return found


async def _target(namespace: str, name: str, cluster: Cluster) -> TargetSpec | Missing:
    target = await cluster.target(Key("PerfTarget", namespace, name))
    if target is None:
        text = f"PerfTarget {name} was not found in namespace {namespace}; create it, or correct spec.targetRef"
        return Missing("TargetNotFound", text)
    return target.spec


async def _images(run: Run, selector: Mapping[str, str], cluster: Cluster) -> Mapping[str, str]:
    return await cluster.images(run.meta.namespace, selector) if selector else {}


async def _results(run: Run, frozen: Frozen, world: World) -> Mapping[str, HandedIn]:
    open_scenario = len(run.status.scenarios)
    mine = [stage for stage in frozen.plan.stages if stage.scenario == open_scenario]
    wanted = [stage for stage in mine if stage.kind == "pod" or stage.parameters.get("kind") == "spike"]
    states = {each.id: each for each in run.status.stages}
    found = await asyncio.gather(*(_result(run, stage, states[stage.id], world) for stage in wanted))
    return {stage.id: each for stage, each in zip(wanted, found, strict=True) if each is not None}


async def _result(run: Run, stage: Stage, state: StageStatus, world: World) -> HandedIn | None:
    if state.attempt == 0:
        return None
    path = result_path(run.meta.uid, stage.id, state.attempt)
    who = f"pod {state.pod}" if stage.kind == "pod" else f"the agent of {stage.id}"
    return await handed_in(world.artifacts, path, stage.id, who)


async def _checkpoints(run: Run, frozen: Frozen, world: World) -> Mapping[str, Mapping[int, HandedIn]]:
    """Return what attempts at the open scenario's stages that resume had handed in while they went on."""
    states = {each.id: each for each in run.status.stages}
    mine = [each for each in frozen.plan.stages if each.resumes and each.scenario == len(run.status.scenarios)]
    found: dict[str, Mapping[int, HandedIn]] = {}
    for stage in mine:
        attempts = range(1, states[stage.id].attempt + 1)
        read = await asyncio.gather(*(_checkpoint(run, stage, each, world) for each in attempts))
        found[stage.id] = {number: each for number, each in zip(attempts, read, strict=True) if each is not None}
    return found


async def _checkpoint(run: Run, stage: Stage, attempt: int, world: World) -> HandedIn | None:
    path = checkpoint_path(run.meta.uid, stage.id, attempt)
    return await handed_in(world.artifacts, path, f"{stage.id}.checkpoint-{attempt}", f"attempt {attempt}")


async def _answers(run: Run, frozen: Frozen, world: World) -> Mapping[str, QueryAnswer]:
    states = {each.id: each for each in run.status.stages}
    asked = [
        (stage, states[stage.id])
        for stage in frozen.plan.stages
        if stage.kind == "query" and states[stage.id].state == "Running"
    ]
    if not asked or frozen.target.prometheus is None:
        return {}
    server = frozen.target.prometheus
    answers = await asyncio.gather(*(_answer(stage, state, server, world) for stage, state in asked))
    return {stage.id: answer for (stage, _), answer in zip(asked, answers, strict=True)}


async def _answer(stage: Stage, state: StageStatus, server: Prometheus, world: World) -> QueryAnswer:
    end = state.finished_at or world.clock.now()
    window = TimeWindow(start=state.started_at or end, end=end)
    step, template = seconds(server.step), str(stage.parameters["query"])
    if stage.parameters.get("sustained"):
        # Each point looks back a few steps, as rates need; over the whole window it would average breaches away.
        return await world.metrics.range(server, with_window(template, SUSTAINED_STEPS * step, step), window)
    query = with_window(template, (window.end - window.start).total_seconds(), step)
    return await world.metrics.instant(server, query, window)
