"""Every external system behind a Protocol, so that the same decisions run on a cluster and on a bare machine.

Adapters implement these; unit tests pass values instead. A port raises ``Conflict`` where a newer version of an
object exists, and ``Unavailable`` where the other side did not answer; both mean: look again, decide anew.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Protocol

from perfrun.api.feature import ConfigMapKeyRef, FeatureStatus
from perfrun.api.kept import ForecastStatus
from perfrun.api.plan import Stage
from perfrun.api.run import ArtifactLink, RunStatus, TimeWindow
from perfrun.api.service import Workload
from perfrun.api.target import Prometheus, TargetStatus
from perfrun.capabilities.base import QueryAnswer, ServedIds
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


class Conflict(Exception):  # noqa: N818 -- a normal outcome of optimistic concurrency, not an error
    """The object changed since it was read."""


class Unavailable(Exception):  # noqa: N818 -- a state of the other side
    """The other side did not answer; the message says who and how."""


class Cluster(Protocol):
    """The API server, as far as perfrun needs it; a local run implements it with processes and memory."""

    async def run(self, key: Key) -> Run | None:
        """Read a PerfRun; None where there is none."""

    async def feature(self, key: Key) -> Feature | None:
        """Read a PerfFeature."""

    async def target(self, key: Key) -> Target | None:
        """Read a PerfTarget."""

    async def forecast(self, key: Key) -> Kept | None:
        """Read a PerfForecast."""

    async def config_map_key(self, namespace: str, ref: ConfigMapKeyRef) -> str | None:
        """Read one key of a ConfigMap."""

    async def runs_of(self, feature: Feature) -> tuple[Run, ...]:
        """List the PerfRuns that belong to a feature."""

    async def forecasts_of(self, namespace: str, target: str) -> tuple[Kept, ...]:
        """List the forecasts that are kept for a target."""

    async def pods_of(self, run: Run) -> Mapping[str, PodView]:
        """List the benchmark pods of a run by name."""

    async def images(self, namespace: str, selector: Mapping[str, str]) -> Mapping[str, str]:
        """Return the image digests of the pods with these labels, by ``pod/container``."""

    async def save_run(self, run: Run, status: RunStatus) -> Run:
        """Write a run's status; raises Conflict."""

    async def save_feature(self, feature: Feature, status: FeatureStatus) -> Feature:
        """Write a feature's status; raises Conflict."""

    async def save_target(self, target: Target, status: TargetStatus) -> Target:
        """Write a target's status; raises Conflict."""

    async def save_forecast(self, kept: Kept, status: ForecastStatus) -> Kept:
        """Write a forecast's status; raises Conflict."""

    async def start_pod(self, run: Run, action: StartPod) -> None:
        """Create the pod, unless one of this name is there."""

    async def stop_pod(self, run: Run, name: str) -> None:
        """Delete the pod, if it is there."""

    async def nodes(self) -> Mapping[str, NodeView]:
        """Return all nodes by name."""

    async def serving(self, namespace: str, service: str) -> Mapping[str, tuple[str, ...]] | Missing:
        """Return the names of the pods that are ready behind a Service by node, or why that is not known."""

    async def workload(self, namespace: str, workload: Workload) -> WorkloadView | Missing:
        """Return a workload's replicas, or why they are not known."""

    async def jobs_of(self, run: Run) -> frozenset[str]:
        """Return the names of the run's Jobs."""

    async def agents_of(self, run: Run) -> Mapping[str, AgentView]:
        """Return the run's fault agents by pod name."""

    async def foreign_faults(self, run: Run) -> tuple[str, ...]:
        """Return the other runs of the cluster (``namespace/name``) that have faults which are not undone."""

    async def external_of(self, run: Run) -> Mapping[str, ExternalState]:
        """Return the state of every fault of the run that another tool carries out, by fault id."""

    async def protected(self, run: Run, prometheus: str) -> Mapping[str, str]:
        """Return the nodes of the operator and of the Prometheus at this URL, each with what it carries."""

    async def others(self, run: Run) -> tuple[OtherRun, ...]:
        """Return the other unfinished runs against the run's target."""

    async def denied(self, run: Run) -> str:
        """Return a sentence that names the rights which the faults of the run's target need and are not granted."""

    async def served_ids(self, run: Run, stage: Stage, since: dt.datetime) -> ServedIds:
        """Return the request ids of this stage's load that the pods behind the Service have logged since a moment."""

    async def change(self, run: Run, action: Change) -> None:
        """Carry out one change of the world for a run; each is idempotent.

        Raises:
            Conflict: the run itself changed, for a finalizer.
            Unavailable: the API server did not answer, or refuses it.
        """

    async def create_run(self, feature: Feature, action: CreateRun) -> None:
        """Create the run, unless one of this name is there."""

    async def cancel_run(self, namespace: str, name: str) -> None:
        """Set ``spec.cancel`` on the run, if it is there."""

    async def delete_run(self, namespace: str, name: str) -> None:
        """Delete the run, if it is there."""

    async def keep(self, run: Run, action: Keep) -> str:
        """Create the forecast, unless one of this name is there; return why it cannot be kept, or an empty text."""

    async def discard(self, namespace: str, name: str) -> None:
        """Delete the forecast, if it is there."""

    async def emit(self, about: Ours, event: Emit) -> None:
        """Record an Event about the object; best effort, never raises."""


class Metrics(Protocol):
    """A Prometheus-compatible server."""

    async def instant(self, server: Prometheus, query: str, window: TimeWindow) -> QueryAnswer:
        """Evaluate at the window's end; errors come back in the answer."""

    async def range(self, server: Prometheus, query: str, window: TimeWindow) -> QueryAnswer:
        """Evaluate over the window at the server's step; errors come back in the answer."""


class Artifacts(Protocol):
    """Where bulk evidence is kept."""

    async def put(self, path: str, content: bytes) -> ArtifactLink:
        """Store durably (before returning) under a relative path; replaces what is there."""

    async def get(self, path: str) -> tuple[ArtifactLink, bytes] | None:
        """Read what is stored under a path; None where nothing is."""

    async def delete_tree(self, path: str) -> None:
        """Remove everything below a path."""


class Clock(Protocol):
    """Time enters here and nowhere else."""

    def now(self) -> dt.datetime:
        """Return the present moment in UTC."""


def artifact_root(run_uid: str) -> str:
    """Return where everything that belongs to a run is kept, relative to the artifact store."""
    return f"runs/{run_uid}"


def result_path(run_uid: str, stage: str, attempt: int) -> str:
    """Return where the result of one attempt is kept, relative to the artifact store."""
    return f"{artifact_root(run_uid)}/{stage}/{attempt}/result.json"


def checkpoint_path(run_uid: str, stage: str, attempt: int) -> str:
    """Return where is kept what one attempt handed in while it went on, relative to the artifact store."""
    return f"{artifact_root(run_uid)}/{stage}/{attempt}/checkpoint.json"


def shard_path(run_uid: str, stage: str, attempt: int, shard: int) -> str:
    """Return where the result of one generator of an attempt is kept, relative to the artifact store."""
    return f"{artifact_root(run_uid)}/{stage}/{attempt}/{shard}/result.json"
