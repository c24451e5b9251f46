"""What the pictures show: plain values, so that drawing knows nothing of where they came from.

All moments are seconds since the epoch, all stretches of time seconds.
"""

from __future__ import annotations

from typing import Literal

import attrs
import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

Judged = Literal["good", "bad", "unknown"]
"""good: as stated. bad: seen not to be so. unknown: it could not be told."""


@attrs.frozen
class Stretch:
    """A stretch of time, and what is said of it; of a mere moment the end is its start."""

    start: float
    end: float
    words: str = ""


@attrs.frozen(eq=False)
class RecordedSeries:
    """One series of a row.

    ``times`` are those of its samples within the window, sorted. ``interval`` is what is taken for its observed
    interval, ``p99`` and ``longest`` are of the differences of ``times``; NaN where a single sample has none.
    ``complete`` is the share of the expected samples that are there.
    """

    name: str
    times: Numbers
    interval: float
    p99: float
    longest: float
    complete: float
    gaps: tuple[Stretch, ...] = ()
    judged: Judged = "good"


@attrs.frozen(eq=False)
class RecordedRow:
    """One type of metric: what was stated of it, and what was seen.

    ``sentence`` says both in words. ``missing`` names nodes or pods that have no series. ``oldest`` is the age of the
    oldest sample, ``configured`` the retention that the server says it has; None where nobody can tell.
    """

    name: str
    sentence: str
    stated_interval: float
    stated_retention: float
    judged: Judged
    series: tuple[RecordedSeries, ...] = ()
    missing: tuple[str, ...] = ()
    oldest: float | None = None
    configured: float | None = None


@attrs.frozen(eq=False)
class Recording:
    """What a monitoring system has recorded between ``start`` and ``end``; ``title`` and ``subtitle`` go on top."""

    title: str
    subtitle: str
    start: float
    end: float
    rows: tuple[RecordedRow, ...]


@attrs.frozen(eq=False)
class Backtested:
    """One window of a backtest, made at ``origin``; all arrays have one entry for each step, at its end."""

    origin: float
    at: Numbers
    actual: Numbers
    mean: Numbers
    lower: Numbers
    upper: Numbers
    naive: Numbers


@attrs.frozen(eq=False)
class ForetoldMetric:
    """One metric: its history, the backtest that scores its model, and what is foretold from ``made_at`` on.

    ``sentence`` says how good it is, in words; so does ``verdict``, where it is known. ``repaired`` are stretches that
    cleaning changed (a gap, an outlier), ``shifts`` moments at which the level moved (deployments). Arrays of equal
    name have one entry for each step, at its end; a metric that could not be foretold has empty ones.
    """

    name: str
    unit: str
    sentence: str
    made_at: float
    judged: Judged
    history_at: Numbers
    history: Numbers
    backtest: tuple[Backtested, ...] = ()
    at: Numbers = attrs.field(factory=lambda: np.empty(0))
    mean: Numbers = attrs.field(factory=lambda: np.empty(0))
    lower: Numbers = attrs.field(factory=lambda: np.empty(0))
    upper: Numbers = attrs.field(factory=lambda: np.empty(0))
    repaired: tuple[Stretch, ...] = ()
    shifts: tuple[Stretch, ...] = ()
    nominal: float = 0.95


@attrs.frozen(eq=False)
class Foresight:
    """All metrics that were foretold; ``title`` and ``subtitle`` go on top."""

    title: str
    subtitle: str
    metrics: tuple[ForetoldMetric, ...]
