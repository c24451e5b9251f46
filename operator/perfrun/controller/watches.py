"""Whether every watch is alive: the question that a silent operator cannot answer by being silent.

Two signs are asked for. Each watch is begun anew at least every ``watch_seconds``, so an answered watch request
that lies longer back means a connection, a task or a server that died. And what perfrun itself wrote must come back
through the watch: where it does not, the stream is open and nothing arrives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import attrs

WATCH_SECONDS: Final = 45
"""Length of one watch request; the server ends it, and the next takes up where it ended."""

LONGEST: Final = 2.5
"""Lengths of a watch request after which one without a sign of life counts as dead."""


@attrs.define
class _Watch:
    opened: float
    answered: bool = False
    seen: int = 0
    owed: int = 0
    owed_since: float = 0.0


class Watches:
    """Signs of life of every watch, by path; ``monotonic`` gives seconds."""

    def __init__(self, paths: Iterable[str], monotonic: Callable[[], float], watch_seconds: float) -> None:
        self._monotonic = monotonic
        self._longest = LONGEST * watch_seconds
        self._watches = {path: _Watch(opened=monotonic()) for path in paths}

    def opened(self, path: str) -> None:
        """Note that the server answered a watch request."""
        watch = self._watches.get(path)
        if watch is not None:
            watch.opened, watch.answered = self._monotonic(), True

    def seen(self, path: str, version: str) -> None:
        """Note that the watch showed an object of this resource version."""
        watch = self._watches.get(path)
        if watch is None or not version.isdecimal():
            return
        watch.seen = max(watch.seen, int(version))
        if watch.owed and watch.seen >= watch.owed:
            watch.owed = 0

    def wrote(self, path: str, version: str) -> None:
        """Note that an object was written at this version, which the watch now owes us.

        Versions of one resource are ordered numbers (guaranteed since Kubernetes 1.35); others are left out.
        """
        watch = self._watches.get(path)
        if watch is None or not version.isdecimal() or watch.seen >= int(version) or watch.owed:
            return
        watch.owed, watch.owed_since = int(version), self._monotonic()

    def all_answered(self) -> bool:
        """Return whether every watch was begun at least once."""
        return all(watch.answered for watch in self._watches.values())

    def ages(self) -> dict[str, float]:
        """Return for each watch the seconds since its last sign of life."""
        now = self._monotonic()
        return {
            path: max(now - watch.opened, now - watch.owed_since if watch.owed else 0.0)
            for path, watch in self._watches.items()
        }

    def dead(self) -> list[str]:
        """Return a sentence for each watch that shows no life."""
        now = self._monotonic()
        return [sentence for path, watch in self._watches.items() if (sentence := self._complaint(path, watch, now))]

    def _complaint(self, path: str, watch: _Watch, now: float) -> str:
        if now - watch.opened > self._longest:
            return f"the watch of {path} has not been answered for {now - watch.opened:.0f} s"
        if watch.owed and now - watch.owed_since > self._longest:
            return f"the watch of {path} has not shown version {watch.owed}, written {now - watch.owed_since:.0f} s ago"
        return ""
