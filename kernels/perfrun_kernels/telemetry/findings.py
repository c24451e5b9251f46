"""What was found of one series and of one row: values that results and pictures are made of."""

from __future__ import annotations

import attrs

from perfrun_kernels.prometheus import RawSeries
from perfrun_kernels.telemetry.parameters import Row
from perfrun_kernels.telemetry.spacing import Gap, Spacing


@attrs.frozen(eq=False)
class SeriesFinding:
    """One series: how it is spaced, its gaps between its own ends, and the share of the window's samples they leave.

    ``owner`` is whose it is, None where no label says so. ``counts``: it belongs to what should be there, so that it
    can be the worst. ``skew`` is in seconds, NaN where there is nothing to compare its dates with.
    """

    series: RawSeries
    owner: str | None
    counts: bool
    spacing: Spacing
    gaps: tuple[Gap, ...]
    complete: float
    resets: int
    skew: float

    @property
    def name(self) -> str:
        """Its selector."""
        return self.series.selector()


@attrs.frozen(eq=False)
class RowFinding:
    """One row: its series, the gaps by where they are (longest first), and the numbers of the worst series.

    ``noun`` says what ``expected``, ``present`` and ``missing`` are: nodes, pods or series. Numbers are None where
    there is nothing that they could be of. ``reason`` is empty where all that is to be judged was seen; ``why`` is a
    sentence either way.
    """

    row: Row
    selector: str
    noun: str
    series: tuple[SeriesFinding, ...] = ()
    expected: tuple[str, ...] = ()
    present: int = 0
    missing: tuple[str, ...] = ()
    gaps: tuple[tuple[str, Gap], ...] = ()
    interval: float | None = None
    p99: float | None = None
    longest: float | None = None
    jitter: float | None = None
    complete: float | None = None
    duplicates: int = 0
    skew: float | None = None
    stale: int = 0
    oldest: float | None = None
    reason: str = ""
    why: str = ""

    @property
    def resets(self) -> int:
        """Resets of all counters."""
        return sum(each.resets for each in self.series)

    @property
    def samples(self) -> int:
        """Samples of all series."""
        return sum(each.spacing.samples for each in self.series)
