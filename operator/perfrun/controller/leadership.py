"""One operator works at a time: a Lease says which.

The client library's election is left aside: it trusts the wall clock, ends on a connection error and keeps the lease
when its holder leaves. Here the holder is the pod, so that a container restarted in it goes on at once; time
is monotonic; who leaves gives the lease back; and who cannot renew stops before another may begin.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote

import attrs

from perfrun.adapters.api import AlreadyExists, Api, NotFound, Refused
from perfrun.api.durations import rfc3339
from perfrun.ports import Clock, Conflict, Unavailable

log = logging.getLogger(__name__)

DURATION: Final = 15.0
"""Seconds after its last renewal at which others take a lease."""

RENEW_EVERY: Final = 3.0
GIVE_UP: Final = 10.0
"""Seconds without a successful renewal after which the holder stops; shorter than DURATION, so that two never work."""


class LeadershipLostError(Exception):
    """The lease could not be renewed in time, or another holds it; whoever led must stop at once."""


@attrs.frozen
class Observed:
    """A state of the lease and when it was first seen, in monotonic seconds."""

    holder: str
    renewed: str
    since: float


def may_take(lease: Observed | None, identity: str, now: float, duration: float) -> bool:
    """Return whether ``identity`` may take the lease: it is free, ours, or has not been renewed for its duration.

    The holder's clock is never compared with ours: what counts is how long we have seen the lease unchanged.
    """
    if lease is None or lease.holder in ("", identity):
        return True
    return now - lease.since >= duration


class Leadership:
    """Holds, renews and gives back one Lease."""

    def __init__(
        self,
        api: Api,
        namespace: str,
        name: str,
        identity: str,
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api = api
        self._path = f"/apis/coordination.k8s.io/v1/namespaces/{quote(namespace)}/leases"
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._clock = clock
        self._monotonic = monotonic
        self._observed: Observed | None = None
        self.leads = False

    async def acquire(self, retry_every: float = RENEW_EVERY) -> None:
        """Return once the lease is ours; waits for as long as another renews it."""
        told = ""
        while not await self._try():
            holder = self._observed.holder if self._observed else ""
            if holder != told:
                log.info("standing by", extra={"holder": holder})
                told = holder
            await asyncio.sleep(retry_every)
        self.leads = True
        log.info("leading", extra={"identity": self._identity})

    async def keep(self, renew_every: float = RENEW_EVERY, give_up: float = GIVE_UP) -> None:
        """Renew for as long as it works; never returns.

        Raises:
            LeadershipLostError: another took the lease, or it could not be renewed in time.
        """
        renewed = self._monotonic()
        while True:
            await asyncio.sleep(renew_every)
            if await self._try():
                renewed = self._monotonic()
                continue
            holder = self._observed.holder if self._observed else ""
            if holder not in ("", self._identity):
                self.leads = False
                msg = f"the lease {self._namespace}/{self._name} went to {holder}"
                raise LeadershipLostError(msg)
            if self._monotonic() - renewed > give_up:
                self.leads = False
                msg = f"the lease {self._namespace}/{self._name} could not be renewed for {give_up:.0f} s"
                raise LeadershipLostError(msg)

    async def release(self) -> None:
        """Give the lease back, so that the next one need not wait; best effort."""
        if not self.leads:
            return
        self.leads = False
        try:
            stored = await self._api.get(f"{self._path}/{quote(self._name)}")
            if stored["spec"].get("holderIdentity") == self._identity:
                await self._write(stored, "", acquired=False)
        except (NotFound, Conflict, Refused, Unavailable) as error:
            log.warning("lease not given back", extra={"error": str(error)})

    async def _try(self) -> bool:
        try:
            return await self._try_once()
        except (Conflict, AlreadyExists, NotFound):
            return False
        except (Unavailable, Refused) as error:
            log.warning("lease not renewed", extra={"error": str(error)})
            return False

    async def _try_once(self) -> bool:
        try:
            stored = await self._api.get(f"{self._path}/{quote(self._name)}")
        except NotFound:
            body = {
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                "metadata": {"name": self._name, "namespace": self._namespace}, "spec": self._spec(0, acquired=True),
            }  # fmt: skip
            await self._api.create(self._path, body)
            return True
        spec = stored.get("spec") or {}
        self._observe(spec)
        duration = float(spec.get("leaseDurationSeconds") or DURATION)
        if not may_take(self._observed, self._identity, self._monotonic(), duration):
            return False
        await self._write(stored, self._identity, acquired=spec.get("holderIdentity") != self._identity)
        return True

    def _observe(self, spec: Mapping[str, Any]) -> None:
        holder, renewed = str(spec.get("holderIdentity") or ""), str(spec.get("renewTime") or "")
        before = self._observed
        if before is None or (before.holder, before.renewed) != (holder, renewed):
            self._observed = Observed(holder, renewed, self._monotonic())

    async def _write(self, stored: dict[str, Any], holder: str, *, acquired: bool) -> None:
        spec = dict(stored.get("spec") or {})
        transitions = int(spec.get("leaseTransitions") or 0) + (1 if acquired and holder else 0)
        spec |= self._spec(transitions, acquired=acquired)
        spec["holderIdentity"] = holder
        await self._api.replace(f"{self._path}/{quote(self._name)}", stored | {"spec": spec})
        self._observe(spec)

    def _spec(self, transitions: int, *, acquired: bool) -> dict[str, Any]:
        now = rfc3339(self._clock.now().astimezone(dt.UTC))
        spec: dict[str, Any] = {
            "holderIdentity": self._identity, "leaseDurationSeconds": int(DURATION), "renewTime": now,
            "leaseTransitions": transitions,
        }  # fmt: skip
        return spec | ({"acquireTime": now} if acquired else {})
