"""Where objects are in the API, and what an answer is worth where something may as well be missing."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar
from urllib.parse import quote

from perfrun.adapters.api import NotFound
from perfrun.adapters.reading import PLURALS
from perfrun.api import API_VERSION
from perfrun.lifecycle.values import Kind

T = TypeVar("T")


def object_path(kind: Kind, namespace: str, name: str = "") -> str:
    """Return the path of an object of ours, or of all of its kind in a namespace."""
    return in_namespace(f"/apis/{API_VERSION}", namespace, PLURALS[kind], name)


def pods_path(namespace: str, name: str = "") -> str:
    """Return the path of a pod, or of all pods in a namespace."""
    return in_namespace("/api/v1", namespace, "pods", name)


def jobs_path(namespace: str, name: str = "") -> str:
    """Return the path of a Job, or of all Jobs in a namespace."""
    return in_namespace("/apis/batch/v1", namespace, "jobs", name)


def services_path(namespace: str, name: str) -> str:
    """Return the path of a Service."""
    return in_namespace("/api/v1", namespace, "services", name)


def node_path(name: str) -> str:
    """Return the path of a node."""
    return f"/api/v1/nodes/{quote(name)}"


def in_namespace(base: str, namespace: str, plural: str, name: str = "") -> str:
    """Return the path of an object in a namespace, or of all of its kind there; ``base`` is that of the group."""
    path = f"{base}/namespaces/{quote(namespace)}/{plural}"
    return f"{path}/{quote(name)}" if name else path


async def or_none(answer: Awaitable[T]) -> T | None:
    """Return the answer, or None where there is no such object."""
    try:
        return await answer
    except NotFound:
        return None
