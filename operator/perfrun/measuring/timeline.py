"""What a system did over time under a load: goodput, its lowest point, when it came back, how nodes shared it.

Everything is relative to the same run: a baseline measured just before. Windows are sized so that the randomness of
arrivals alone (Poisson) stays well below what is judged; smaller ones would fail any system, larger ones would hide
the dip.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import attrs

_NOISE_SHARE: Final = 0.2
"""The noise of a goodput window may be this much of the distance between baseline and floor."""


@attrs.frozen
class Window:
    """One stretch of a run.

    ``good`` counts good answers that arrived in it and ``served`` the same by server; the others count requests that
    were due in it, by how they ended.
    """

    ok: int
    error: int
    timeout: int
    never_sent: int
    in_flight: int
    good: int
    served: Mapping[str, int]

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


def _sum(windows: Sequence[Window]) -> Window:
    served: Counter[str] = Counter()
    for window in windows:
        served.update(window.served)
    return Window(
        ok=sum(w.ok for w in windows), error=sum(w.error for w in windows), timeout=sum(w.timeout for w in windows),
        never_sent=sum(w.never_sent for w in windows), in_flight=sum(w.in_flight for w in windows),
        good=sum(w.good for w in windows), served=dict(served),
    )  # fmt: skip


def floor_window(rate: float, floor: float, seconds: float) -> int:
    """Return how many windows of ``seconds`` make one whose Poisson noise cannot be taken for a dip below the floor.

    ``rate`` is the baseline's goodput (1/s) and ``floor`` a share of it (0 to 1). A window of n expected answers has
    a relative standard deviation of 1/√n, which may be a fifth of the distance 1 − floor: five deviations, or one
    false alarm in millions of windows.
    """
    distance = max(1.0 - floor, 0.01)
    answers = 1.0 / (_NOISE_SHARE * distance) ** 2
    return max(1, math.ceil(answers / max(rate * seconds, 1e-9) - 1e-9))


@attrs.frozen
class Floor:
    """The lowest goodput of a run against its own baseline.

    ``lowest`` and ``baseline`` are in answers per second, ``at`` is where the lowest window begins (seconds since the
    epoch) and ``seconds`` how long it is.
    """

    share: float
    lowest: float
    baseline: float
    at: float
    seconds: float


def floor(timeline: Timeline, baseline: float, size: int) -> Floor | None:
    """Return the minimum over sliding windows of ``size`` steps, or None where there are too few or no baseline."""
    if baseline <= 0 or len(timeline.windows) < size:
        return None
    goods = [window.good for window in timeline.windows]
    sums = [sum(goods[at : at + size]) for at in range(len(goods) - size + 1)]
    at = min(range(len(sums)), key=sums.__getitem__)
    length = size * timeline.seconds
    lowest = sums[at] / length
    return Floor(lowest / baseline, lowest, baseline, timeline.start + at * timeline.seconds, length)


@attrs.frozen
class Recovery:
    """When a system was itself again.

    ``seconds`` from t0 to the start of the first sustained good stretch, None where there was none; ``bad`` windows
    lay between. ``last_bad`` is the end of the last bad window after t0, in seconds from t0 (0: there was none).
    """

    seconds: float | None
    bad: int
    last_bad: float


def recovery(
    timeline: Timeline, t0: float, goodput: float, sustained: float, most_spread: float | None = None
) -> Recovery:
    """Find the first stretch of ``sustained`` seconds after ``t0`` in which every window is good.

    A window is good where it has at least ``goodput`` answers per second, every request that was due in it got a good
    answer, and, where ``most_spread`` is given, servers share it within that (see :func:`spread`); the backlog is
    drained once such windows have begun, for a late answer counts against the window in which it was due. The window
    in which ``t0`` lies counts, for the fault may show at once.
    """
    first = max(0, math.floor((t0 - timeline.start) / timeline.seconds + 1e-9))
    after = timeline.windows[first:]
    least = goodput * timeline.seconds
    fine = [
        window.good >= least
        and window.lost == 0
        and (most_spread is None or (shared := spread(window.served)) is None or shared <= most_spread)
        for window in after
    ]
    needed = max(1, math.ceil(sustained / timeline.seconds - 1e-9))
    ends = [timeline.start + (first + at + 1) * timeline.seconds - t0 for at, good in enumerate(fine) if not good]
    for at in range(len(fine) - needed + 1):
        if all(fine[at : at + needed]):
            begins = timeline.start + (first + at) * timeline.seconds - t0
            return Recovery(max(0.0, begins), sum(not good for good in fine[:at]), max(ends, default=0.0))
    return Recovery(None, sum(not good for good in fine), max(ends, default=0.0))


def last_served(timeline: Timeline, server: str) -> float | None:
    """Return the end of the last window in which a server gave a good answer (seconds since the epoch), or None."""
    found = [at for at, window in enumerate(timeline.windows) if window.served.get(server, 0) > 0]
    return timeline.start + (found[-1] + 1) * timeline.seconds if found else None


def spread(served: Mapping[str, int], servers: Sequence[str] = ()) -> float | None:
    """Return (max − min)/mean of answers by server, or None where nothing was served.

    ``servers`` names those that must take part: one that served nothing counts as 0.
    """
    counts = [served.get(name, 0) for name in (set(served) | set(servers))]
    total = sum(counts)
    return (max(counts) - min(counts)) / (total / len(counts)) if total else None


def spread_noise(answers: float, servers: int) -> float:
    """Return what (max − min)/mean is expected to be for perfectly even servers, from Poisson noise alone.

    ``answers`` are those of all servers together. Each server's count deviates by √mean, and the range of k normal
    variables is a known number of deviations (1.128 for two, 3.078 for ten).
    """
    if servers < 2 or answers <= 0:  # noqa: PLR2004 -- one server shares with nobody
        return 0.0
    return _expected_range(servers) / math.sqrt(answers / servers)


def spread_window(rate: float, servers: int, limit: float, seconds: float, noise_share: float = 0.25) -> int:
    """Return how many windows of ``seconds`` make one whose noise is at most ``noise_share`` of a spread limit.

    ``rate`` is in answers per second over all servers, ``limit`` a share (0.1 for 10 %).
    """
    if servers < 2:  # noqa: PLR2004 -- one server shares with nobody
        return 1
    answers = servers * (_expected_range(servers) / (noise_share * limit)) ** 2
    return max(1, math.ceil(answers / max(rate * seconds, 1e-9) - 1e-9))


def _expected_range(count: int) -> float:
    """Return the mean range of ``count`` standard normal variables: ∫ 1 − Φ(x)^k − (1 − Φ(x))^k dx."""
    step = 0.02
    points = [-8 + step * at for at in range(801)]
    heights = [0.5 * (1 + math.erf(x / math.sqrt(2))) for x in points]
    return step * math.fsum(1 - p**count - (1 - p) ** count for p in heights)
