"""Runs turns: one task dispatches, at most so many keys at once, and a turn that fails is tried again later."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import Final, Literal

import attrs

from perfrun.controller.backlog import Backlog
from perfrun.lifecycle.values import Key
from perfrun.ports import Clock, Conflict, Unavailable

log = logging.getLogger(__name__)

TURN_TIMEOUT: Final = 120.0
"""Longest time for one turn, seconds; each of its requests has its own, shorter limit."""

_LONGEST_SLEEP: Final = 30.0

Outcome = Literal["done", "overtaken", "unavailable", "failed"]
Work = Callable[[Key], Awaitable[dt.datetime | None]]


@attrs.frozen
class Turn:
    """How one turn went; ``seconds`` is how long it took."""

    key: Key
    outcome: Outcome
    seconds: float


class WakeQueue:
    """Wakes keys and gives each its turn, never two at a time."""

    def __init__(
        self,
        work: Work,
        clock: Clock,
        workers: int = 16,
        told: Callable[[Turn], None] = lambda _: None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._work = work
        self._clock = clock
        self._workers = workers
        self._told = told
        self._chance = chance
        self._backlog = Backlog()
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def depth(self) -> int:
        """How many keys wait for a worker."""
        return self._backlog.waiting

    @property
    def running(self) -> int:
        """How many keys have their turn."""
        return self._backlog.running

    def wake(self, key: Key) -> None:
        """Let the key have a turn soon; cheap, and coalesced."""
        self._backlog.wake(key)
        self._changed.set()

    async def run(self) -> None:
        """Dispatch until cancelled; turns that are under way then end by themselves, see ``drain``."""
        while True:
            self._changed.clear()
            now = self._clock.now()
            self._backlog.expire(now)
            while self._backlog.running < self._workers and (key := self._backlog.start()) is not None:
                task = asyncio.create_task(self._turn(key), name=f"turn of {key.kind} {key.namespace}/{key.name}")
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            due = self._backlog.next_due()
            # The wall clock may be set meanwhile, so no sleep trusts it for long.
            limit = _LONGEST_SLEEP if due is None else min(_LONGEST_SLEEP, max(0.0, (due - now).total_seconds()))
            try:
                await asyncio.wait_for(self._changed.wait(), timeout=limit)
            except TimeoutError:
                continue

    async def drain(self, seconds: float) -> None:
        """Wait up to so many seconds for the turns under way, then cancel what is left."""
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=seconds)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _turn(self, key: Key) -> None:
        began = time.monotonic()
        outcome: Outcome
        try:
            async with asyncio.timeout(TURN_TIMEOUT):
                look_at = await self._work(key)
        except Conflict:
            outcome = "overtaken"
            self._backlog.overtaken(key, self._clock.now(), self._chance())
        except (Unavailable, TimeoutError) as error:
            outcome = "unavailable"
            wait = self._backlog.failed(key, self._clock.now(), self._chance())
            log.warning("turn put off", extra={**named(key), "error": str(error), "again_s": wait.total_seconds()})
        except Exception:
            # Whatever it was, other keys go on, and this one is tried again.
            outcome = "failed"
            wait = self._backlog.failed(key, self._clock.now(), self._chance())
            log.exception("turn failed", extra={**named(key), "again_s": wait.total_seconds()})
        else:
            outcome = "done"
            self._backlog.done(key, look_at, self._clock.now())
        self._changed.set()
        self._told(Turn(key, outcome, time.monotonic() - began))


def named(key: Key) -> dict[str, str]:
    """Return the key as fields of a log record."""
    return {"kind": key.kind, "namespace": key.namespace, "object": key.name}
