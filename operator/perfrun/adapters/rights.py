"""What the operator needs to be allowed for a run, asked before anything is begun: the API server itself answers.

A right that is missing in the middle would leave something half done, or half undone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from typing import Final

import attrs

from perfrun.adapters.api import Api
from perfrun.adapters.externals import service_of
from perfrun.adapters.paths import or_none, services_path
from perfrun.api import GROUP
from perfrun.api.chaos import Chaos
from perfrun.api.plan import Stage
from perfrun.api.target import TargetSpec
from perfrun.lifecycle.values import Run
from perfrun.manifests import external
from perfrun.manifests.external import ExternalFault

_REVIEWS: Final = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_PLURALS: Final = {"Deployment": "deployments", "StatefulSet": "statefulsets"}
_ALL: Final = ""

SPIKE: Final = "spike"
"""Stands for a fault of that kind among the kinds of stages: it asks for less than others do."""


@attrs.frozen
class Right:
    """To do something with a resource (``pods/eviction``) of an API group, in a namespace or everywhere."""

    verb: str
    resource: str
    group: str = ""
    namespace: str = _ALL

    def review(self) -> dict[str, object]:
        """Return the question whether we have it."""
        resource, _, part = self.resource.partition("/")
        asked = {
            "verb": self.verb, "group": self.group, "resource": resource, "subresource": part,
            "namespace": self.namespace,
        }  # fmt: skip
        return {
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {name: value for name, value in asked.items() if value}},
        }  # fmt: skip

    def __str__(self) -> str:
        name = f"{self.resource}.{self.group}" if self.group else self.resource
        return f"{self.verb} {name}" + (f" in namespace {self.namespace}" if self.namespace else "")


@attrs.frozen
class Rights:
    """Asks about rights; ``agents`` is the namespace of fault agents.

    Without ``chaos`` this installation rules faults out, whatever rights there are: to kill pods takes none but those
    with which the operator deletes its own.
    """

    api: Api
    agents: str
    chaos: bool = True

    async def denied(self, run: Run) -> str:
        """Return a sentence about what the run's plan needs and is not granted, or nothing."""
        frozen = run.status.frozen
        if frozen is None or frozen.target.service is None:
            return ""
        kinds = {SPIKE if is_spike(stage) else stage.kind for stage in frozen.plan.stages}
        if not self.chaos and kinds & {"fault", "scale", SPIKE}:
            return (
                "this installation of perfrun rules faults out; to permit them, install the chart with "
                "chaos.enabled=true and scope.kind=cluster"
            )
        wanted = tuple(dict.fromkeys(needed(frozen.target, kinds, run.meta.namespace, self.agents)))
        granted = await asyncio.gather(*map(self._granted, wanted))
        if lacking := [str(right) for right, has in zip(wanted, granted, strict=True) if not has]:
            return (
                f"the operator may not {', '.join(lacking)}; grant it that: perfrun's chart does where its values "
                "allow chaos"
            )
        return await self._unfit(run, frozen.target.chaos) if "fault" in kinds else ""

    async def _granted(self, right: Right) -> bool:
        answer = await self.api.create(_REVIEWS, right.review())
        return bool((answer.get("status") or {}).get("allowed"))

    async def _unfit(self, run: Run, chaos: Chaos) -> str:
        """Return a sentence about what another tool lacks to carry the fault out, for the Service being as it is."""
        if chaos.backend == "native":
            return ""
        namespace, name = service_of(run)
        stored = await or_none(self.api.get(services_path(namespace, name))) or {}
        fault = ExternalFault(
            id="", run=run.meta.name, run_namespace=run.meta.namespace, run_uid=run.meta.uid, kind=chaos.kind,
            # Which nodes and pods it will be is not known yet; that there are some is seen to elsewhere.
            nodes=("?",), pods=("?",), seconds=0, namespace=namespace,
            selector=(stored.get("spec") or {}).get("selector") or {},
            service_account=chaos.service_account_name or "",
        )  # fmt: skip
        return external.supported(chaos.backend, chaos.kind) or external.missing(chaos.backend, fault)


def needed(target: TargetSpec, kinds: Iterable[str], home: str, agents: str) -> Iterator[Right]:
    """Yield what stages of these kinds, or ``SPIKE``, need in the run's namespace (``home``) and that of agents."""
    service, every = target.service, set(kinds)
    if service is None:
        return
    there = service.namespace or home
    if every & {"load", "fault", "scale", SPIKE}:
        yield Right("list", "nodes")
        yield Right("get", "services", namespace=there)
        yield Right("list", "endpointslices", "discovery.k8s.io", there)
    if "load" in every:
        yield from (Right(verb, "jobs", "batch", home) for verb in ("get", "list", "create", "delete"))
    if "ids" in every:
        yield from (Right(verb, "pods", namespace=there) for verb in ("get", "list"))
        yield Right("get", "pods/log", namespace=there)
    if "scale" in every and service.workload is not None:
        plural = _PLURALS[service.workload.kind]
        yield Right("get", plural, "apps", there)
        yield Right("patch", f"{plural}/scale", "apps", there)
    if every & {"fault", "scale", SPIKE}:
        yield Right("patch", "perfruns", GROUP, home)
    if every & {"fault", SPIKE}:
        # To know which nodes carry operator and Prometheus, and which pods are on the one that is watched.
        yield from (Right("list", resource) for resource in ("pods", "services"))
        yield Right("list", "endpointslices", "discovery.k8s.io")
    if "fault" in every:
        yield from _of_fault(target.chaos, there, agents)
    if SPIKE in every:
        yield from _of_agents(agents)


def is_spike(stage: Stage) -> bool:
    """Whether a stage is a fault of kind spike, whatever kind the target's chaos names."""
    return stage.kind == "fault" and stage.parameters.get("kind") == SPIKE


def _of_agents(agents: str) -> Iterator[Right]:
    return (Right(verb, "pods", namespace=agents) for verb in ("list", "create", "delete"))


def _of_fault(chaos: Chaos, there: str, agents: str) -> Iterator[Right]:
    match chaos.backend, chaos.kind:
        case "native", "isolate" | "freeze":
            yield from _of_agents(agents)
        case "native", "drain":
            yield from (Right(verb, "nodes") for verb in ("get", "patch"))
            yield Right("create", "pods/eviction")
        case "native", _:
            yield from (Right(verb, "pods", namespace=there) for verb in ("get", "delete"))
        case "chaos-mesh", kind:
            yield from (Right("list", plural, "chaos-mesh.org", there) for plural in ("networkchaos", "podchaos"))
            plural = "podchaos" if kind == "pod-kill" else "networkchaos"
            yield from (Right(verb, plural, "chaos-mesh.org", there) for verb in ("create", "delete"))
        case _:
            verbs = ("list", "create", "patch", "delete")
            yield from (Right(verb, "chaosengines", "litmuschaos.io", there) for verb in verbs)
            yield from (Right(verb, "chaosresults", "litmuschaos.io", there) for verb in ("get", "delete"))
