"""Which keys wait, run and are due: the bookkeeping of the wake queue as plain state, without a clock or a task.

A key that is woken many times while it waits runs once; woken while it runs, it runs once more; no key ever runs
twice at a time. Each key has at most one timer: what its last turn asked for, or its backoff after a failure.
"""

from __future__ import annotations

import datetime as dt
import heapq
import itertools
from collections import deque
from typing import Final

from perfrun.lifecycle.values import Key

FIRST_BACKOFF: Final = dt.timedelta(milliseconds=200)
LONGEST_BACKOFF: Final = dt.timedelta(minutes=1)
PATIENCE: Final = 5
"""Conflicts in a row that are tried again at once; more of them mean a fight with another writer."""

SPIN_GUARD: Final = dt.timedelta(milliseconds=20)
"""Shortest time to a look that a turn asks for; a moment long past must not become a busy loop."""


class Backlog:
    """The state of every key that is not at rest."""

    def __init__(self) -> None:
        self._waiting: deque[Key] = deque()
        self._queued: set[Key] = set()
        self._running: set[Key] = set()
        self._woken: set[Key] = set()
        self._due: dict[Key, dt.datetime] = {}
        self._heap: list[tuple[dt.datetime, int, Key]] = []
        self._order = itertools.count()
        self._failures: dict[Key, int] = {}

    @property
    def waiting(self) -> int:
        """How many keys could run now."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """How many keys run."""
        return len(self._running)

    def wake(self, key: Key) -> None:
        """Let the key run soon; once more, if it runs just now."""
        if key in self._running:
            self._woken.add(key)
        elif key not in self._queued:
            self._queued.add(key)
            self._waiting.append(key)

    def start(self) -> Key | None:
        """Take the key that has waited longest, or None where none waits."""
        if not self._waiting:
            return None
        key = self._waiting.popleft()
        self._queued.discard(key)
        self._running.add(key)
        self._due.pop(key, None)
        return key

    def done(self, key: Key, look_at: dt.datetime | None, now: dt.datetime) -> None:
        """Record that the key's turn went well and when it wants to look again."""
        self._failures.pop(key, None)
        if look_at is not None:
            self._schedule(key, max(look_at, now + SPIN_GUARD))
        self._rest(key)

    def overtaken(self, key: Key, now: dt.datetime, spread: float) -> None:
        """Record that the key's turn met a newer version: it runs again at once, unless that goes on and on."""
        failures = self._failures.get(key, 0)
        if failures < PATIENCE:
            self._failures[key] = failures + 1
            self._woken.add(key)
            self._rest(key)
        else:
            self.failed(key, now, spread)

    def failed(self, key: Key, now: dt.datetime, spread: float) -> dt.timedelta:
        """Record that the key's turn failed and return after how long it is tried again.

        The wait doubles from 0.2 s to 1 min; ``spread`` in [0, 1) takes up to a quarter off it, so that keys that
        failed together do not come back together.
        """
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        # Beyond this exponent the longest wait is reached anyway.
        wait = min(FIRST_BACKOFF * float(1 << min(failures, 16)), LONGEST_BACKOFF) * (1 - spread / 4)
        self._schedule(key, now + wait)
        self._rest(key)
        return wait

    def expire(self, now: dt.datetime) -> None:
        """Wake every key whose time has come."""
        while self._heap and self._heap[0][0] <= now:
            when, _, key = heapq.heappop(self._heap)
            if self._due.get(key) == when:
                del self._due[key]
                self.wake(key)

    def next_due(self) -> dt.datetime | None:
        """Return when ``expire`` will next have something to do."""
        while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def _schedule(self, key: Key, when: dt.datetime) -> None:
        self._due[key] = when
        heapq.heappush(self._heap, (when, next(self._order), key))

    def _rest(self, key: Key) -> None:
        self._running.discard(key)
        if key in self._woken:
            self._woken.discard(key)
            self.wake(key)
