"""Kubernetes Events, told beside the work: what happens next to a run never waits for the news of what happened.

They are kept in order and sent one by one. An Event is a courtesy: one that cannot be recorded is logged and let go,
and so is the newest one where the API server falls far behind.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from perfrun.adapters import writing
from perfrun.adapters.api import AlreadyExists, Api, NotFound, Refused
from perfrun.lifecycle.values import Emit, Ours
from perfrun.ports import Clock, Conflict, Unavailable

log = logging.getLogger(__name__)

_MOST: Final = 1000


class Recorder:
    """Sends Events in the order in which they were told, while ``run`` runs."""

    def __init__(self, api: Api, clock: Clock, instance: str) -> None:
        self._api = api
        self._clock = clock
        self._instance = instance
        self._untold: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue(_MOST)

    def tell(self, about: Ours, event: Emit) -> None:
        """Have an Event recorded soon; never raises and never waits."""
        try:
            self._untold.put_nowait(writing.event_body(about, event, self._clock.now(), self._instance))
        except asyncio.QueueFull:
            log.warning("event let go", extra={"reason": event.reason, "told": event.message})

    async def run(self) -> None:
        """Send what is told; never returns."""
        while True:
            body = await self._untold.get()
            try:
                await self._send(body)
            finally:
                self._untold.task_done()

    async def flush(self) -> None:
        """Return once everything that was told is sent or let go; ``run`` must be running."""
        await self._untold.join()

    async def _send(self, body: Mapping[str, Any]) -> None:
        path = f"/apis/events.k8s.io/v1/namespaces/{quote(body['metadata']['namespace'])}/events"
        try:
            try:
                await self._api.create(path, body)
            except AlreadyExists:
                stored = await self._api.get(f"{path}/{body['metadata']['name']}")
                await self._api.merge(f"{path}/{body['metadata']['name']}", writing.again(stored, self._clock.now()))
        except (Refused, NotFound, Conflict, Unavailable) as error:
            log.warning("event not recorded", extra={"reason": body["reason"], "error": str(error)})
