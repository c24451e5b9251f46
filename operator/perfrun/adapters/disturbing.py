"""Every change that a run makes to the world around it, and how each is taken back: all of them idempotent.

What the API server will never take is remembered as something that failed to start, as for benchmark pods.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from perfrun.adapters.api import AlreadyExists, Api, NotFound, Refused
from perfrun.adapters.draining import Draining
from perfrun.adapters.externals import Externals, service_of
from perfrun.adapters.paths import jobs_path, object_path, or_none, pods_path
from perfrun.adapters.reading import owned_by
from perfrun.adapters.refusals import Refusals
from perfrun.adapters.seeing import workload_path
from perfrun.adapters.starting import attempt_of, refused_pod
from perfrun.adapters.victims import victims
from perfrun.api.faults import FINALIZER
from perfrun.lifecycle.values import (
    AgentView,
    Change,
    Cordon,
    Hold,
    Key,
    KillPods,
    PodView,
    Release,
    Run,
    Scale,
    StartAgent,
    StartExternal,
    StartLoad,
    StopAgent,
    StopExternal,
    StopLoad,
    Uncordon,
)
from perfrun.manifests import labels
from perfrun.manifests.agents import AgentOrder, AgentSettings, Measuring, agent_pod
from perfrun.manifests.loads import LoadAttempt, load_job
from perfrun.manifests.pods import PodSettings
from perfrun.ports import Clock, Conflict, Unavailable

log = logging.getLogger(__name__)

Wrote = Callable[[Key, str], None]


@attrs.frozen
class Disturbing:
    """Carries out changes; ``wrote`` hears of every version of a run that is written."""

    api: Api
    pods: PodSettings
    agents: AgentSettings
    clock: Clock
    externals: Externals
    draining: Draining
    refused_pods: Refusals[PodView]
    wrote: Wrote
    refused_agents: Refusals[AgentView] = attrs.field(factory=Refusals)

    async def change(self, run: Run, action: Change) -> None:  # noqa: C901 -- one line for each kind of change
        """Carry out one change; raises Conflict where the run changed, Unavailable where the change was not made."""
        match action:
            case Hold():
                await self._hold(run)
            case Release():
                await self._release(run)
            case StartLoad():
                await self._start_load(run, action)
            case StopLoad():
                await self._stop_load(run, action.name)
            case StartAgent():
                await self._start_agent(run, action)
            case StopAgent():
                await self._stop_agent(run, action.name)
            case Cordon():
                await self.draining.cordon(action.node, run.meta.uid)
            case Uncordon():
                await self.draining.uncordon(action.node, run.meta.uid)
            case KillPods():
                await self._kill(run, action)
            case Scale():
                await self._scale(run, action.replicas)
            case StartExternal():
                await self.externals.start(run, action.fault)
            case StopExternal():
                await self.externals.stop(run, action.fault)

    def forget(self, run_uid: str) -> None:
        """Forget what was refused to a run."""
        self.refused_agents.forget(run_uid)
        self.externals.refusals.forget(run_uid)

    async def _hold(self, run: Run) -> None:
        if FINALIZER not in run.meta.finalizers:
            await self._finalizers(run, [*run.meta.finalizers, FINALIZER], "true")

    async def _release(self, run: Run) -> None:
        if FINALIZER in run.meta.finalizers:
            await self._finalizers(run, [each for each in run.meta.finalizers if each != FINALIZER], None)

    async def _finalizers(self, run: Run, finalizers: list[str], holds: str | None) -> None:
        meta = run.meta
        patch = {
            "metadata": {
                "resourceVersion": meta.resource_version, "finalizers": finalizers, "labels": {labels.HOLDS: holds},
            }
        }  # fmt: skip
        try:
            stored = await self.api.merge(object_path("PerfRun", meta.namespace, meta.name), patch)
        except NotFound as gone:
            raise Conflict(str(gone)) from gone
        except Refused as refusal:
            msg = f"the finalizer of PerfRun {meta.namespace}/{meta.name} was refused: {refusal}"
            raise Unavailable(msg) from refusal
        self.wrote(Key("PerfRun", meta.namespace, meta.name), stored["metadata"]["resourceVersion"])

    async def _start_load(self, run: Run, action: StartLoad) -> None:
        attempt = attempt_of(run, action.name, action.stage, action.attempt)
        load = LoadAttempt(attempt, action.start_at, action.avoid, action.rather_not)
        namespace = run.meta.namespace
        try:
            await self.api.create(jobs_path(namespace), load_job(load, self.pods))
        except AlreadyExists:
            there = await or_none(self.api.get(jobs_path(namespace, action.name)))
            if there is None or not owned_by(there, run.meta.uid):
                msg = f"Job {namespace}/{action.name} belongs to something else that is not gone yet"
                raise Unavailable(msg) from None
        except (Refused, NotFound) as refusal:
            view = refused_pod(action.name, self.clock.now(), str(refusal))
            view = attrs.evolve(view, stage=action.stage.id, attempt=action.attempt, index=0)
            self.refused_pods.note(run.meta.uid, action.name, view)
            msg = f"Job {namespace}/{action.name} was refused: {refusal}"
            raise Unavailable(msg) from refusal

    async def _stop_load(self, run: Run, name: str) -> None:
        self.refused_pods.drop(run.meta.uid, name)
        path = jobs_path(run.meta.namespace, name)
        there = await or_none(self.api.get(path))
        if there is not None and owned_by(there, run.meta.uid):
            await self._delete(path, there["metadata"]["uid"])

    async def _start_agent(self, run: Run, action: StartAgent) -> None:
        meta, namespace = run.meta, self.agents.namespace
        order = AgentOrder(
            name=action.name, fault=action.fault, run=meta.name, run_uid=meta.uid, run_namespace=meta.namespace,
            node=action.node, kind=action.kind, starts_at=action.starts_at, ends_at=action.ends_at,
            measuring=await self._measuring(run, action) if action.kind == "spike" else None,
        )  # fmt: skip
        try:
            await self.api.create(pods_path(namespace), agent_pod(order, self.agents))
        except AlreadyExists:
            return
        except (Refused, NotFound) as refusal:
            pod = refused_pod(action.name, self.clock.now(), str(refusal))
            view = AgentView(attrs.evolve(pod, node=action.node), action.fault, action.node, action.kind == "undo")
            self.refused_agents.note(meta.uid, action.name, view)
            msg = f"pod {namespace}/{action.name} was refused: {refusal}"
            raise Unavailable(msg) from refusal

    async def _measuring(self, run: Run, action: StartAgent) -> Measuring:
        """Return what an agent that measures is told: its stage's arguments, for the pods that serve on its node."""
        stages = run.status.frozen.plan.stages if run.status.frozen else ()
        planned = next(each.parameters["spike"] for each in stages if each.id == action.fault)
        found = await victims(self.api, self.externals.seeing, run, action.node)
        probe = planned["probe"] | {"port": found.port}
        arguments = planned | {"probe": probe, "pods": list(found.pods)}
        return Measuring(arguments, action.attempt, self.pods.results_url, self.pods.ca_bundle)

    async def _stop_agent(self, run: Run, name: str) -> None:
        self.refused_agents.drop(run.meta.uid, name)
        await or_none(self.api.delete(pods_path(self.agents.namespace, name)))

    async def _kill(self, run: Run, action: KillPods) -> None:
        namespace = service_of(run)[0]
        for name in action.pods:
            there = await or_none(self.api.get(pods_path(namespace, name)))
            # What a StatefulSet makes anew has the same name, and creation is known to the second only.
            if there is not None and _created(there) < action.before.replace(microsecond=0):
                await self._delete(pods_path(namespace, name), there["metadata"]["uid"], grace=0)

    async def _delete(self, path: str, uid: str, grace: int | None = None) -> None:
        try:
            await or_none(self.api.delete(path, uid, grace))
        except Conflict:
            log.info("not deleted: another of its name is there now", extra={"path": path})
        except Refused as refusal:
            msg = f"{path} may not be deleted: {refusal}"
            raise Unavailable(msg) from refusal

    async def _scale(self, run: Run, replicas: int) -> None:
        service = run.status.frozen.target.service if run.status.frozen else None
        if service is None or service.workload is None:
            msg = f"PerfRun {run.meta.namespace}/{run.meta.name} has no workload in its frozen target"
            raise ValueError(msg)
        path = workload_path(service.namespace or run.meta.namespace, service.workload)
        try:
            await or_none(self.api.merge(f"{path}/scale", {"spec": {"replicas": replicas}}))
        except Refused as refusal:
            msg = f"{path} may not be scaled: {refusal}"
            raise Unavailable(msg) from refusal


def _created(pod: Mapping[str, Any]) -> dt.datetime:
    return dt.datetime.fromisoformat(pod["metadata"]["creationTimestamp"])
