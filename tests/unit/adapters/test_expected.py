"""What a pod is told that should have series: nodes with their GPUs and addresses, and pods that run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from perfrun.adapters.expected import MOST_BYTES, TooMuchError, told
from perfrun.api.plan import Stage
from perfrun.api.service import Service
from perfrun.api.target import Pods, TargetSpec

AT, AT_SECONDS = "2026-01-01T00:00:00Z", 1767225600.0
TARGET = TargetSpec(service=Service(name="web"), pods=Pods(gpu_resource="nvidia.com/gpu"))


class Stored:
    """An API server that holds these objects; ``asked`` are the lists that were read, with their selectors."""

    def __init__(self, **objects: Any) -> None:
        self.objects, self.asked = objects, []

    async def get(self, path: str) -> Any:
        assert path == "/api/v1/namespaces/shop/services/web"
        return self.objects["service"]

    async def pages(self, path: str, selector: str = "") -> AsyncIterator[Any]:
        kind = path.rpartition("/")[2]
        self.asked.append((kind, selector))
        for each in self.objects[kind]:
            yield each


def stage(*per: str, program: str = "telemetry") -> Stage:
    return Stage(
        id="s1-telemetry", scenario=0, kind="pod", program=program, parameters={"rows": [{"per": each} for each in per]}
    )


def node(name: str, gpus: str = "", *addresses: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "creationTimestamp": AT},
        "status": {
            "allocatable": {"cpu": "4"} | ({"nvidia.com/gpu": gpus} if gpus else {}),
            "addresses": [{"type": "InternalIP", "address": each} for each in addresses],
        },
    }  # fmt: skip


def pod(name: str, phase: str = "Running", placed: str = "n1", **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "creationTimestamp": "2025-01-01T00:00:00Z", **metadata},
        "spec": {"nodeName": placed} if placed else {},
        "status": {"phase": phase, "startTime": AT, "podIPs": [{"ip": "10.1.0.7"}, {"ip": "fd00::7"}]},
    }  # fmt: skip


SERVICE = {"spec": {"selector": {"tier": "front", "app": "web"}}}


async def test_nodes_are_told_with_since_when_they_are_there_their_gpus_and_addresses() -> None:
    api = Stored(nodes=[node("n1", "", "10.0.0.1", "n1", "10.0.0.1"), node("n2", "8"), node("n3", "1k")])
    expected = (await told(api, stage("node", "any"), TARGET, "shop")).parameters["expected"]  # type: ignore[arg-type]
    assert expected == {
        "nodes": [
            {"name": "n1", "since": AT_SECONDS, "gpus": 0, "addresses": ["10.0.0.1"]},
            {"name": "n2", "since": AT_SECONDS, "gpus": 8, "addresses": []},
            {"name": "n3", "since": AT_SECONDS, "gpus": 1, "addresses": []},
        ],
        "pods": [],
    }


async def test_pods_of_the_service_are_told_that_run_or_should() -> None:
    stored = [
        pod("web-0"), pod("web-1", "Pending"), pod("done", "Succeeded"), pod("unplaced", "Pending", ""),
        pod("going", deletionTimestamp=AT),
    ]  # fmt: skip
    api = Stored(service=SERVICE, pods=stored)
    expected = (await told(api, stage("pod"), TARGET, "shop")).parameters["expected"]  # type: ignore[arg-type]
    assert [each["name"] for each in expected["pods"]] == ["web-0", "web-1"]
    assert expected["pods"][0] == {
        "name": "web-0", "node": "n1", "since": AT_SECONDS, "addresses": ["10.1.0.7", "fd00::7"],
    }  # fmt: skip
    assert api.asked == [("pods", "app=web,tier=front")]


async def test_a_service_without_selector_or_target_without_service_has_no_pods() -> None:
    for api, target in ((Stored(service={"spec": {}}), TARGET), (Stored(), TargetSpec())):
        expected = (await told(api, stage("pod"), target, "shop")).parameters["expected"]  # type: ignore[arg-type]
        assert expected == {"nodes": [], "pods": []}


async def test_other_programs_are_told_nothing_and_nobody_is_asked() -> None:
    other = stage("node", program="sampling")
    assert await told(Stored(), other, TARGET, "shop") is other  # type: ignore[arg-type]


async def test_more_than_a_pod_can_be_told_is_a_sentence() -> None:
    count = MOST_BYTES // 60
    api = Stored(nodes=[node(f"node-{index}") for index in range(count)])
    with pytest.raises(TooMuchError, match=f"{count} nodes and 0 pods should have series.*per: any"):
        await told(api, stage("gpuNode"), TARGET, "shop")  # type: ignore[arg-type]
