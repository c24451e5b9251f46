"""The only kopf handlers: each passes what it hears to the hub, and none writes anything.

They are event handlers, not create, update or timer handlers: those would keep annotations and finalizers on people's
objects, and would decide from the order of events what ``decide`` decides from the state of the world.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

import kopf

from perfrun.adapters.reading import PLURALS
from perfrun.api import API_VERSION, GROUP, VERSION
from perfrun.controller.hub import Hub
from perfrun.controller.watches import Watches
from perfrun.lifecycle.values import Kind
from perfrun.manifests import labels


class NoDiffBase(kopf.DiffBaseStorage):
    """Keeps no last-seen state of objects: event handlers need none, and copying every object costs milliseconds."""

    def build(self, *, body: kopf.Body, extra_fields: object = None) -> kopf.BodyEssence:  # noqa: ARG002 -- kopf's signature
        """Return the essence of an object, which is nothing to us."""
        return cast("kopf.BodyEssence", {})

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:  # noqa: ARG002 -- kopf's signature
        """Return what was seen last, which is not kept."""
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        """Keep nothing, so that no annotation of ours ever stands on anybody's object."""


def watched_paths(namespaces: tuple[str, ...]) -> dict[tuple[str, str], str]:
    """Return the path of each watch, by plural and namespace; the namespace is empty where all are watched."""
    bases = dict.fromkeys(PLURALS.values(), f"/apis/{API_VERSION}") | {"pods": "/api/v1"}
    return {
        (plural, namespace): f"{base}/namespaces/{namespace}/{plural}" if namespace else f"{base}/{plural}"
        for plural, base in bases.items()
        for namespace in namespaces or ("",)
    }


def path_of(paths: Mapping[tuple[str, str], str], plural: str, namespace: str) -> str:
    """Return the path of the watch that shows objects of this plural in this namespace."""
    return paths.get((plural, namespace)) or paths.get((plural, ""), "")


def register(registry: kopf.OperatorRegistry, hub: Hub, watches: Watches, paths: Mapping[tuple[str, str], str]) -> None:
    """Register the event handlers: one for each kind of ours, and one for pods."""

    def listen(plural: str, hear: Callable[[Mapping[str, Any], bool], None]) -> Callable[..., Awaitable[None]]:
        # kopf runs plain functions in threads; being a coroutine keeps the order of events.
        async def handler(event: Mapping[str, Any], **_: Any) -> None:
            stored = event["object"]
            metadata = stored["metadata"]
            watches.seen(path_of(paths, plural, metadata["namespace"]), metadata["resourceVersion"])
            hear(stored, event["type"] == "DELETED")

        return handler

    def ours(kind: Kind) -> Callable[[Mapping[str, Any], bool], None]:
        return lambda stored, gone: hub.object_event(kind, stored, gone=gone)

    for kind, plural in PLURALS.items():
        kopf.on.event(GROUP, VERSION, plural, id=plural, registry=registry)(listen(plural, ours(kind)))
    pods = listen("pods", lambda stored, _: hub.pod_event(stored))
    kopf.on.event("", "v1", "pods", labels={labels.RUN: kopf.PRESENT}, id="pods", registry=registry)(pods)


def settle(settings: kopf.OperatorSettings, watch_seconds: int) -> None:
    """Set kopf up to watch, in requests of so many seconds each, and to do nothing else."""
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.watching.server_timeout = watch_seconds
    settings.watching.client_timeout = watch_seconds + 10
    settings.watching.inactivity_timeout = watch_seconds + 15
    settings.watching.connect_timeout = 10
    settings.watching.label_selectors["", "v1", "pods"] = labels.RUN
    settings.networking.request_timeout = 30
    settings.networking.error_backoffs = [0.2, 0.5, 1, 2, 5]
    settings.persistence.finalizer = f"{GROUP}/unused"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=GROUP)
    settings.persistence.diffbase_storage = NoDiffBase()
    settings.queueing.idle_timeout = 1
