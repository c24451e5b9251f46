"""The cluster behind ``ports.Cluster``: every read and write that perfrun makes of Kubernetes, and no decision.

Writes are idempotent because names are derived, and guarded because status bodies carry the version they were
decided from. A pod that the API server will never take (over quota, against a policy, malformed) is remembered as
a pod that failed to start, so that the run ends with the server's own words instead of waiting in vain.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Awaitable, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import quote

import attrs

from perfrun.adapters import reading, writing
from perfrun.adapters.api import METADATA_ONLY, AlreadyExists, Api, NotFound, Refused
from perfrun.adapters.disturbing import Disturbing, Wrote
from perfrun.adapters.draining import Draining
from perfrun.adapters.events import Recorder
from perfrun.adapters.externals import Externals
from perfrun.adapters.forecasts import Forecasts
from perfrun.adapters.paths import object_path, or_none, pods_path
from perfrun.adapters.podview import image_digests, pod_view
from perfrun.adapters.protection import Protection
from perfrun.adapters.rights import Rights
from perfrun.adapters.seeing import Seeing
from perfrun.adapters.servedlogs import ServedLogs
from perfrun.adapters.starting import Starting
from perfrun.api import API_VERSION
from perfrun.api.feature import ConfigMapKeyRef, FeatureStatus
from perfrun.api.kept import ForecastStatus
from perfrun.api.plan import Stage
from perfrun.api.run import RunStatus
from perfrun.api.service import Workload
from perfrun.api.target import TargetStatus
from perfrun.capabilities.base import ServedIds
from perfrun.lifecycle.values import (
    AgentView,
    Change,
    CreateRun,
    Emit,
    Feature,
    Keep,
    Kept,
    Key,
    Meta,
    Missing,
    NodeView,
    OtherRun,
    Ours,
    PodView,
    Run,
    StartPod,
    Target,
    WorkloadView,
)
from perfrun.manifests import labels
from perfrun.manifests.agents import AgentSettings
from perfrun.manifests.external import ExternalState
from perfrun.manifests.names import label_value
from perfrun.manifests.pods import PodSettings
from perfrun.manifests.runs import perf_run
from perfrun.ports import Clock, Conflict, Unavailable

log = logging.getLogger(__name__)

T = TypeVar("T")

_AGENTS: Final = AgentSettings()


class KubernetesCluster:
    """Implements ports.Cluster.

    ``wrote`` hears the key and new resource version of every object of ours that is written or created. ``home`` are
    the namespace and the pod's name of this operator, where it runs in the cluster. ``namespaces`` are those that it
    serves; none means all. Without ``chaos`` every fault is denied.
    """

    def __init__(
        self,
        api: Api,
        pods: PodSettings,
        clock: Clock,
        events: Recorder,
        wrote: Wrote = lambda _key, _version: None,
        *,
        agents: AgentSettings = _AGENTS,
        home: tuple[str, str] = ("", ""),
        namespaces: tuple[str, ...] = (),
        chaos: bool = True,
    ) -> None:
        self._api = api
        self._clock = clock
        self._events = events
        self._wrote = wrote
        self._seeing = Seeing(api, agents.namespace, namespaces)
        self._protection = Protection(api, self._seeing, *home)
        self._rights = Rights(api, agents.namespace, chaos)
        self._logs = ServedLogs(api)
        self._starting = Starting(api, pods, clock)
        self._externals = Externals(api, self._seeing)
        self._forecasts = Forecasts(api, wrote)
        self._disturbing = Disturbing(
            api, pods, agents, clock, self._externals, Draining(api), self._starting.refused, wrote
        )

    async def run(self, key: Key) -> Run | None:
        """Read a PerfRun; raises MalformedError where it cannot be understood."""
        stored = await self._read(key)
        return None if stored is None else reading.run_of(stored)

    async def feature(self, key: Key) -> Feature | None:
        """Read a PerfFeature; raises MalformedError where it cannot be understood."""
        stored = await self._read(key)
        return None if stored is None else reading.feature_of(stored)

    async def target(self, key: Key) -> Target | None:
        """Read a PerfTarget; raises MalformedError where it cannot be understood."""
        stored = await self._read(key)
        return None if stored is None else reading.target_of(stored)

    async def forecast(self, key: Key) -> Kept | None:
        """Read a PerfForecast; raises MalformedError where it cannot be understood."""
        stored = await self._read(key)
        return None if stored is None else reading.forecast_of(stored)

    async def config_map_key(self, namespace: str, ref: ConfigMapKeyRef) -> str | None:
        """Read one key of a ConfigMap; None where either is missing."""
        stored = await or_none(self._api.get(f"/api/v1/namespaces/{quote(namespace)}/configmaps/{quote(ref.name)}"))
        return None if stored is None else (stored.get("data") or {}).get(ref.key)

    async def runs_of(self, feature: Feature) -> tuple[Run, ...]:
        """List the runs that the feature owns; one that cannot be understood is left out, with a warning."""
        selector = f"{labels.FEATURE}={label_value(feature.meta.name)}"
        found = await self._list(object_path("PerfRun", feature.meta.namespace), selector)
        return tuple(run for each in found if (run := _understood(each, feature.meta.uid)) is not None)

    async def forecasts_of(self, namespace: str, target: str) -> tuple[Kept, ...]:
        """List the forecasts that are kept for a target."""
        return await _allowed(self._forecasts.of(namespace, target))

    async def pods_of(self, run: Run) -> Mapping[str, PodView]:
        """List the run's pods by name, those that the API server refused included."""
        found = await self._list(pods_path(run.meta.namespace), f"{labels.RUN_UID}={run.meta.uid}")
        return self._starting.refused.of(run.meta.uid) | {view.name: view for view in map(pod_view, found)}

    async def images(self, namespace: str, selector: Mapping[str, str]) -> Mapping[str, str]:
        """Return the image digests of the pods with these labels, by ``pod/container``."""
        wanted = ",".join(f"{name}={value}" for name, value in sorted(selector.items()))
        return image_digests(await self._list(pods_path(namespace), wanted))

    async def save_run(self, run: Run, status: RunStatus) -> Run:
        """Replace the run's status; raises Conflict where the run changed or went."""
        if status.phase.finished:
            self._starting.refused.forget(run.meta.uid)
            self._disturbing.forget(run.meta.uid)
        return attrs.evolve(run, status=status, meta=await self._save(run, status.to_wire()))

    async def save_feature(self, feature: Feature, status: FeatureStatus) -> Feature:
        """Replace the feature's status; raises Conflict where the feature changed or went."""
        return attrs.evolve(feature, status=status, meta=await self._save(feature, status.to_wire()))

    async def save_target(self, target: Target, status: TargetStatus) -> Target:
        """Replace the target's status; raises Conflict where the target changed or went."""
        return attrs.evolve(target, status=status, meta=await self._save(target, status.to_wire()))

    async def save_forecast(self, kept: Kept, status: ForecastStatus) -> Kept:
        """Replace the forecast's status; raises Conflict where the forecast changed or went."""
        return attrs.evolve(kept, status=status, meta=await self._save(kept, status.to_wire()))

    async def start_pod(self, run: Run, action: StartPod) -> None:
        """Create the pod, unless it is there; raises Unavailable where it was refused, and ``pods_of`` tells why."""
        await self._starting.start(run, action)

    async def stop_pod(self, run: Run, name: str) -> None:
        """Delete the pod, if it is there."""
        await self._starting.stop(run, name)

    async def nodes(self) -> Mapping[str, NodeView]:
        """Return all nodes by name."""
        return await _allowed(self._seeing.nodes())

    async def serving(self, namespace: str, service: str) -> Mapping[str, tuple[str, ...]] | Missing:
        """Return the names of the pods that are ready behind a Service by node, or why that is not known."""
        return await _allowed(self._seeing.serving(namespace, service))

    async def workload(self, namespace: str, workload: Workload) -> WorkloadView | Missing:
        """Return a workload's replicas, or why they are not known."""
        return await _allowed(self._seeing.workload(namespace, workload))

    async def jobs_of(self, run: Run) -> frozenset[str]:
        """Return the names of the run's Jobs."""
        return await _allowed(self._seeing.jobs_of(run))

    async def agents_of(self, run: Run) -> Mapping[str, AgentView]:
        """Return the run's fault agents by pod name, those that the API server refused included."""
        return self._disturbing.refused_agents.of(run.meta.uid) | await _allowed(self._seeing.agents_of(run))

    async def foreign_faults(self, run: Run) -> tuple[str, ...]:
        """Return the other runs (``namespace/name``) that have faults which are not undone."""
        return await _allowed(self._seeing.foreign_faults(run))

    async def external_of(self, run: Run) -> Mapping[str, ExternalState]:
        """Return the state of every fault of the run that another tool carries out, by fault id."""
        return await _allowed(self._externals.states(run))

    async def protected(self, run: Run, prometheus: str) -> Mapping[str, str]:  # noqa: ARG002 -- the port's signature
        """Return the nodes of the operator and of the Prometheus at this URL, each with what it carries."""
        return await _allowed(self._protection.nodes(prometheus))

    async def others(self, run: Run) -> tuple[OtherRun, ...]:
        """Return the other unfinished runs against the run's target."""
        return await _allowed(self._seeing.others(run))

    async def denied(self, run: Run) -> str:
        """Return a sentence about what the run's plan needs and the operator may not do, or nothing."""
        return await _allowed(self._rights.denied(run))

    async def served_ids(self, run: Run, stage: Stage, since: dt.datetime) -> ServedIds:
        """Return the request ids of this stage's load that the pods behind the Service have logged since a moment."""
        return await _allowed(self._logs.ids(run, stage, since))

    async def change(self, run: Run, action: Change) -> None:
        """Carry out one change; raises Conflict where the run changed, Unavailable where the change was not made."""
        await _allowed(self._disturbing.change(run, action))

    async def create_run(self, feature: Feature, action: CreateRun) -> None:
        """Create the run, unless one of this name is there."""
        owner = (feature.meta.name, feature.meta.uid)
        body = perf_run(action.name, feature.meta.namespace, action.spec, action.cause, owner)
        try:
            stored = await self._api.create(object_path("PerfRun", feature.meta.namespace), body)
        except AlreadyExists:
            return
        except Refused as refusal:
            msg = f"PerfRun {feature.meta.namespace}/{action.name} was refused: {refusal}"
            raise Unavailable(msg) from refusal
        key = Key("PerfRun", feature.meta.namespace, action.name)
        self._wrote(key, stored["metadata"]["resourceVersion"])

    async def cancel_run(self, namespace: str, name: str) -> None:
        """Set ``spec.cancel`` on the run, if it is there."""
        await or_none(self._api.merge(object_path("PerfRun", namespace, name), {"spec": {"cancel": True}}))

    async def delete_run(self, namespace: str, name: str) -> None:
        """Delete the run, if it is there."""
        await or_none(self._api.delete(object_path("PerfRun", namespace, name)))

    async def keep(self, run: Run, action: Keep) -> str:
        """Create the forecast, unless one of this name is there; return why it cannot be kept, or an empty text."""
        return await self._forecasts.keep(run, action)

    async def discard(self, namespace: str, name: str) -> None:
        """Delete the forecast, if it is there."""
        await or_none(self._api.delete(object_path("PerfForecast", namespace, name)))

    async def emit(self, about: Ours, event: Emit) -> None:
        """Have an Event recorded; it is on its way when this returns, and the work goes on."""
        self._events.tell(about, event)

    async def run_uids(self, namespaces: tuple[str, ...]) -> set[str]:
        """Return the uid of every run; no namespaces means all of them."""
        paths = [object_path("PerfRun", each) for each in namespaces] or [f"/apis/{API_VERSION}/perfruns"]
        return {each["metadata"]["uid"] for path in paths async for each in self._api.pages(path, "", METADATA_ONLY)}

    async def declare_malformed(self, error: reading.MalformedError) -> None:
        """Say on the object itself why it cannot be understood; its own status may be what is malformed."""
        meta = reading.meta_of(error.stored["metadata"])
        when = self._clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        conditions = [
            {
                "type": kind, "status": status, "reason": "Malformed", "message": str(error)[:1024],
                "observedGeneration": meta.generation, "lastTransitionTime": when,
            }
            for kind, status in (("Ready", "False"), ("Stalled", "True"))
        ]  # fmt: skip
        told = (error.stored.get("status") or {}).get("message")
        if told == str(error):
            return
        body = dict(error.stored)
        body["status"] = {"observedGeneration": meta.generation, "conditions": conditions, "message": str(error)}
        path = object_path(error.key.kind, meta.namespace, meta.name)
        try:
            await self._api.replace(f"{path}/status", body)
        except (NotFound, Conflict):
            return

    async def _read(self, key: Key) -> dict[str, Any] | None:
        found: dict[str, Any] | None = await or_none(self._api.get(object_path(key.kind, key.namespace, key.name)))
        return found

    async def _list(self, path: str, selector: str = "") -> list[dict[str, Any]]:
        return [each async for each in self._api.pages(path, selector)]

    async def _save(self, about: Ours, status: Mapping[str, Any]) -> Meta:
        meta = about.meta
        path = f"{object_path(writing.kind_of(about), meta.namespace, meta.name)}/status"
        try:
            stored = await self._api.replace(path, writing.status_body(about, status))
        except NotFound as gone:
            raise Conflict(str(gone)) from gone
        except Refused as refusal:
            msg = f"the status of {meta.namespace}/{meta.name} was refused: {refusal}"
            raise Unavailable(msg) from refusal
        written = reading.meta_of(stored["metadata"])
        # A status that is what it was is not written, and then no watch shows it.
        if written.resource_version != meta.resource_version:
            self._wrote(Key(writing.kind_of(about), meta.namespace, meta.name), written.resource_version)
        return written


def _understood(stored: Mapping[str, Any], owner: str) -> Run | None:
    if not reading.owned_by(stored, owner):
        return None
    try:
        return reading.run_of(stored)
    except reading.MalformedError as error:
        log.warning("run left out", extra={"error": str(error)})
        return None


async def _allowed(answer: Awaitable[T]) -> T:
    """Return the answer; where the API server refuses it, nothing is known, which is not the same as nothing."""
    try:
        return await answer
    except Refused as refusal:
        msg = f"the API server refuses what is needed: {refusal}"
        raise Unavailable(msg) from refusal
