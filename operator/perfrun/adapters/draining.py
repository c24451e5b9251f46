"""Draining a node: nothing new is scheduled onto it, and what runs on it is evicted, as ``kubectl drain`` does it.

Who cordoned a node is noted on the node itself, so that only the run that did takes it back, whatever became of the
operator meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from perfrun.adapters.api import Api, NotFound, Refused
from perfrun.adapters.paths import node_path, or_none, pods_path
from perfrun.manifests import labels
from perfrun.ports import Conflict, Unavailable

log = logging.getLogger(__name__)

Change = Callable[[Mapping[str, Any]], dict[str, Any] | None]
"""From a stored node, the merge patch that changes it, or None where nothing is to be done."""

_TRIES: Final = 5
_AT_ONCE: Final = 8
_MIRROR: Final = "kubernetes.io/config.mirror"


@attrs.frozen
class Draining:
    """Cordons, evicts and uncordons on behalf of runs."""

    api: Api

    async def cordon(self, node: str, run_uid: str) -> None:
        """Cordon a node and evict what may be evicted; asked again, it evicts what could not be evicted before.

        A node that somebody else has cordoned stays theirs.

        Raises:
            Unavailable: the API server did not answer, or refuses to cordon the node.
        """
        await self._patch(node, lambda stored: None if _cordoned(stored) else _mark(run_uid))
        gate = asyncio.Semaphore(_AT_ONCE)

        async def evict(pod: Mapping[str, Any]) -> None:
            async with gate:
                await self._evict(pod)

        on_node = [each async for each in self.api.pages("/api/v1/pods", fields=f"spec.nodeName={node}")]
        await asyncio.gather(*(evict(each) for each in on_node if evictable(each)))

    async def uncordon(self, node: str, run_uid: str) -> None:
        """Let pods be scheduled onto the node again, if this run cordoned it."""
        await self._patch(node, lambda stored: _mark(None) if _cordoned_by(stored) == run_uid else None)

    async def _patch(self, node: str, change: Change) -> None:
        """Change a node from what it is now; kubelets write theirs often, so a conflict is no reason to give up."""
        for _ in range(_TRIES):
            stored = await or_none(self.api.get(node_path(node)))
            patch = None if stored is None else change(stored)
            if stored is None or patch is None:
                return
            patch["metadata"]["resourceVersion"] = stored["metadata"]["resourceVersion"]
            try:
                await self.api.merge(node_path(node), patch)
            except NotFound:
                return
            except Conflict:
                continue
            except Refused as refusal:
                msg = f"node {node} may not be changed: {refusal}"
                raise Unavailable(msg) from refusal
            return
        msg = f"node {node} changed {_TRIES} times while it was to be changed"
        raise Unavailable(msg)

    async def _evict(self, pod: Mapping[str, Any]) -> None:
        metadata = pod["metadata"]
        body = {
            "apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": {"name": metadata["name"], "namespace": metadata["namespace"]},
            "deleteOptions": {"preconditions": {"uid": metadata["uid"]}},
        }  # fmt: skip
        try:
            await self.api.create(f"{pods_path(metadata['namespace'], metadata['name'])}/eviction", body)
        except (NotFound, Conflict):
            return
        except (Refused, Unavailable) as refusal:
            # A disruption budget says "not now" for as long as it has to, and the node is cordoned all the same.
            log.info("not evicted", extra={"pod": f"{metadata['namespace']}/{metadata['name']}", "why": str(refusal)})


def evictable(pod: Mapping[str, Any]) -> bool:
    """Return whether a pod goes when its node is drained: it has an owner that makes it anew elsewhere."""
    metadata = pod["metadata"]
    owner: Mapping[str, Any] = next(
        (each for each in metadata.get("ownerReferences") or () if each.get("controller")), {}
    )
    return (
        bool(owner)
        and owner["kind"] not in ("DaemonSet", "Node")
        and _MIRROR not in (metadata.get("annotations") or {})
        and (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
        and "deletionTimestamp" not in metadata
    )


def _cordoned(node: Mapping[str, Any]) -> bool:
    return bool((node.get("spec") or {}).get("unschedulable"))


def _cordoned_by(node: Mapping[str, Any]) -> str:
    return str((node["metadata"].get("annotations") or {}).get(labels.CORDONED_BY, ""))


def _mark(run_uid: str | None) -> dict[str, Any]:
    """Return the patch that cordons a node for a run, or that uncordons it."""
    return {
        "metadata": {"annotations": {labels.CORDONED_BY: run_uid}},
        "spec": {"unschedulable": True if run_uid else None},
    }
