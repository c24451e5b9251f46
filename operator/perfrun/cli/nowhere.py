"""Metrics and artifacts for whoever drives a run only to undo what it did: nothing is asked, and nothing is kept."""

from __future__ import annotations

from perfrun.api.run import ArtifactLink, TimeWindow
from perfrun.api.target import Prometheus
from perfrun.capabilities.base import QueryAnswer

_WHY = "the run was driven by perfrun chaos undo, which only undoes"


class NoMetrics:
    """Implements ports.Metrics."""

    async def instant(self, server: Prometheus, query: str, window: TimeWindow) -> QueryAnswer:
        """Answer that nothing was asked."""
        return QueryAnswer(query=query, window=window, url=server.url, error=f"not asked: {_WHY}")

    async def range(self, server: Prometheus, query: str, window: TimeWindow) -> QueryAnswer:
        """Answer that nothing was asked."""
        return await self.instant(server, query, window)


class NoArtifacts:
    """Implements ports.Artifacts."""

    async def put(self, path: str, content: bytes) -> ArtifactLink:
        """Refuse, so that the run tells that its evidence was not stored."""
        msg = f"{len(content)} bytes were not kept as {path}: {_WHY}"
        raise OSError(msg)

    async def get(self, path: str) -> tuple[ArtifactLink, bytes] | None:  # noqa: ARG002 -- the port's signature
        """Find nothing."""
        return None

    async def delete_tree(self, path: str) -> None:
        """Leave what an operator keeps alone."""
