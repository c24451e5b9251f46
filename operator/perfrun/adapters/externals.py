"""Faults that another tool carries out: its objects are created, read and taken back; manifests know their meaning."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import attrs

from perfrun.adapters.api import AlreadyExists, Api, NotFound, Refused
from perfrun.adapters.paths import in_namespace, or_none, services_path
from perfrun.adapters.refusals import Refusals
from perfrun.adapters.seeing import Seeing
from perfrun.api.chaos import FaultKind
from perfrun.api.faults import FaultStatus
from perfrun.lifecycle.values import Missing, NodeView, Run
from perfrun.manifests import external, labels
from perfrun.manifests.external import ExternalBackend, ExternalFault, ExternalState
from perfrun.manifests.names import label_value
from perfrun.ports import Unavailable

HOSTNAME = "kubernetes.io/hostname"


@attrs.frozen
class Externals:
    """Chaos Mesh and Litmus, as far as they are objects in the API."""

    api: Api
    seeing: Seeing
    refusals: Refusals[ExternalState] = attrs.field(factory=Refusals)

    async def states(self, run: Run) -> dict[str, ExternalState]:
        """Return the state of every fault of the run that another tool carries out, by fault id.

        A fault of which nothing exists is left out, unless it could not be begun.
        """
        refused = self.refusals.of(run.meta.uid)
        found: dict[str, ExternalState] = {}
        for fault in run.status.faults:
            if fault.backend == "native":
                continue
            stored = await self._stored(run, fault)
            if stored:
                found[fault.id] = external.state(_tool(fault), stored)
            elif fault.id in refused:
                found[fault.id] = refused[fault.id]
        return found

    async def start(self, run: Run, fault: FaultStatus) -> None:
        """Create the objects of a fault, unless any of them is there.

        Raises:
            Unavailable: the API server did not answer, or the tool cannot be asked; ``states`` then tells why.
        """
        if await self._stored(run, fault):
            return
        try:
            for each in external.objects(_tool(fault), await self._ordered(run, fault)):
                await self._create(each)
        except (Refused, NotFound) as refusal:
            name = fault.backend
            raise self._refused(run, fault, f"the API server refuses it: {refusal}; is {name} installed?") from refusal
        except ValueError as error:
            raise self._refused(run, fault, str(error)) from error

    async def stop(self, run: Run, fault: FaultStatus) -> None:
        """Take the next steps that end a fault and remove its objects; ask again until nothing is left."""
        self.refusals.drop(run.meta.uid, fault.id)
        for step in external.stop(_tool(fault), await self._stored(run, fault)):
            if step.patch is None:
                await or_none(self.api.delete(step.path))
            else:
                await or_none(self.api.merge(step.path, step.patch))

    async def _stored(self, run: Run, fault: FaultStatus) -> list[dict[str, Any]]:
        selector = f"{labels.RUN_UID}={run.meta.uid},{labels.FAULT}={label_value(fault.id)}"
        namespace = service_of(run)[0]
        objects: list[dict[str, Any]] = []
        for collection in external.collections(_tool(fault)):
            base, _, plural = collection.rpartition("/")
            objects += await self._list(in_namespace(base, namespace, plural), selector)
        reports = [await or_none(self.api.get(path)) for path in external.reports(_tool(fault), objects)]
        return [*objects, *(each for each in reports if each is not None)]

    async def _list(self, path: str, selector: str) -> list[dict[str, Any]]:
        try:
            return [each async for each in self.api.pages(path, selector)]
        except NotFound:
            # The tool is not installed, so nothing of it can be there.
            return []

    async def _create(self, ordered: external.ExternalObject) -> None:
        try:
            await self.api.create(ordered.collection, ordered.manifest)
        except AlreadyExists:
            return

    async def _ordered(self, run: Run, fault: FaultStatus) -> ExternalFault:
        namespace, service = service_of(run)
        stored = await or_none(self.api.get(services_path(namespace, service)))
        if stored is None:
            msg = f"Service {namespace}/{service} was not found"
            raise ValueError(msg)
        serving = await self.seeing.serving(namespace, service)
        failing = tuple(each.node for each in fault.nodes)
        behind = {} if isinstance(serving, Missing) else serving
        nodes = await self.seeing.nodes()
        chaos = run.status.frozen.target.chaos if run.status.frozen else None
        return ExternalFault(
            id=fault.id, run=run.meta.name, run_namespace=run.meta.namespace, run_uid=run.meta.uid,
            kind=_kind(fault), nodes=failing, seconds=(fault.ends_at - fault.starts_at).total_seconds(),
            namespace=namespace, selector=(stored.get("spec") or {}).get("selector") or {},
            service_account=(chaos.service_account_name if chaos else None) or "",
            pods=tuple(pod for node in failing for pod in behind.get(node, ())),
            home=_home(nodes.values(), failing),
        )  # fmt: skip

    def _refused(self, run: Run, fault: FaultStatus, why: str) -> Unavailable:
        self.refusals.note(run.meta.uid, fault.id, ExternalState("Failed", why))
        return Unavailable(f"fault {fault.id} of PerfRun {run.meta.namespace}/{run.meta.name} was not begun: {why}")


def service_of(run: Run) -> tuple[str, str]:
    """Return namespace and name of the Service that a run loads or breaks.

    Raises:
        ValueError: its target has none.
    """
    service = run.status.frozen.target.service if run.status.frozen else None
    if service is None:
        msg = f"PerfRun {run.meta.namespace}/{run.meta.name} has no Service in its frozen target"
        raise ValueError(msg)
    return service.namespace or run.meta.namespace, service.name


def _home(nodes: Iterable[NodeView], failing: tuple[str, ...]) -> str:
    """Return the hostname label of a node on which programs of the tool may run; empty where there is none."""
    fit = (each for each in nodes if each.ready and not each.cordoned and each.name not in failing)
    return next((hostname for each in fit if (hostname := each.labels.get(HOSTNAME, ""))), "")


def _tool(fault: FaultStatus) -> ExternalBackend:
    return cast("ExternalBackend", fault.backend)


def _kind(fault: FaultStatus) -> FaultKind:
    # Spikes are made by agents of perfrun's own only.
    return cast("FaultKind", fault.kind)
