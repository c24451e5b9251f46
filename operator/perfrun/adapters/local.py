"""A cluster made of this machine: objects in memory, benchmark pods as processes.

``perfrun run`` drives the very decisions that the operator drives, through the very same port, so a verdict on a
laptop differs from one on a cluster only in what was measured. What has no meaning without a cluster (ConfigMaps,
features that own runs) is simply not there.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import sys
from collections.abc import Callable, Mapping
from typing import Final

import attrs

from perfrun.adapters.local_process import LocalProcess, Order
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
from perfrun.manifests.external import ExternalState
from perfrun.ports import Artifacts, Clock, Conflict, Unavailable, result_path
from perfrun_kernels import contract

COMMAND = (sys.executable, "-m", "perfrun_kernels")
"""What runs a benchmark; the command of a target's pods is that of their image, which is not here."""

NO_CLUSTER: Final = "NeedsCluster"
WHAT_TO_DO: Final = "apply it as a PerfRun to the cluster of the Service"


class LocalCluster:
    """Implements ``ports.Cluster`` for one run and its target.

    ``changed`` is set whenever something happened that a decision may depend on.
    """

    def __init__(
        self,
        run: Run,
        target: Target,
        artifacts: Artifacts,
        clock: Clock,
        command: tuple[str, ...] = COMMAND,
        watch: Callable[[Run], None] = lambda _run: None,
    ) -> None:
        self._run, self._target, self._artifacts, self._clock = run, target, artifacts, clock
        self._command, self._watch = command, watch
        self._processes: dict[str, LocalProcess] = {}
        self._stopping: set[asyncio.Task[None]] = set()
        self.changed = asyncio.Event()

    @property
    def current(self) -> Run:
        """The run as it stands."""
        return self._run

    def cancel(self) -> None:
        """Set ``spec.cancel``."""
        spec = self._run.spec.replace(cancel=True)
        meta = attrs.evolve(self._run.meta, generation=self._run.meta.generation + 1)
        self._run = attrs.evolve(self._run, spec=spec, meta=meta)
        self.changed.set()

    async def close(self) -> None:
        """End every process that is still there."""
        await asyncio.gather(*self._stopping, *(each.stop() for each in self._processes.values()))

    async def run(self, key: Key) -> Run | None:
        """Return the run, if it is this one."""
        return self._run if key.name == self._run.meta.name else None

    async def feature(self, key: Key) -> Feature | None:  # noqa: ARG002 -- the port's signature
        """Return None: without a cluster no feature owns a run."""
        return None

    async def target(self, key: Key) -> Target | None:
        """Return the target, if it is this one."""
        return self._target if key.name == self._target.meta.name else None

    async def forecast(self, key: Key) -> Kept | None:  # noqa: ARG002 -- the port's signature
        """Return None: nothing here outlives the run."""
        return None

    async def config_map_key(self, namespace: str, ref: ConfigMapKeyRef) -> str | None:  # noqa: ARG002 -- the port's
        """Return None: there are no ConfigMaps."""
        return None

    async def runs_of(self, feature: Feature) -> tuple[Run, ...]:  # noqa: ARG002 -- the port's signature
        """Return nothing: without a cluster no feature owns a run."""
        return ()

    async def forecasts_of(self, namespace: str, target: str) -> tuple[Kept, ...]:  # noqa: ARG002 -- the port's signature
        """Return nothing: nothing here outlives the run."""
        return ()

    async def pods_of(self, run: Run) -> Mapping[str, PodView]:  # noqa: ARG002 -- there is one run
        """Return a view of every process."""
        return {name: process.view for name, process in self._processes.items()}

    async def images(self, namespace: str, selector: Mapping[str, str]) -> Mapping[str, str]:  # noqa: ARG002 -- the port's
        """Return nothing: what is under test runs in no pod that could be seen from here."""
        return {}

    async def save_run(self, run: Run, status: RunStatus) -> Run:
        """Keep the status; raises Conflict where the run was cancelled meanwhile."""
        if run.meta != self._run.meta:
            msg = "the run was cancelled meanwhile"
            raise Conflict(msg)
        version = str(int(run.meta.resource_version or 0) + 1)
        self._run = attrs.evolve(run, status=status, meta=attrs.evolve(run.meta, resource_version=version))
        self._watch(self._run)
        return self._run

    async def save_feature(self, feature: Feature, status: FeatureStatus) -> Feature:
        """Return the feature with the status; nothing keeps it."""
        return attrs.evolve(feature, status=status)

    async def save_target(self, target: Target, status: TargetStatus) -> Target:
        """Keep the status."""
        self._target = attrs.evolve(target, status=status)
        return self._target

    async def save_forecast(self, kept: Kept, status: ForecastStatus) -> Kept:
        """Return the forecast with the status; nothing keeps it."""
        return attrs.evolve(kept, status=status)

    async def start_pod(self, run: Run, action: StartPod) -> None:
        """Start the process of one attempt, unless it was started before."""
        if action.name in self._processes:
            return
        stage = action.stage
        request = contract.Request(
            run=run.meta.name, stage=stage.id, attempt=action.attempt, kind=stage.program,
            parameters=dict(stage.parameters), budget_seconds=stage.seconds,
        )  # fmt: skip
        environment = {name: value for name, value in os.environ.items() if name != contract.RESULT_URL_ENV}
        environment[contract.REQUEST_ENV] = request.to_json()
        order = Order(action.name, self._command, environment, stage.timeout)
        process = self._processes[action.name] = LocalProcess(order, self._clock.now, self.changed.set)
        path = result_path(run.meta.uid, stage.id, action.attempt)
        process.start(lambda line: asyncio.ensure_future(self._store(path, line)))

    async def stop_pod(self, run: Run, name: str) -> None:  # noqa: ARG002 -- there is one run
        """Begin to end the process; it is seen as being removed until it is gone."""
        process = self._processes.get(name)
        if process is None or process.view.deleting:
            return
        task = asyncio.create_task(self._remove(name, process))
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)

    async def nodes(self) -> Mapping[str, NodeView]:
        """Return nothing: there are no nodes."""
        return {}

    async def serving(self, namespace: str, service: str) -> Mapping[str, tuple[str, ...]] | Missing:
        """Return that a Service needs a cluster."""
        return Missing(NO_CLUSTER, f"Service {namespace}/{service} is in a cluster, and this run is not: {WHAT_TO_DO}")

    async def workload(self, namespace: str, workload: Workload) -> WorkloadView | Missing:
        """Return that a workload needs a cluster."""
        name = f"{workload.kind} {namespace}/{workload.name}"
        return Missing(NO_CLUSTER, f"{name} is in a cluster, and this run is not: {WHAT_TO_DO}")

    async def jobs_of(self, run: Run) -> frozenset[str]:  # noqa: ARG002 -- the port's signature
        """Return nothing: there are no Jobs."""
        return frozenset()

    async def agents_of(self, run: Run) -> Mapping[str, AgentView]:  # noqa: ARG002 -- the port's signature
        """Return nothing: there is no node on which an agent could be."""
        return {}

    async def foreign_faults(self, run: Run) -> tuple[str, ...]:  # noqa: ARG002 -- the port's signature
        """Return nothing: there is one run."""
        return ()

    async def external_of(self, run: Run) -> Mapping[str, ExternalState]:  # noqa: ARG002 -- the port's signature
        """Return nothing: other tools work on clusters only."""
        return {}

    async def protected(self, run: Run, prometheus: str) -> Mapping[str, str]:  # noqa: ARG002 -- the port's signature
        """Return nothing: there are no nodes."""
        return {}

    async def others(self, run: Run) -> tuple[OtherRun, ...]:  # noqa: ARG002 -- the port's signature
        """Return nothing: there is one run."""
        return ()

    async def denied(self, run: Run) -> str:  # noqa: ARG002 -- the port's signature
        """Return that nothing can be loaded or broken from here."""
        return f"load and faults need a cluster, and this run has none: {WHAT_TO_DO}"

    async def served_ids(self, run: Run, stage: Stage, since: dt.datetime) -> ServedIds:  # noqa: ARG002 -- the port's
        """Return that there are no servers whose logs could be read."""
        return ServedIds((), (), ("logs of pods are in a cluster, and this run is not",))

    async def change(self, run: Run, action: Change) -> None:  # noqa: ARG002 -- the port's signature
        """Refuse: decisions ask for none where ``denied`` says why."""
        msg = f"{type(action).__name__} needs a cluster: {WHAT_TO_DO}"
        raise Unavailable(msg)

    async def create_run(self, feature: Feature, action: CreateRun) -> None:
        """Do nothing: without a cluster no feature owns a run."""

    async def cancel_run(self, namespace: str, name: str) -> None:  # noqa: ARG002 -- the port's signature
        """Cancel the run, if it is this one."""
        if name == self._run.meta.name:
            self.cancel()

    async def delete_run(self, namespace: str, name: str) -> None:
        """Do nothing: the run ends with this process."""

    async def keep(self, run: Run, action: Keep) -> str:  # noqa: ARG002 -- the port's signature
        """Return that nobody would be there to score it."""
        return f"only an operator scores forecasts: {WHAT_TO_DO}"

    async def discard(self, namespace: str, name: str) -> None:
        """Do nothing: nothing is kept."""

    async def emit(self, about: Ours, event: Emit) -> None:
        """Do nothing: whoever runs this sees the status itself."""

    async def _store(self, path: str, line: bytes) -> None:
        await self._artifacts.put(path, line)

    async def _remove(self, name: str, process: LocalProcess) -> None:
        await process.stop()
        del self._processes[name]
        self.changed.set()
