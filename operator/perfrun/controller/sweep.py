"""Evidence outlives its run only by mistake: what belongs to no run any more is removed."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from perfrun.adapters.artifacts import FsspecArtifacts
from perfrun.adapters.kubernetes import KubernetesCluster
from perfrun.ports import Unavailable, artifact_root

log = logging.getLogger(__name__)

EVERY: Final = 3600.0
"""Seconds between sweeps; deletions that are noticed are swept at once."""


class Sweeper:
    """Removes the evidence of runs that went; one instance serves the whole operator."""

    def __init__(self, artifacts: FsspecArtifacts, cluster: KubernetesCluster, namespaces: tuple[str, ...]) -> None:
        self._artifacts = artifacts
        self._cluster = cluster
        self._namespaces = namespaces
        self._gone: asyncio.Queue[str] = asyncio.Queue()

    def orphaned(self, uid: str) -> None:
        """Have the evidence of a run removed that was just deleted."""
        self._gone.put_nowait(uid)

    async def run(self) -> None:
        """Sweep once, then remove what is reported and sweep now and then; never returns."""
        while True:
            try:
                await self._sweep()
                async with asyncio.timeout(EVERY):
                    while True:
                        await self._artifacts.delete_tree(artifact_root(await self._gone.get()))
            except TimeoutError:
                continue
            except Unavailable as error:
                log.warning("evidence not swept", extra={"error": str(error)})
                await asyncio.sleep(EVERY / 60)

    async def _sweep(self) -> None:
        # Stored first and listed second: whatever has evidence already was a run before it was asked for.
        stored = await self._artifacts.children("runs")
        if not stored:
            return
        alive = await self._cluster.run_uids(self._namespaces)
        for uid in stored:
            if uid not in alive:
                await self._artifacts.delete_tree(artifact_root(uid))
                log.info("evidence swept", extra={"uid": uid})
