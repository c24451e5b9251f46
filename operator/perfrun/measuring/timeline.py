"""What a system did over time under a load, in windows: what was due, what became of it, and who answered."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import attrs


@attrs.frozen
class Window:
    """One stretch of a run.

    ``good`` counts good answers that arrived in it and ``served`` the same by server; the others count requests that
    were due in it, by how they ended. ``waiting`` is how many requests that were due by then, and were answered well in
    the end, had no answer yet when the window ended (see :func:`with_waiting`); of joined windows it is the most.
    """

    ok: int
    error: int
    timeout: int
    never_sent: int
    in_flight: int
    good: int
    served: Mapping[str, int]
    waiting: int = 0

    @property
    def due(self) -> int:
        """Return how many requests were due in this window."""
        return self.ok + self.error + self.timeout + self.never_sent + self.in_flight

    @property
    def lost(self) -> int:
        """Return how many of them got no good answer."""
        return self.due - self.ok


@attrs.frozen
class Timeline:
    """Windows of ``seconds`` each, from ``start`` (seconds since the epoch) on."""

    start: float
    seconds: float
    windows: tuple[Window, ...]

    def between(self, begin: float, end: float) -> Timeline:
        """Return the windows that lie wholly between two moments (seconds since the epoch)."""
        first = max(0, math.ceil((begin - self.start) / self.seconds - 1e-9))
        last = max(first, math.floor((end - self.start) / self.seconds + 1e-9))
        return Timeline(self.start + first * self.seconds, self.seconds, self.windows[first:last])

    def goodput(self) -> float:
        """Return good answers per second over all windows; 0 where there is none."""
        length = len(self.windows) * self.seconds
        return sum(window.good for window in self.windows) / length if length else 0.0


def merge(parts: Sequence[Timeline]) -> Timeline:
    """Return the timeline of all shards together; they began at the same moment.

    Raises:
        ValueError: there are none, or they differ in window size, or their starts differ by more than half a window.
    """
    if not parts:
        msg = "there is no timeline to merge"
        raise ValueError(msg)
    first = parts[0]
    for part in parts[1:]:
        if part.seconds != first.seconds or abs(part.start - first.start) > first.seconds / 2:
            msg = (
                f"a timeline from {part.start:.3f} in windows of {part.seconds:g} s cannot join one "
                f"from {first.start:.3f} in windows of {first.seconds:g} s: give all shards one start and window"
            )
            raise ValueError(msg)
    longest = max(len(part.windows) for part in parts)
    return Timeline(
        min(part.start for part in parts),
        first.seconds,
        tuple(_sum([part.windows[at] for part in parts if at < len(part.windows)]) for at in range(longest)),
    )


def grouped(timeline: Timeline, size: int) -> Timeline:
    """Return the timeline in windows ``size`` times as long; what does not fill one at the end is left out."""
    windows = timeline.windows
    joined = tuple(_sum(windows[at : at + size]) for at in range(0, len(windows) - size + 1, size))
    return Timeline(timeline.start, timeline.seconds * size, joined)


def with_waiting(timeline: Timeline) -> Timeline:
    """Return the timeline, which must begin with the load, with how many requests waited at the end of each window."""
    waiting, windows = 0, []
    for window in timeline.windows:
        waiting += window.ok - window.good
        windows.append(attrs.evolve(window, waiting=waiting))
    return attrs.evolve(timeline, windows=tuple(windows))


def named(timeline: Timeline, names: Mapping[str, str]) -> Timeline:
    """Return the timeline with servers under other names (pods under those of their nodes); the rest keep theirs."""
    windows = []
    for window in timeline.windows:
        served: Counter[str] = Counter()
        for name, count in window.served.items():
            served[names.get(name, name)] += count
        windows.append(attrs.evolve(window, served=dict(served)))
    return attrs.evolve(timeline, windows=tuple(windows))


def last_served(timeline: Timeline, server: str) -> float | None:
    """Return the end of the last window in which a server gave a good answer (seconds since the epoch), or None."""
    found = [at for at, window in enumerate(timeline.windows) if window.served.get(server, 0) > 0]
    return timeline.start + (found[-1] + 1) * timeline.seconds if found else None


def _sum(windows: Sequence[Window]) -> Window:
    served: Counter[str] = Counter()
    for window in windows:
        served.update(window.served)
    return Window(
        ok=sum(w.ok for w in windows), error=sum(w.error for w in windows), timeout=sum(w.timeout for w in windows),
        never_sent=sum(w.never_sent for w in windows), in_flight=sum(w.in_flight for w in windows),
        good=sum(w.good for w in windows), served=dict(served),
        waiting=max((w.waiting for w in windows), default=0),
    )  # fmt: skip
