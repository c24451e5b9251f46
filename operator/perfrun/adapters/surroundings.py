"""Reads what is around a run that loads or breaks something: who serves, what runs against it, what is left of it."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Mapping

import attrs

from perfrun.api.plan import Stage
from perfrun.api.run import Frozen, StageStatus
from perfrun.capabilities.base import ServedIds
from perfrun.lifecycle.attachments import attached
from perfrun.lifecycle.needs import Needs
from perfrun.lifecycle.values import HandedIn, Missing, Run, RunObservation, WorkloadView
from perfrun.ports import Artifacts, Cluster, shard_path
from perfrun_kernels.contract import ContractError, Result

LOG_MARGIN = dt.timedelta(seconds=1)
"""How long before the start of a load its servers' logs are read from: nodes' clocks differ a little."""


async def disturbed(
    run: Run, wanted: Needs, seen: RunObservation, cluster: Cluster, artifacts: Artifacts
) -> RunObservation:
    """Return what was seen together with what else is wanted."""
    frozen = run.status.frozen
    if frozen is None or wanted == Needs():
        return seen
    if wanted.rights and (lacking := await cluster.denied(run)):
        return attrs.evolve(seen, denied=lacking)
    seen = attrs.evolve(
        seen,
        shards=await _shards(run, wanted.shards, artifacts),
        ids=await _ids(run, wanted.ids, cluster),
        workload=await _workload(run, frozen, cluster) if wanted.workload else None,
    )
    # Agents are read before nodes: a node that is Ready after its agent was seen to have ended is Ready again.
    seen = attrs.evolve(
        seen,
        agents=await cluster.agents_of(run) if wanted.agents else {},
        external=await cluster.external_of(run) if wanted.external else {},
        jobs=await cluster.jobs_of(run) if wanted.jobs else frozenset(),
    )
    if wanted.endpoints:
        nodes, serving = await asyncio.gather(cluster.nodes(), _serving(run, frozen, cluster))
        seen = attrs.evolve(seen, nodes=nodes, serving=serving)
    if wanted.dangers:
        url = frozen.target.prometheus.url if frozen.target.prometheus is not None else ""
        foreign, protected = await asyncio.gather(cluster.foreign_faults(run), cluster.protected(run, url))
        seen = attrs.evolve(seen, foreign_faults=foreign, protected=protected)
    return attrs.evolve(seen, others=await cluster.others(run)) if wanted.others else seen


async def handed_in(artifacts: Artifacts, path: str, name: str, who: str) -> HandedIn | None:
    """Return what is stored under a path as a result, linked by a name; ``who`` handed it in."""
    stored = await artifacts.get(path)
    if stored is None:
        return None
    link, content = stored
    link = link.replace(name=name)
    try:
        result = Result.from_json(content.decode())
        # What cannot be kept is told before anything is made of the rest.
        attached(name, result)
        return HandedIn(link, result)
    except (ContractError, UnicodeDecodeError) as error:
        text = f"{who} handed in something that is no result: {error}"
        return HandedIn(link, Missing("MalformedResult", text))


async def _shards(run: Run, stages: tuple[Stage, ...], artifacts: Artifacts) -> Mapping[str, Mapping[int, HandedIn]]:
    states = {each.id: each for each in run.status.stages}
    return {stage.id: await _of_load(run, stage, states[stage.id], artifacts) for stage in stages}


async def _of_load(run: Run, stage: Stage, state: StageStatus, artifacts: Artifacts) -> Mapping[int, HandedIn]:
    found = await asyncio.gather(
        *(
            handed_in(
                artifacts, shard_path(run.meta.uid, stage.id, state.attempt, shard), f"{stage.id}-{shard}",
                f"generator {shard} of job {state.pod}",
            )
            for shard in range(stage.shards)
        )
    )  # fmt: skip
    return {shard: each for shard, each in enumerate(found) if each is not None}


async def _ids(run: Run, stages: tuple[Stage, ...], cluster: Cluster) -> Mapping[str, ServedIds]:
    states = {each.id: each for each in run.status.stages}
    begun = [(stage, at) for stage in stages if (at := states[str(stage.parameters["after"])].start_at) is not None]
    found = await asyncio.gather(*(cluster.served_ids(run, stage, at - LOG_MARGIN) for stage, at in begun))
    return {stage.id: each for (stage, _), each in zip(begun, found, strict=True)}


async def _serving(run: Run, frozen: Frozen, cluster: Cluster) -> Mapping[str, tuple[str, ...]] | Missing:
    service = frozen.target.service
    if service is None:
        return Missing("NoService", "the target names no Service; set spec.service of the PerfTarget")
    return await cluster.serving(service.namespace or run.meta.namespace, service.name)


async def _workload(run: Run, frozen: Frozen, cluster: Cluster) -> WorkloadView | Missing | None:
    service = frozen.target.service
    if service is None or service.workload is None:
        return None
    return await cluster.workload(service.namespace or run.meta.namespace, service.workload)
