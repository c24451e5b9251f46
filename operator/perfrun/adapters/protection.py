"""Which nodes carry what a run cannot do without: the operator itself, and the Prometheus that it asks."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import attrs

from perfrun.adapters import views
from perfrun.adapters.api import Api
from perfrun.adapters.paths import or_none, pods_path
from perfrun.adapters.seeing import Seeing
from perfrun.manifests import labels

_OPERATORS: Final = f"{labels.NAME}=perfrun,{labels.COMPONENT} notin (benchmark,fault,{labels.FAULT_AGENT})"
"""Pods of perfrun that are none of those which runs make: operators, of whatever release."""

_OVER: Final = ("Succeeded", "Failed")


@attrs.frozen
class Protection:
    """Looks for both; ``namespace`` and ``pod`` say where this operator itself runs, if it does so in the cluster."""

    api: Api
    seeing: Seeing
    namespace: str = ""
    pod: str = ""

    async def nodes(self, prometheus: str) -> dict[str, str]:
        """Return the nodes that must not fail, each with what it carries; ``prometheus`` is a URL, or empty."""
        carries: dict[str, list[str]] = {}
        for node in await self._operators():
            carries.setdefault(node, []).append("the operator")
        for node in await self._behind(prometheus):
            carries.setdefault(node, []).append("Prometheus")
        return {node: " and ".join(each) for node, each in sorted(carries.items())}

    async def _operators(self) -> set[str]:
        pods = [each async for each in self.api.pages("/api/v1/pods", _OPERATORS)]
        if self.pod and (own := await or_none(self.api.get(pods_path(self.namespace, self.pod)))) is not None:
            pods.append(own)
        return _nodes(pods)

    async def _behind(self, url: str) -> set[str]:
        host = urlsplit(url).hostname
        if not host:
            return set()
        machines = [each async for each in self.api.pages("/api/v1/nodes")]
        if named := {each["metadata"]["name"] for each in machines if host in _addresses(each)}:
            return named
        if _is_address(host):
            return await self._behind_address(host)
        service = service_named(host, self.namespace)
        return set() if service is None else views.nodes_behind(await self.seeing.slices(*service))

    async def _behind_address(self, address: str) -> set[str]:
        if found := _nodes([each async for each in self.api.pages("/api/v1/pods", fields=f"status.podIP={address}")]):
            return found
        nodes: set[str] = set()
        async for each in self.api.pages("/api/v1/services"):
            if address in _service_addresses(each):
                metadata = each["metadata"]
                nodes |= views.nodes_behind(await self.seeing.slices(metadata["namespace"], metadata["name"]))
        return nodes


def service_named(host: str, home: str) -> tuple[str, str] | None:
    """Return namespace and name of the Service that a host name means inside the cluster, or None where it is none.

    ``home`` is the namespace in which the name is resolved.
    """
    match host.rstrip(".").split("."):
        case [name]:
            return (home, name) if home else None
        case [name, namespace] | [name, namespace, "svc", *_]:
            return namespace, name
        case [_, name, namespace, "svc", *_]:
            return namespace, name
        case _:
            return None


def _nodes(pods: Iterable[Mapping[str, Any]]) -> set[str]:
    return {
        node
        for each in pods
        if (node := (each.get("spec") or {}).get("nodeName")) and (each.get("status") or {}).get("phase") not in _OVER
    }


def _addresses(node: Mapping[str, Any]) -> set[str]:
    found = {each["address"] for each in (node.get("status") or {}).get("addresses") or ()}
    return found | {node["metadata"]["name"]}


def _service_addresses(service: Mapping[str, Any]) -> set[str]:
    spec, status = service.get("spec") or {}, service.get("status") or {}
    ingress = (status.get("loadBalancer") or {}).get("ingress") or ()
    told = [*(spec.get("clusterIPs") or ()), spec.get("clusterIP"), *(spec.get("externalIPs") or ())]
    return {each for each in (*told, *(each.get("ip") for each in ingress)) if each and each != "None"}


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
