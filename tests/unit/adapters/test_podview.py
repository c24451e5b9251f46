"""Every way in which a pod goes wrong, as the API server tells it."""

from __future__ import annotations

import datetime as dt
from typing import Any

import attrs
import pytest

from perfrun.adapters.podview import image_digests, pod_view

CREATED = "2026-01-01T00:00:00Z"
STARTED, FINISHED = "2026-01-01T00:00:05Z", "2026-01-01T00:01:05Z"


def pod(status: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    base = {"name": "p", "namespace": "ns", "uid": "u", "creationTimestamp": CREATED}
    return {"metadata": base | metadata, "spec": {"nodeName": "node1"}, "status": status}


def container(state: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"containerStatuses": [{"name": "benchmark", "state": state, **more}]}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return container({"waiting": {"reason": reason, "message": message}})


def ended(code: int, reason: str, message: str = "") -> dict[str, Any]:
    state = {"exitCode": code, "reason": reason, "startedAt": STARTED, "finishedAt": FINISHED, "message": message}
    return container({"terminated": state})


def scheduled(reason: str, message: str) -> dict[str, Any]:
    return {"conditions": [{"type": "PodScheduled", "status": "False", "reason": reason, "message": message}]}


ROWS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("brand new", {}, {"phase": "Pending", "waiting": "", "reason": ""}),
    ("being made", {"phase": "Pending", **waiting("ContainerCreating")}, {"phase": "Pending", "waiting": ""}),
    ("without an address yet", {"phase": "Pending"}, {"ip": ""}),
    (
        "at an address",
        {"phase": "Running", "podIP": "10.0.1.7", "hostIP": "192.168.0.2", **container({"running": {}})},
        {"phase": "Running", "ip": "10.0.1.7"},
    ),
    (
        "no node has room",
        {"phase": "Pending", **scheduled("Unschedulable", "0/3 nodes are available: 3 Insufficient cpu.")},
        {"waiting": "Unschedulable", "message": "0/3 nodes are available: 3 Insufficient cpu."},
    ),
    (
        "held back by a scheduling gate",
        {"phase": "Pending", **scheduled("SchedulingGated", "gated")},
        {"waiting": "SchedulingGated"},
    ),
    (
        "image is being tried again",
        {"phase": "Pending", **waiting("ImagePullBackOff", "Back-off pulling image")},
        {"waiting": "ImagePullBackOff", "message": "Back-off pulling image"},
    ),
    ("image not there", {"phase": "Pending", **waiting("ErrImagePull", "not found")}, {"waiting": "ErrImagePull"}),
    ("image misspelt", {"phase": "Pending", **waiting("InvalidImageName", "bad")}, {"waiting": "InvalidImageName"}),
    (
        "secret missing",
        {"phase": "Pending", **waiting("CreateContainerConfigError", 'secret "x" not found')},
        {"waiting": "CreateContainerConfigError", "message": 'secret "x" not found'},
    ),
    (
        "running",
        {"phase": "Running", **container({"running": {"startedAt": STARTED}})},
        {"phase": "Running", "started": dt.datetime(2026, 1, 1, 0, 0, 5, tzinfo=dt.UTC), "waiting": ""},
    ),
    (
        "ended well",
        {"phase": "Succeeded", **ended(0, "Completed", '{"outcome": "Completed"}')},
        {
            "phase": "Succeeded",
            "reason": "Completed",
            "exit_code": 0,
            "message": '{"outcome": "Completed"}',
            "finished": dt.datetime(2026, 1, 1, 0, 1, 5, tzinfo=dt.UTC),
        },
    ),
    (
        "exit code",
        {"phase": "Failed", **ended(2, "Error", "boom")},
        {"reason": "Error", "exit_code": 2, "message": "boom"},
    ),
    ("out of memory", {"phase": "Failed", **ended(137, "OOMKilled")}, {"reason": "OOMKilled", "exit_code": 137}),
    (
        "past its deadline",
        {"phase": "Failed", "reason": "DeadlineExceeded", "message": "too long", **ended(143, "Error")},
        {"reason": "DeadlineExceeded", "message": "too long"},
    ),
    (
        "evicted by the kubelet",
        {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."},
        {"reason": "Evicted", "message": "The node was low on resource: memory.", "exit_code": None},
    ),
    (
        "removed for its node's sake",
        {
            "phase": "Failed",
            "conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager"}],
            **ended(137, "Error"),
        },
        {"reason": "Evicted"},
    ),
    ("node silent", {"phase": "Unknown", "reason": "NodeLost"}, {"phase": "Unknown"}),
]


@pytest.mark.parametrize(("status", "expected"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_what_a_pod_says_is_understood(status: dict[str, Any], expected: dict[str, Any]) -> None:
    view = attrs.asdict(pod_view(pod(status)))
    assert {name: view[name] for name in expected} == expected


def test_a_pod_being_deleted_says_so() -> None:
    assert pod_view(pod({"phase": "Running"}, deletionTimestamp=FINISHED)).deleting


def test_image_digests_are_those_of_pods_that_stay() -> None:
    status = {"containerStatuses": [{"name": "web", "imageID": "r/x@sha256:1"}, {"name": "side", "imageID": ""}]}
    leaving = pod(status, name="q", deletionTimestamp=FINISHED)
    assert image_digests([pod(status), leaving, pod({})]) == {"p/web": "r/x@sha256:1"}


def test_a_generator_knows_its_load_and_its_shard() -> None:
    marks = {"perfrun.dev/stage": "s1-load", "perfrun.dev/attempt": "2"}
    index = {"batch.kubernetes.io/job-completion-index": "3"}
    view = pod_view(pod({}, labels=marks, annotations=index))
    assert (view.stage, view.attempt, view.index) == ("s1-load", 2, 3)
    bare = pod_view(pod({}))
    assert (bare.stage, bare.attempt, bare.index) == ("", 0, None)


def test_the_container_that_counts_can_be_another() -> None:
    status = {"containerStatuses": [{"name": "agent", "state": {"terminated": {"exitCode": 3, "message": "m"}}}]}
    assert pod_view(pod({"phase": "Failed", **status}), "agent").exit_code == 3
    assert pod_view(pod({"phase": "Failed", **status})).exit_code is None
