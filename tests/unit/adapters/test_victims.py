"""Which pods an agent is told to watch: ready ones of the Service on its node, on the port that they listen on."""

from __future__ import annotations

from typing import Any

import pytest

from perfrun.adapters.victims import Victims, chosen

SERVICE: dict[str, Any] = {
    "spec": {"ports": [{"name": "metrics", "port": 9090}, {"name": "web", "port": 80, "targetPort": "http"}]}
}


def endpoint(pod: str, node: str = "n1", **conditions: bool) -> dict[str, Any]:
    return {"nodeName": node, "targetRef": {"kind": "Pod", "name": pod}, "conditions": {"ready": True} | conditions}


def endpoints(*found: dict[str, Any], port: int = 8080, name: str = "web") -> dict[str, Any]:
    return {"ports": [{"name": "metrics", "port": 9091}, {"name": name, "port": port}], "endpoints": list(found)}


def pod(name: str, *containers: tuple[str, str], **spec: Any) -> dict[str, Any]:
    statuses = [{"name": each, "containerID": identity} for each, identity in containers]
    return {
        "metadata": {"namespace": "shop", "name": name, "uid": f"uid-{name}"}, "spec": spec,
        "status": {"podIP": "10.1.0.7", "containerStatuses": statuses},
    }  # fmt: skip


def names(found: Victims) -> list[Any]:
    return [each["name"] for each in found.pods]


def test_a_pod_is_told_with_all_that_tells_it_from_others() -> None:
    stored = pod("web-0", ("server", "containerd://abc"), ("sidecar", "cri-o://def"), ("starting", ""))
    found = chosen(SERVICE, [endpoints(endpoint("web-0"))], [stored], "n1", 80)
    assert found == Victims(
        8080,
        (
            {
                "namespace": "shop", "name": "web-0", "uid": "uid-web-0", "ip": "10.1.0.7", "host_network": False,
                "containers": [{"name": "server", "id": "abc"}, {"name": "sidecar", "id": "def"}],
            },
        ),
    )  # fmt: skip


def test_only_ready_pods_on_the_node_that_are_there_are_chosen() -> None:
    parts = [
        endpoints(endpoint("web-3"), endpoint("web-1"), endpoint("web-2", ready=False)),
        endpoints(endpoint("web-4", "n2"), endpoint("gone")),
    ]
    stored = [pod(f"web-{i}") for i in range(1, 5)] + [pod("other")]
    assert names(chosen(SERVICE, parts, stored, "n1", 80)) == ["web-1", "web-3"]


def test_of_pods_with_different_ports_those_with_the_first_ones_are_chosen() -> None:
    parts = [endpoints(endpoint("web-2"), port=8081), endpoints(endpoint("web-1"), endpoint("web-3"))]
    found = chosen(SERVICE, parts, [pod(f"web-{i}") for i in (1, 2, 3)], "n1", 80)
    assert (found.port, names(found)) == (8080, ["web-1", "web-3"])


def test_a_port_without_a_name_is_found() -> None:
    parts = [{"ports": [{"port": 8080}], "endpoints": [endpoint("web-1")]}]
    assert chosen({"spec": {"ports": [{"port": 80}]}}, parts, [pod("web-1")], "n1", 80).port == 8080


def test_a_pod_on_the_hosts_network_is_told_to_be() -> None:
    [found] = chosen(SERVICE, [endpoints(endpoint("web-1"))], [pod("web-1", hostNetwork=True)], "n1", 80).pods
    assert found["host_network"] is True


@pytest.mark.parametrize("service", [{}, SERVICE])
def test_nobody_is_an_answer_too(service: dict[str, Any]) -> None:
    assert chosen(service, [], [pod("web-1")], "n1", 80) == Victims(80, ())
