"""What a monitoring system should have series of: the nodes with their GPUs, and the pods behind the target's Service.

Read when the pod that asks the monitoring system is made, for nodes and pods come and go until then. The pod itself may
ask nobody.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from typing import Any, Final

from perfrun.adapters.api import Api
from perfrun.adapters.paths import or_none, pods_path, services_path
from perfrun.api.base import JSON
from perfrun.api.plan import Stage
from perfrun.api.target import TargetSpec

PROGRAM: Final = "telemetry"
"""The program whose pods are told."""

MOST_BYTES: Final = 100_000
"""Most that a pod is told: Linux takes 128 KiB in one environment variable, and there is more in it."""

_OVER: Final = frozenset({"Succeeded", "Failed"})


class TooMuchError(Exception):
    """More should have series than a pod can be told; the message says how many, and what to do."""


async def told(api: Api, stage: Stage, target: TargetSpec, namespace: str) -> Stage:
    """Return the stage with what should have series, where its program wants to know.

    Raises:
        TooMuchError: more should have series than a pod can be told.
        Refused: the API server does not let us read it.
        Unavailable: the API server did not answer.
    """
    if stage.program != PROGRAM:
        return stage
    wanted = {row["per"] for row in stage.parameters["rows"]}
    nodes: list[JSON] = []
    if wanted & {"node", "gpuNode"}:
        nodes = [node(each, target.pods.gpu_resource) async for each in api.pages("/api/v1/nodes")]
    expected: dict[str, JSON] = {"nodes": nodes, "pods": await _pods(api, target, namespace) if "pod" in wanted else []}
    if len(json.dumps(expected)) > MOST_BYTES:
        msg = (
            f"{len(nodes)} nodes and {len(expected['pods'])} pods should have series, more than one pod can be told; "
            "state 'per: any' for these types of metrics in the target's telemetry.metrics"
        )
        raise TooMuchError(msg)
    return stage.replace(parameters={**stage.parameters, "expected": expected})


async def _pods(api: Api, target: TargetSpec, namespace: str) -> list[JSON]:
    if target.service is None:
        return []
    there = target.service.namespace or namespace
    service = await or_none(api.get(services_path(there, target.service.name))) or {}
    selector = (service.get("spec") or {}).get("selector") or {}
    if not selector:
        return []
    wanted = ",".join(f"{name}={value}" for name, value in sorted(selector.items()))
    return [pod(each) async for each in api.pages(pods_path(there), wanted) if is_there(each)]


def node(stored: Mapping[str, Any], gpu_resource: str) -> dict[str, JSON]:
    """Return what tells a node and its series: since when it is there, its addresses, and how many GPUs it has."""
    status = stored.get("status") or {}
    addresses: list[JSON] = [each["address"] for each in status.get("addresses") or ()]
    name = stored["metadata"]["name"]
    return {
        "name": name, "since": _since(stored["metadata"]["creationTimestamp"]),
        "gpus": _count(str((status.get("allocatable") or {}).get(gpu_resource, 0))),
        "addresses": [each for each in dict.fromkeys(addresses) if each != name],
    }  # fmt: skip


def pod(stored: Mapping[str, Any]) -> dict[str, JSON]:
    """Return what tells a pod and its series: where and since when it runs, and its addresses."""
    status = stored.get("status") or {}
    begun = status.get("startTime") or stored["metadata"]["creationTimestamp"]
    return {
        "name": stored["metadata"]["name"], "node": (stored.get("spec") or {}).get("nodeName", ""),
        "since": _since(begun), "addresses": [each["ip"] for each in status.get("podIPs") or ()],
    }  # fmt: skip


def is_there(stored: Mapping[str, Any]) -> bool:
    """Return whether a pod runs, or should: it has a node, and is neither over nor being removed."""
    placed = bool((stored.get("spec") or {}).get("nodeName"))
    over = (stored.get("status") or {}).get("phase") in _OVER
    return placed and not over and not stored["metadata"].get("deletionTimestamp")


def _count(quantity: str) -> int:
    """Return a number of devices; that there are any is what matters where it is written as 1k."""
    return int(quantity) if quantity.isdecimal() else 1


def _since(moment: str) -> float:
    return dt.datetime.fromisoformat(moment).timestamp()
