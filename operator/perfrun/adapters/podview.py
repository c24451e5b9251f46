"""A pod's JSON becomes the few facts that decisions need: pure, so that every way a pod can go wrong is a table row."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, Final, Literal, cast

from perfrun.lifecycle.values import PodView
from perfrun.manifests import labels

Phase = Literal["Pending", "Running", "Succeeded", "Failed", "Unknown"]

_PHASES: Final = ("Pending", "Running", "Succeeded", "Failed", "Unknown")
_CONTAINER: Final = "benchmark"
_INDEX: Final = "batch.kubernetes.io/job-completion-index"


def pod_view(pod: Mapping[str, Any], container_name: str = _CONTAINER) -> PodView:
    """Return what decisions need to know of a pod of ours; its container of this name is what counts."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    found = metadata.get("labels") or {}
    phase = status.get("phase")
    container = _container(status, container_name)
    state = container.get("state") or {}
    ended = state.get("terminated") or (container.get("lastState") or {}).get("terminated") or {}
    waiting = _waiting(phase, status, state)
    return PodView(
        name=metadata["name"],
        uid=metadata.get("uid", ""),
        phase=cast("Phase", phase) if phase in _PHASES else "Pending",
        created=_moment(metadata.get("creationTimestamp")) or dt.datetime.fromtimestamp(0, dt.UTC),
        started=_moment((state.get("running") or ended).get("startedAt")),
        finished=_moment(ended.get("finishedAt")),
        waiting=waiting[0],
        reason=_reason(phase, status, ended),
        message=_message(phase, status, ended, waiting[1]),
        exit_code=ended.get("exitCode"),
        node=(pod.get("spec") or {}).get("nodeName", ""),
        deleting=metadata.get("deletionTimestamp") is not None,
        index=completion_index(pod),
        stage=found.get(labels.STAGE, ""),
        attempt=int(number) if (number := found.get(labels.ATTEMPT, "")).isdecimal() else 0,
        ip=status.get("podIP") or "",
    )


def completion_index(pod: Mapping[str, Any]) -> int | None:
    """Return which pod of an Indexed Job it is, or None where it is none."""
    text = (pod["metadata"].get("annotations") or {}).get(_INDEX, "")
    return int(text) if text.isdecimal() else None


def image_digests(pods: list[dict[str, Any]]) -> dict[str, str]:
    """Return the digests of the images that run, by ``pod/container``; pods on their way out are left out."""
    return {
        f"{pod['metadata']['name']}/{container['name']}": container["imageID"]
        for pod in pods
        if pod["metadata"].get("deletionTimestamp") is None
        for container in (pod.get("status") or {}).get("containerStatuses") or ()
        if container.get("imageID")
    }


def _container(status: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    statuses = status.get("containerStatuses") or ()
    return next((each for each in statuses if each.get("name") == name), {})


def _waiting(phase: str | None, status: Mapping[str, Any], state: Mapping[str, Any]) -> tuple[str, str]:
    if phase in ("Succeeded", "Failed"):
        return "", ""
    waiting = state.get("waiting") or {}
    # ContainerCreating and PodInitializing are what every pod goes through, no reason to worry.
    if waiting.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
        return waiting["reason"], waiting.get("message", "")
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return condition.get("reason") or "Unschedulable", condition.get("message", "")
    return "", waiting.get("message", "")


def _reason(phase: str | None, status: Mapping[str, Any], ended: Mapping[str, Any]) -> str:
    if phase != "Failed":
        return str(ended.get("reason", ""))
    disruption = next(
        (
            condition.get("reason", "")
            for condition in status.get("conditions") or ()
            if condition.get("type") == "DisruptionTarget" and condition.get("status") == "True"
        ),
        "",
    )
    # The pod's own reason tells of what was done to it (Evicted, DeadlineExceeded); a disruption explains a pod
    # that was stopped for the node's sake; the container's tells how its process ended.
    own = str(status.get("reason") or "")
    if own:
        return own
    if disruption:
        return "Evicted"
    return str(ended.get("reason", ""))


def _message(phase: str | None, status: Mapping[str, Any], ended: Mapping[str, Any], waiting: str) -> str:
    if phase in ("Succeeded", "Failed"):
        return str(ended.get("message") or status.get("message") or "")
    return waiting or str(status.get("message") or "")


def _moment(text: str | None) -> dt.datetime | None:
    return dt.datetime.fromisoformat(text) if text else None
