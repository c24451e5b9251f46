"""What is asked of the bottlenecks, and what is found: plain values.

Moments are seconds since the epoch. A share is a ratio, 0 to 1; so is a utilisation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import attrs
import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

WINDOW_SECONDS: Final = 7 * 86_400.0
"""How much history is looked at: a week has the loads of all its days, and deployments change demands sooner or
later."""

STEP_SECONDS: Final = 300.0

Standing = Literal["saturated", "growing", "steady", "unknown"]
"""saturated: it is full, or work waits for it, at the loads that were seen. growing: its use grows with throughput, so
the throughput at which it is full follows. steady: its use does not follow throughput. unknown: it has no data."""


@attrs.frozen
class Resource:
    """Queries of one resource: use as a ratio, and, where there are such, work that waits and errors per second."""

    utilization: str
    saturation: str | None = None
    errors: str | None = None


@attrs.frozen
class Wanted:
    """What is to be read; ``concurrency`` is empty where it is throughput times latency (Little's law).

    ``confidence`` is that of every interval.
    """

    resources: Mapping[str, Resource]
    throughput: str
    latency: str = ""
    concurrency: str = ""
    confidence: float = 0.99


@attrs.frozen
class Interval:
    """An estimate with its bounds; an ``upper`` of None: no bound is known."""

    value: float
    lower: float
    upper: float | None


@attrs.frozen
class Missing:
    """Why something is not known: one CamelCase word, and a sentence."""

    reason: str
    sentence: str


@attrs.frozen(eq=False)
class Curve:
    """Values of one series on the common grid, NaN where there is none; ``instance`` tells it from its siblings."""

    instance: str
    values: Numbers


@attrs.frozen(eq=False)
class Readings:
    """A resource as it was read: use of each instance, and waiting and errors by the name of the instance.

    ``missing`` says why there is no use at all, ``partly`` what else of it could not be read.
    """

    name: str
    use: tuple[Curve, ...]
    waiting: Mapping[str, Numbers]
    errors: Mapping[str, Numbers]
    missing: Missing | None = None
    partly: tuple[Missing, ...] = ()


@attrs.frozen(eq=False)
class Observed:
    """All that was read, on one grid of moments; what is not there has its reason instead."""

    at: Numbers
    throughput: Numbers | Missing
    concurrency: Numbers | Missing
    resources: tuple[Readings, ...]


@attrs.frozen(eq=False)
class Ranked:
    """One resource in its worst instance.

    ``mean``, ``p95`` and ``most`` are its utilisation, ``waits`` is the share of time in which work waited for it,
    ``waiting`` how much of it on average and ``errors`` errors per second; None where nobody can tell. ``full_at`` is
    the throughput at which it is full: its use is ``idle`` plus ``slope`` times throughput. ``first`` is the share of
    resamples in which no other resource is full before it. ``bent``: its use grows faster at high throughput than the
    line says. ``use`` has its points.
    """

    name: str
    instance: str
    standing: Standing
    mean: float = 0.0
    p95: float = 0.0
    most: float = 0.0
    waits: float | None = None
    waiting: float | None = None
    errors: float | None = None
    idle: float = 0.0
    slope: float = 0.0
    full_at: Interval | None = None
    first: float | None = None
    bent: bool = False
    missing: Missing | None = None
    partly: tuple[Missing, ...] = ()
    use: Numbers = attrs.field(factory=lambda: np.empty(0))


@attrs.frozen
class Law:
    """The Universal Scalability Law as fitted: X(N) = lambda N / (1 + sigma (N − 1) + kappa N (N − 1)).

    ``peak`` is the highest throughput that it allows and ``at`` the concurrency there; None where none is in
    sight. ``error`` is the typical relative distance of a point from the curve.
    """

    lambda_: Interval
    sigma: Interval
    kappa: Interval
    peak: Interval | None
    at: Interval | None
    error: float


@attrs.frozen(eq=False)
class Ranking:
    """What was found; resources in the order in which they saturate."""

    start: float
    end: float
    step: float
    confidence: float
    resources: tuple[Ranked, ...]
    law: Law | Missing
    throughput: Numbers | Missing
    concurrency: Numbers | Missing

    @property
    def seen(self) -> float | None:
        """The highest throughput that was seen, None where there is none."""
        if isinstance(self.throughput, Missing):
            return None
        return float(np.nanmax(self.throughput))
