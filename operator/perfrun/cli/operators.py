"""Which operators there are, whether one of them is at work, and what it was told: as far as the cluster knows.

A lease that is renewed means an operator that works. Whose clock is right is not asked: it has to be seen to change.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from perfrun.adapters.api import Api, NotFound, Refused
from perfrun.controller import settings
from perfrun.manifests import labels
from perfrun.manifests.agents import AgentSettings
from perfrun.ports import Unavailable

_LEASES: Final = "/apis/coordination.k8s.io/v1/leases"
_DEPLOYMENTS: Final = "/apis/apps/v1/deployments"
_NAME: Final = "perfrun"
_DURATION: Final = 15.0
_EVERY: Final = 0.5


@attrs.frozen
class Operator:
    """One operator: the ``namespace/name`` of its lease, the namespaces that it serves (none: all), what it was told.

    ``environment`` are the variables of its Deployment; empty where it runs elsewhere.
    """

    lease: str
    namespaces: tuple[str, ...] = ()
    environment: Mapping[str, str] = attrs.field(factory=dict)

    def serves(self, namespace: str) -> bool:
        """Whether runs of this namespace are its own."""
        return not self.namespaces or namespace in self.namespaces


def operators_of(deployments: list[dict[str, Any]], leases: list[dict[str, Any]]) -> tuple[Operator, ...]:
    """Return every operator that a Deployment or a lease tells of."""
    found = {each.lease: each for each in map(_of_deployment, deployments)}
    for lease in leases:
        name = f"{lease['metadata']['namespace']}/{lease['metadata']['name']}"
        if lease["metadata"]["name"] == _NAME or (lease["metadata"].get("labels") or {}).get(labels.NAME) == _NAME:
            found.setdefault(name, Operator(name))
    return tuple(found.values())


async def find(api: Api) -> tuple[Operator, ...]:
    """Return every operator; what may not be seen is not there.

    Raises:
        Unavailable: the API server did not answer.
    """
    deployments, leases = await asyncio.gather(_list(api, _DEPLOYMENTS, f"{labels.NAME}={_NAME}"), _list(api, _LEASES))
    return operators_of(deployments, leases)


async def at_work(api: Api, found: tuple[Operator, ...], tell: Callable[[str], None]) -> tuple[Operator, ...]:
    """Return the operators whose lease is renewed; it takes as long as a lease lasts to know that one is not."""
    first = await _states(api)
    held = {each.lease: first[each.lease] for each in found if first.get(each.lease, ("",))[0]}
    if not held:
        return ()
    longest = max(each[2] for each in held.values())
    for name, (holder, _, _) in held.items():
        tell(f"lease {name} is held by {holder}: watching for up to {longest:.0f} s whether it is renewed")
    alive: set[str] = set()
    deadline = time.monotonic() + longest
    while set(held) - alive and time.monotonic() < deadline:
        await asyncio.sleep(_EVERY)
        try:
            now = await _states(api)
        except Unavailable:
            continue
        alive |= {name for name, was in held.items() if now.get(name, was)[:2] != was[:2] and now[name][0]}
    return tuple(each for each in found if each.lease in alive)


async def _states(api: Api) -> dict[str, tuple[str, str, float]]:
    """Return holder, time of renewal and duration of every lease of an operator."""
    found = {}
    for each in await _list(api, _LEASES):
        spec = each.get("spec") or {}
        name = f"{each['metadata']['namespace']}/{each['metadata']['name']}"
        duration = float(spec.get("leaseDurationSeconds") or _DURATION)
        found[name] = (str(spec.get("holderIdentity") or ""), str(spec.get("renewTime") or ""), duration)
    return found


async def _list(api: Api, path: str, selector: str = "") -> list[dict[str, Any]]:
    try:
        return [each async for each in api.pages(path, selector)]
    except (NotFound, Refused):
        return []


def _of_deployment(stored: Mapping[str, Any]) -> Operator:
    metadata, pod = stored["metadata"], stored["spec"]["template"]["spec"]
    environment = {
        each["name"]: each["value"]
        for container in pod.get("containers") or ()
        for each in container.get("env") or ()
        if "value" in each
    }
    name = environment.get("PERFRUN_LEASE_NAME") or _NAME
    namespace = environment.get("PERFRUN_LEASE_NAMESPACE") or metadata["namespace"]
    served = tuple(part for each in environment.get("PERFRUN_NAMESPACES", "").split(",") if (part := each.strip()))
    return Operator(f"{namespace}/{name}", served, environment)


def told(operator: Operator) -> AgentSettings:
    """Return how an operator was told to make fault agents."""
    try:
        return settings.read((), operator.environment).agents()
    except settings.SettingsError:
        return AgentSettings()
