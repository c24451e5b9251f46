"""The cluster behind ``ports.Cluster``: every read and write that perfrun makes of Kubernetes, and no decision.

Writes are idempotent because names are derived, and guarded because status bodies carry the version they were
decided from. A pod that the API server will never take (over quota, against a policy, malformed) is remembered as
a pod that failed to start, so that the run ends with the server's own words instead of waiting in vain.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import quote

import attrs

from perfrun.adapters import reading, writing
from perfrun.adapters.api import METADATA_ONLY, AlreadyExists, Api, NotFound, Refused
from perfrun.adapters.events import Recorder
from perfrun.adapters.podview import image_digests, pod_view
from perfrun.api import API_VERSION
from perfrun.api.feature import ConfigMapKeyRef, FeatureStatus
from perfrun.api.run import RunStatus
from perfrun.api.target import TargetStatus
from perfrun.lifecycle.values import CreateRun, Emit, Feature, Key, Kind, Meta, PodView, Run, StartPod, Target
from perfrun.manifests import labels
from perfrun.manifests.names import label_value
from perfrun.manifests.pods import Attempt, PodSettings, benchmark_pod
from perfrun.manifests.runs import perf_run
from perfrun.ports import Clock, Conflict, Unavailable

log = logging.getLogger(__name__)

REFUSED: Final = "Refused"
"""Waiting reason of a pod that the API server did not take."""

Wrote = Callable[[Key, str], None]


def object_path(kind: Kind, namespace: str, name: str = "") -> str:
    """Return the path of an object of ours, or of all of its kind in a namespace."""
    path = f"/apis/{API_VERSION}/namespaces/{quote(namespace)}/{reading.PLURALS[kind]}"
    return f"{path}/{quote(name)}" if name else path


def pods_path(namespace: str, name: str = "") -> str:
    """Return the path of a pod, or of all pods in a namespace."""
    path = f"/api/v1/namespaces/{quote(namespace)}/pods"
    return f"{path}/{quote(name)}" if name else path


class KubernetesCluster:
    """Implements ports.Cluster.

    ``wrote`` hears the key and new resource version of every object of ours that is written or created.
    """

    def __init__(
        self,
        api: Api,
        pods: PodSettings,
        clock: Clock,
        events: Recorder,
        wrote: Wrote = lambda _key, _version: None,
    ) -> None:
        self._api = api
        self._pods = pods
        self._clock = clock
        self._events = events
        self._wrote = wrote
        self._refusals: dict[tuple[str, str], PodView] = {}

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

    async def config_map_key(self, namespace: str, ref: ConfigMapKeyRef) -> str | None:
        """Read one key of a ConfigMap; None where either is missing."""
        stored = await _or_none(self._api.get(f"/api/v1/namespaces/{quote(namespace)}/configmaps/{quote(ref.name)}"))
        return None if stored is None else (stored.get("data") or {}).get(ref.key)

    async def runs_of(self, feature: Feature) -> tuple[Run, ...]:
        """List the runs that the feature owns; one that cannot be understood is left out, with a warning."""
        selector = f"{labels.FEATURE}={label_value(feature.meta.name)}"
        found = await self._list(object_path("PerfRun", feature.meta.namespace), selector)
        return tuple(run for each in found if (run := _understood(each, feature.meta.uid)) is not None)

    async def pods_of(self, run: Run) -> Mapping[str, PodView]:
        """List the run's pods by name, those that the API server refused included."""
        found = await self._list(pods_path(run.meta.namespace), f"{labels.RUN_UID}={run.meta.uid}")
        views = {view.name: view for view in map(pod_view, found)}
        refused = {name: view for (uid, name), view in self._refusals.items() if uid == run.meta.uid}
        return refused | views

    async def images(self, namespace: str, selector: Mapping[str, str]) -> Mapping[str, str]:
        """Return the image digests of the pods with these labels, by ``pod/container``."""
        wanted = ",".join(f"{name}={value}" for name, value in sorted(selector.items()))
        return image_digests(await self._list(pods_path(namespace), wanted))

    async def save_run(self, run: Run, status: RunStatus) -> Run:
        """Replace the run's status; raises Conflict where the run changed or went."""
        if status.phase.finished:
            self._forget(run.meta.uid)
        return attrs.evolve(run, status=status, meta=await self._save(run, status.to_wire()))

    async def save_feature(self, feature: Feature, status: FeatureStatus) -> Feature:
        """Replace the feature's status; raises Conflict where the feature changed or went."""
        return attrs.evolve(feature, status=status, meta=await self._save(feature, status.to_wire()))

    async def save_target(self, target: Target, status: TargetStatus) -> Target:
        """Replace the target's status; raises Conflict where the target changed or went."""
        return attrs.evolve(target, status=status, meta=await self._save(target, status.to_wire()))

    async def start_pod(self, run: Run, action: StartPod) -> None:
        """Create the pod, unless it is there.

        Raises:
            Unavailable: an earlier run's pod still holds the name, or the pod was refused; ``pods_of`` then tells why.
            ValueError: the run has no frozen plan.
        """
        if run.status.frozen is None:
            msg = f"PerfRun {run.meta.name} has no frozen plan; a pod can only be started after it"
            raise ValueError(msg)
        attempt = Attempt(
            pod=action.name, namespace=run.meta.namespace, run=run.meta.name, run_uid=run.meta.uid,
            feature=run.spec.feature_ref or "", stage=action.stage, number=action.attempt,
            target=run.status.frozen.target,
        )  # fmt: skip
        try:
            await self._api.create(pods_path(run.meta.namespace), benchmark_pod(attempt, self._pods))
        except AlreadyExists:
            there = await _or_none(self._api.get(pods_path(run.meta.namespace, action.name)))
            if there is None or not reading.owned_by(there, run.meta.uid):
                msg = f"pod {run.meta.namespace}/{action.name} belongs to something else that is not gone yet"
                raise Unavailable(msg) from None
        except (Refused, NotFound) as refusal:
            now = self._clock.now()
            self._refusals[run.meta.uid, action.name] = PodView(
                name=action.name, uid="", phase="Pending", created=now, waiting=REFUSED,
                message=f"the API server refuses it: {refusal}",
            )  # fmt: skip
            msg = f"pod {run.meta.namespace}/{action.name} was refused: {refusal}"
            raise Unavailable(msg) from refusal

    async def stop_pod(self, run: Run, name: str) -> None:
        """Delete the pod, if it is there."""
        self._refusals.pop((run.meta.uid, name), None)
        await _or_none(self._api.delete(pods_path(run.meta.namespace, name)))

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
        await _or_none(self._api.merge(object_path("PerfRun", namespace, name), {"spec": {"cancel": True}}))

    async def delete_run(self, namespace: str, name: str) -> None:
        """Delete the run, if it is there."""
        await _or_none(self._api.delete(object_path("PerfRun", namespace, name)))

    async def emit(self, about: Run | Feature | Target, event: Emit) -> None:
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

    def _forget(self, uid: str) -> None:
        for name in [each for each in self._refusals if each[0] == uid]:
            del self._refusals[name]

    async def _read(self, key: Key) -> dict[str, Any] | None:
        found: dict[str, Any] | None = await _or_none(self._api.get(object_path(key.kind, key.namespace, key.name)))
        return found

    async def _list(self, path: str, selector: str = "") -> list[dict[str, Any]]:
        return [each async for each in self._api.pages(path, selector)]

    async def _save(self, about: Run | Feature | Target, status: Mapping[str, Any]) -> Meta:
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


async def _or_none(answer: Awaitable[Any]) -> Any:
    try:
        return await answer
    except NotFound:
        return None
