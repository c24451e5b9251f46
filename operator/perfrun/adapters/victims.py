"""In which containers latency spikes are looked for and made: those of the Service's ready pods on one node.

Read when the agent's pod is made, for pods come and go until then. The agent itself may ask nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from perfrun.adapters.api import Api
from perfrun.adapters.externals import service_of
from perfrun.adapters.paths import or_none, pods_path, services_path
from perfrun.adapters.seeing import Seeing
from perfrun.adapters.views import ready_endpoints
from perfrun.api.base import JSON
from perfrun.lifecycle.values import Run


@attrs.frozen
class Victims:
    """Pods as the agent's order has them, and the ``port`` that all of them listen on."""

    port: int
    pods: tuple[dict[str, JSON], ...]


async def victims(api: Api, seeing: Seeing, run: Run, node: str) -> Victims:
    """Return the pods of the run's Service that are ready on a node; none is an answer, too.

    Raises:
        Unavailable: the API server did not answer.
        ValueError: the run's target has no Service.
    """
    namespace, name = service_of(run)
    service = await or_none(api.get(services_path(namespace, name))) or {}
    slices = await seeing.slices(namespace, name)
    stored = [each async for each in api.pages(pods_path(namespace), fields=f"spec.nodeName={node}")]
    target = run.status.frozen.target.service if run.status.frozen else None
    return chosen(service, slices, stored, node, target.port if target is not None else 0)


def chosen(
    service: Mapping[str, Any], slices: Iterable[Mapping[str, Any]], pods: Iterable[Mapping[str, Any]], node: str,
    service_port: int,
) -> Victims:  # fmt: skip
    """Return those of the ``pods`` that are ready behind the Service on a node, by name.

    Where a Service's port means different ones to its pods, those of the first pod's are taken.
    """
    own = (service.get("spec") or {}).get("ports") or ()
    name = next((_name(each) for each in own if each["port"] == service_port), "")
    ports: dict[str, int] = {}
    for each in slices:
        port = next((part["port"] for part in each.get("ports") or () if _name(part) == name), service_port)
        ports |= {pod: port for on, pod in ready_endpoints(each) if on == node}
    stored = {each["metadata"]["name"]: each for each in pods}
    there = sorted(name for name in ports if name in stored)
    port = ports[there[0]] if there else service_port
    return Victims(port, tuple(_pod(stored[name]) for name in there if ports[name] == port))


def _name(port: Mapping[str, Any]) -> str:
    return port.get("name") or ""


def _pod(stored: Mapping[str, Any]) -> dict[str, JSON]:
    metadata, spec, status = stored["metadata"], stored["spec"], stored.get("status") or {}
    containers: list[JSON] = [
        # The runtime's name stands before it, as in containerd://.
        {"name": each["name"], "id": each["containerID"].rpartition("/")[2]}
        for each in status.get("containerStatuses") or ()
        if each.get("containerID")
    ]
    return {
        "namespace": metadata["namespace"], "name": metadata["name"], "uid": metadata["uid"],
        "ip": status.get("podIP", ""), "host_network": bool(spec.get("hostNetwork")), "containers": containers,
    }  # fmt: skip
