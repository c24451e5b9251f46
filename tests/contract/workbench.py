"""The operator's own adapters on a real API server, and objects to try them on."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Mapping
from typing import Any

import attrs
import kopf

from perfrun.adapters.api import Api, Load
from perfrun.adapters.artifacts import FsspecArtifacts
from perfrun.adapters.events import Recorder
from perfrun.adapters.kubernetes import KubernetesCluster
from perfrun.adapters.paths import object_path
from perfrun.adapters.reading import feature_of, run_of
from perfrun.api import API_VERSION
from perfrun.api.faults import FaultStatus
from perfrun.api.plan import Plan, PlannedScenario, PlannedStep, Stage
from perfrun.api.run import Frozen, Phase, RunStatus, StageStatus
from perfrun.api.target import TargetSpec
from perfrun.controller import handlers, session
from perfrun.controller.hub import Hub
from perfrun.controller.watches import Watches
from perfrun.lifecycle.values import Feature, Key, Run, StartPod
from perfrun.manifests.names import pod_name
from perfrun.manifests.pods import PodSettings

STAGE = Stage(id="s1-sampling", scenario=0, kind="pod", program="sampling", seconds=1, timeout=60, attempts=2)
PODS = PodSettings(image="perfrun.dev/none:1", command=("none",), results_url="http://127.0.0.1:1")


@attrs.frozen
class Bench:
    """The adapters, connected, and a namespace to work in."""

    api: Api
    cluster: KubernetesCluster
    events: Recorder
    artifacts: FsspecArtifacts
    namespace: str

    async def feature(self, name: str = "feature", **metadata: Any) -> Feature:
        """Create a PerfFeature."""
        spec = {"feature": "Feature: x", "targetRef": "target"}
        return feature_of(await self._create("PerfFeature", name, spec, metadata))

    async def run(
        self,
        name: str = "run",
        target: TargetSpec | None = None,
        stages: tuple[Stage, ...] = (STAGE,),
        faults: tuple[FaultStatus, ...] = (),
    ) -> Run:
        """Create a PerfRun that is about to start its stages."""
        created = await self.pending(name)
        step = PlannedStep(keyword="Then", text="x", line=1)
        frozen = Frozen(
            feature="Feature: x", feature_digest="sha256:0", target=target or TargetSpec(), target_digest="sha256:0",
            plan=Plan(scenarios=(PlannedScenario(name="x", line=1, steps=(step,)),), stages=stages),
            plan_digest="sha256:0",
        )  # fmt: skip
        begun = tuple(
            StageStatus(id=each.id, state="Starting", attempt=1, pod=pod_name(name, each.id, 1)) for each in stages
        )
        status = RunStatus(observed_generation=1, phase=Phase.RUNNING, frozen=frozen, stages=begun, faults=faults)
        return await self.cluster.save_run(created, status)

    async def pending(self, name: str) -> Run:
        """Create a PerfRun that has no plan yet."""
        spec = {"feature": "Feature: x", "targetRef": "target"}
        return run_of(await self._create("PerfRun", name, spec, {}))

    async def make(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Create any other object."""
        return await self.api.create(path, body)

    async def again(self, run: Run) -> Run:
        """Read a run anew."""
        found = await self.cluster.run(Key("PerfRun", run.meta.namespace, run.meta.name))
        assert found is not None
        return found

    async def _create(self, kind: Any, name: str, spec: dict[str, Any], metadata: dict[str, Any]) -> dict[str, Any]:
        body = {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name} | metadata, "spec": spec}
        return await self.api.create(object_path(kind, self.namespace), body)


def start_of(run: Run, attempt: int = 1) -> StartPod:
    return StartPod(pod_name(run.meta.name, STAGE.id, attempt), STAGE, attempt)


@contextlib.asynccontextmanager
async def watching_by_kopf(
    namespace: str, load: Load, hub: Hub, watches: Watches, paths: Mapping[tuple[str, str], str], seconds: int
) -> AsyncIterator[None]:
    """Have kopf watch a namespace for as long as the block lasts; ``seconds`` bounds each of its watches."""
    stop = threading.Event()

    async def watch() -> None:
        api = await Api.connect(load)
        registry, settings = kopf.OperatorRegistry(), kopf.OperatorSettings()
        handlers.settle(settings, seconds)
        handlers.register(registry, hub, watches, paths)
        session.register(registry, api, watches)
        await kopf.operator(
            registry=registry, settings=settings, standalone=True, namespaces=[namespace], stop_flag=stop
        )
        await api.close()

    # kopf takes whatever else runs in its loop for its own when it ends, the test included.
    thread = threading.Thread(target=lambda: asyncio.run(watch()))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        await asyncio.to_thread(thread.join)
