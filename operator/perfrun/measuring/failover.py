"""How deep a system fell when something of it failed, and when it was itself again.

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

from perfrun.measuring.ledger import share
from perfrun.measuring.looks import spent
from perfrun.measuring.spread import range_quantile, spread
from perfrun.measuring.timeline import Timeline, Window

_NOISE_SHARE: Final = 0.16
"""The noise of a goodput window may be this much of the distance between baseline and floor."""

_SURE: Final = 0.999
_ROUNDING: Final = 1e-9


def floor_window(rate: float, floor: float, seconds: float) -> int:
    """Return how many windows of ``seconds`` make one whose Poisson noise cannot be taken for a dip below the floor.

    ``rate`` is the baseline's goodput (1/s) and ``floor`` a share of it (0 to 1). A window of n expected answers has
    a relative standard deviation of 1/√n, which may be a sixth of the distance 1 − floor: the lowest of hundreds of
    windows lies three to four deviations down by chance alone, and its bound two more.
    """
    distance = max(1.0 - floor, 0.01)
    answers = 1.0 / (_NOISE_SHARE * distance) ** 2
    return max(1, math.ceil(answers / max(rate * seconds, _ROUNDING) - _ROUNDING))


@attrs.frozen
class Floor:
    """The lowest goodput of a run against its own baseline, as a share of that with its one-sided bounds.

    ``lowest`` and ``baseline`` are in answers per second, ``at`` is where the lowest window begins (seconds since the
    epoch) and ``seconds`` how long it is. ``answers`` came in it and in the baseline together.
    """

    share: float
    lower: float
    upper: float
    lowest: float
    baseline: float
    at: float
    seconds: float
    answers: int


def floor(timeline: Timeline, baseline: Timeline, size: int, confidence: float) -> Floor | None:
    """Return the minimum over sliding windows of ``size`` steps, or None where there are too few or no baseline.

    The bounds are those of a ratio of two Poisson rates: given their sum, one count is binomial. That some window is
    truly below a level is refuted by the lowest count alone, since that one's own count is no lower; that the lowest
    is truly so low must hold for whichever of all windows it was.
    """
    normal = sum(window.good for window in baseline.windows)
    if normal <= 0 or len(timeline.windows) < size:
        return None
    goods = [window.good for window in timeline.windows]
    sums = [sum(goods[at : at + size]) for at in range(len(goods) - size + 1)]
    at = min(range(len(sums)), key=sums.__getitem__)
    length, before = size * timeline.seconds, len(baseline.windows) * baseline.seconds
    scale = before / length
    return Floor(
        share=sums[at] / normal * scale,
        lower=_odds(share(sums[at], sums[at] + normal, confidence).lower) * scale,
        upper=_odds(share(sums[at], sums[at] + normal, spent(confidence, len(sums))).upper) * scale,
        lowest=sums[at] / length, baseline=normal / before,
        at=timeline.start + at * timeline.seconds, seconds=length, answers=sums[at] + normal,
    )  # fmt: skip


def _odds(chance: float) -> float:
    return chance / (1.0 - chance) if chance < 1.0 else math.inf


@attrs.frozen
class Normal:
    """What a window must be like for the system to count as itself.

    ``goodput`` is the least number of good answers per second, ``spread`` the largest (max − min)/mean among
    ``servers`` (None: not asked for), ``waiting`` the most requests that may wait for an answer.
    """

    goodput: float
    servers: tuple[str, ...] = ()
    spread: float | None = None
    waiting: float = math.inf


@attrs.frozen
class Recovery:
    """When a system was itself again.

    ``seconds`` from t0 to the start of the first sustained good stretch, None where there was none; ``bad`` windows
    lay between. ``last_bad`` is the end of the last bad window after t0, in seconds from t0 (0: there was none).
    ``causes`` counts bad windows by what was wrong with them: goodput, lost, spread, backlog, idle (a server had no
    part in a stretch that was good otherwise).
    """

    seconds: float | None
    bad: int
    last_bad: float
    causes: Mapping[str, int] = attrs.field(factory=dict)


def recovery(timeline: Timeline, t0: float, normal: Normal, sustained: float) -> Recovery:
    """Find the first stretch of ``sustained`` seconds after ``t0`` in which every window is good.

    A window is good where it is as ``normal`` asks and every request that was due in it got a good answer; a late
    one counts against the window in which it was due. The window in which ``t0`` lies counts, for the fault may show
    at once.
    """
    first = max(0, math.floor((t0 - timeline.start) / timeline.seconds + _ROUNDING))
    after = timeline.windows[first:]
    wrongs = [_wrong(window, normal, timeline.seconds) for window in after]
    ends = [timeline.start + (first + at + 1) * timeline.seconds - t0 for at, wrong in enumerate(wrongs) if wrong]
    causes = Counter(cause for wrong in wrongs for cause in wrong)
    needed = max(1, math.ceil(sustained / timeline.seconds - _ROUNDING))
    for at in range(len(after) - needed + 1):
        if any(wrongs[at : at + needed]):
            continue
        if _idle(after[at : at + needed], normal.servers):
            causes["idle"] += 1
            continue
        begins = timeline.start + (first + at) * timeline.seconds - t0
        return Recovery(max(0.0, begins), sum(map(bool, wrongs[:at])), max(ends, default=0.0), dict(causes))
    return Recovery(None, sum(map(bool, wrongs)), max(ends, default=0.0), dict(causes))


def spread_bound(usual: float, clustering: float, answers: float, servers: int) -> float:
    """Return the (max − min)/mean that chance adds to the usual one in one of a thousand windows of ``answers``.

    ``usual`` is the baseline's own spread, ``clustering`` how many answers are worth one that comes on its own.
    """
    deviation = math.sqrt(max(1.0, clustering) * servers / max(answers, _ROUNDING))
    return usual + range_quantile(servers, _SURE) * deviation


def _wrong(window: Window, normal: Normal, seconds: float) -> tuple[str, ...]:
    wrong = []
    if window.good < normal.goodput * seconds:
        wrong.append("goodput")
    if window.lost:
        wrong.append("lost")
    if window.waiting > normal.waiting:
        wrong.append("backlog")
    if normal.spread is not None:
        shared = spread({name: window.served.get(name, 0) for name in normal.servers})
        if shared is not None and shared > normal.spread:
            wrong.append("spread")
    return tuple(wrong)


def _idle(stretch: Sequence[Window], servers: Sequence[str]) -> bool:
    return any(all(window.served.get(name, 0) == 0 for window in stretch) for name in servers)
