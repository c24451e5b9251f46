"""What runs that load or break something see of the cluster: nodes, who serves, agents, and what others are doing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs

from perfrun.adapters import views
from perfrun.adapters.api import METADATA_ONLY, Api, Refused
from perfrun.adapters.paths import in_namespace, jobs_path, object_path, or_none, pods_path, services_path
from perfrun.api import API_VERSION
from perfrun.api.run import Phase
from perfrun.api.service import Workload
from perfrun.lifecycle.values import AgentView, Missing, NodeView, OtherRun, Run, WorkloadView
from perfrun.manifests import labels
from perfrun.manifests.names import label_value

_PLURALS: Final[Mapping[str, str]] = {"Deployment": "deployments", "StatefulSet": "statefulsets"}
_UNFINISHED: Final = ",".join(f"status.phase!={phase.value}" for phase in Phase if phase.finished)
_BAD_REQUEST: Final = 400


@attrs.frozen
class Seeing:
    """Reads; ``namespaces`` are those that this operator serves, none means all, and ``agents`` is where agents run."""

    api: Api
    agents: str
    namespaces: tuple[str, ...] = ()

    async def nodes(self) -> dict[str, NodeView]:
        """Return all nodes by name."""
        return {view.name: view async for each in self.api.pages("/api/v1/nodes") for view in (views.node_view(each),)}

    async def serving(self, namespace: str, service: str) -> Mapping[str, tuple[str, ...]] | Missing:
        """Return the names of the pods that are ready behind a Service by node, or why that is not known."""
        if await or_none(self.api.get(services_path(namespace, service))) is None:
            text = f"Service {namespace}/{service} was not found; create it, or correct the target's service"
            return Missing("ServiceNotFound", text)
        return views.serving_of(await self.slices(namespace, service))

    async def slices(self, namespace: str, service: str) -> list[dict[str, Any]]:
        """Return the EndpointSlices of a Service."""
        path = in_namespace("/apis/discovery.k8s.io/v1", namespace, "endpointslices")
        return [each async for each in self.api.pages(path, f"kubernetes.io/service-name={label_value(service)}")]

    async def workload(self, namespace: str, workload: Workload) -> WorkloadView | Missing:
        """Return a workload's replicas, or why they are not known."""
        stored = await or_none(self.api.get(workload_path(namespace, workload)))
        if stored is None:
            name = f"{workload.kind} {namespace}/{workload.name}"
            return Missing("WorkloadNotFound", f"{name} was not found; create it, or correct service.workload")
        return views.workload_view(stored)

    async def jobs_of(self, run: Run) -> frozenset[str]:
        """Return the names of the run's Jobs."""
        path, selector = jobs_path(run.meta.namespace), f"{labels.RUN_UID}={run.meta.uid}"
        return frozenset({each["metadata"]["name"] async for each in self.api.pages(path, selector, METADATA_ONLY)})

    async def agents_of(self, run: Run) -> dict[str, AgentView]:
        """Return the run's fault agents by pod name."""
        selector = f"{labels.RUN_UID}={run.meta.uid},{labels.COMPONENT}={labels.FAULT_AGENT}"
        faults = {label_value(each.id): each.id for each in run.status.faults}
        found = [views.agent_view(each, faults) async for each in self.api.pages(pods_path(self.agents), selector)]
        return {each.pod.name: each for each in found}

    async def foreign_faults(self, run: Run) -> tuple[str, ...]:
        """Return the other runs (``namespace/name``) that have faults which are not undone."""
        paths = [object_path("PerfRun", each) for each in self.namespaces] or [f"/apis/{API_VERSION}/perfruns"]
        found = [each for path in paths async for each in self.api.pages(path, labels.HOLDS)]
        return tuple(
            sorted(
                f"{each['metadata']['namespace']}/{each['metadata']['name']}"
                for each in found
                if each["metadata"]["uid"] != run.meta.uid and views.has_open_faults(each)
            )
        )

    async def others(self, run: Run) -> tuple[OtherRun, ...]:
        """Return the other unfinished runs against the run's target."""
        stored = [each for each in await self._of_target(run) if each["metadata"]["uid"] != run.meta.uid]
        found = [view for view in map(views.other_run, stored) if view is not None]
        return tuple(sorted(found, key=lambda each: (each.created, each.name)))

    async def _of_target(self, run: Run) -> list[dict[str, Any]]:
        path, target = object_path("PerfRun", run.meta.namespace), run.spec.target_ref
        try:
            fields = f"spec.targetRef={target},{_UNFINISHED}"
            return [each async for each in self.api.pages(path, fields=fields)]
        except Refused as refusal:
            if refusal.status != _BAD_REQUEST:
                raise
            # Before Kubernetes 1.31 custom resources cannot be chosen by their fields.
            return [each async for each in self.api.pages(path) if (each.get("spec") or {}).get("targetRef") == target]


def workload_path(namespace: str, workload: Workload) -> str:
    """Return the path of a workload."""
    return in_namespace("/apis/apps/v1", namespace, _PLURALS[workload.kind], workload.name)
