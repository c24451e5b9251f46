"""What the evidence says of one row; the worst series of what should be there decides."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import attrs
import numpy as np

from perfrun_kernels.prometheus import RawSeries
from perfrun_kernels.telemetry.evidence import Evidence
from perfrun_kernels.telemetry.lanes import Lane, by_owner, copies, lanes, merged
from perfrun_kernels.telemetry.owners import Finder
from perfrun_kernels.telemetry.parameters import Owner, Row
from perfrun_kernels.telemetry.spacing import GAP, Gap, Spacing, complete, edges, gaps, spacing
from perfrun_kernels.telemetry.window import Window

BEGINNING_SECONDS: Final = 60.0
"""How long after a node or pod began its first sample may come: it has to be discovered first."""

ROUNDING: Final = 0.01
"""Share of the stated interval to which an observed one is rounded: scrapes are some milliseconds early or late."""

LEAST_DIFFERENCES: Final = 10
"""Fewer differences than these say little of a series' interval where other series have more."""


@attrs.frozen(eq=False)
class SeriesFinding:
    """One series: whose it is (None: nobody's that is known), how it is spaced, and its gaps between its own ends."""

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
    """One row: its series, the gaps by where they are, and the numbers of the worst series.

    ``noun`` says what ``expected``, ``present`` and ``missing`` are: nodes, pods or series. Numbers are None where
    there is nothing that they could be of. ``reason`` is empty where all that is to be judged was seen.
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


def judge(
    evidence: Evidence, window: Window, finder: Finder, expected: Sequence[Owner] | None,
) -> RowFinding:  # fmt: skip
    """Return what the evidence says; ``expected`` are those who should have a series, None where nobody knows."""
    row = evidence.row
    noun = {"node": "nodes", "gpuNode": "nodes", "pod": "pods", "any": "series"}[row.per]
    due = tuple(each for each in expected or () if window.end - each.since > BEGINNING_SECONDS + GAP * row.interval_s)
    names = tuple(each.name for each in due)
    nothing = RowFinding(row, evidence.selector, noun, expected=names, missing=names)
    if evidence.reason:
        return attrs.evolve(nothing, missing=(), reason=evidence.reason, why=evidence.why)
    if not evidence.series:
        reason, why = absence(row, window, anybody=expected is None or bool(expected))
        return attrs.evolve(nothing, reason=reason, why=why)
    owned = [(_owner(row, finder, each), each) for each in evidence.series]
    known = {owner for owner, _ in owned if owner is not None}
    if not known or (names and not known & set(names)):
        return attrs.evolve(nothing, missing=(), reason="NoOwner", why=nobodys(row, evidence.series, names))
    return _judged(evidence, window, owned, due)


def absence(row: Row, window: Window, *, anybody: bool) -> tuple[str, str]:
    """Return reason and sentence for a row without any sample; ``anybody``: whether somebody should have some."""
    if row.per == "gpuNode" and not anybody:
        return "NoGPUNode", f"no node has a GPU to give, so that there is no {row.name} to record"
    if row.per == "pod" and not anybody:
        return "NoPod", f"the target's Service has no pod, so that there is no {row.name} to record"
    tried = ", ".join(row.series)
    why = (
        f"Prometheus has no sample of {tried} in the {window.seconds:g} s that are judged: let it scrape what exposes "
        "them (perfrun telemetry rules prints how), or name the series in the target's telemetry.metrics"
    )
    return "NoSuchMetric", why


def nobodys(row: Row, series: Sequence[RawSeries], names: Sequence[str]) -> str:
    """Return the sentence for series that cannot be told apart by whose they are."""
    labels = ", ".join(f"{name}={value}" for name, value in sorted(series[0].labels.items()) if name != "__name__")
    whose = f"none of {', '.join(names[:3])}" if names else f"no {'pod' if row.per == 'pod' else 'node'}"
    return (
        f"{len(series)} series were found and {whose} is named by any of their labels ({labels[:300] or 'none'}): "
        f"state the label in the target's telemetry.metrics for {row.name}"
    )


def _owner(row: Row, finder: Finder, series: RawSeries) -> str | None:
    return "" if row.per == "any" else finder.owner(series.labels)


def _judged(
    evidence: Evidence, window: Window, owned: Sequence[tuple[str | None, RawSeries]], due: Sequence[Owner]
) -> RowFinding:
    row = evidence.row
    names = [each.name for each in due]
    findings = tuple(_series(evidence, window, owner, each, counts=not due or owner in names) for owner, each in owned)
    counted = [each for each in findings if each.counts]
    groups = by_owner((owner, each) for owner, each in owned if owner is not None and (not due or owner in names))
    since = {each.name: each.since + BEGINNING_SECONDS for each in due}
    everybody = names or sorted(groups)
    found: dict[tuple[str, float, float], tuple[str, Gap]] = {}
    shares = [1.0]
    for owner, some in groups.items():
        start = max(window.start, since.get(owner, 0.0))
        for lane in (
            [merged(owner, some)] if row.per == "any" else lanes(owner, some, start, window.end, row.interval_s)
        ):
            holes = _holes(lane, start, window.end, row.interval_s)
            shares.append(complete(holes, start, window.end, row.interval_s))
            found |= {_place(owner, lane.sources[0], hole): (owner or "all series", hole) for hole in holes}
    for each in counted:
        shares.append(each.complete)
        for hole in each.gaps:
            found.setdefault(_place(each.owner or "", _source(each.series), hole), (each.name, hole))
    unreached = window.kind == "recorded" and (evidence.oldest or 0.0) < window.seconds - GAP * row.interval_s
    timed = _timed(counted)
    finding = RowFinding(
        row, evidence.selector, "series" if row.per == "any" else "pods" if row.per == "pod" else "nodes",
        findings, tuple(everybody) if row.per != "any" else ("",), sum(each in groups for each in everybody),
        tuple(each for each in everybody if each not in groups),
        tuple(sorted(found.values(), key=lambda each: -each[1].seconds)),
        _rounded(_worst(timed, lambda each: each.spacing.interval), ROUNDING * row.interval_s),
        _worst(timed, lambda each: each.spacing.p99), _worst(timed, lambda each: each.spacing.longest),
        _worst(timed, lambda each: each.spacing.jitter), min(shares),
        sum(each.spacing.duplicates for each in findings) + copies(
            (owner, each) for owner, each in owned if owner is not None
        ),
        max((each.skew for each in counted if not math.isnan(each.skew)), key=abs, default=None),
        evidence.stale, evidence.oldest,
    )  # fmt: skip
    if unreached:
        return attrs.evolve(finding, reason="ShortHistory", why=_short(finding, window))
    return attrs.evolve(finding, why=summary(finding))


def summary(found: RowFinding) -> str:
    """Return in a sentence how a row is recorded."""
    pace = "each with a single sample" if found.interval is None else (
        f"every {found.interval:g} s (p99 {found.p99:.4g} s, longest {found.longest:.4g} s)"
    )  # fmt: skip
    whose = "" if found.row.per == "any" else f" of {found.present} of {len(found.expected)} {found.noun}"
    lost = f", {len(found.gaps)} gaps" if found.gaps else ""
    return f"{len(found.series)} series{whose}, {pace}; {100 * (found.complete or 0):.4g} % of the samples{lost}"


def _short(found: RowFinding, window: Window) -> str:
    return (
        f"the history of {found.selector} goes back {found.oldest or 0:.0f} s, which is less than the "
        f"{window.seconds:g} s to be judged: wait, or let the target's telemetry.window be auto or observed"
    )


def _series(evidence: Evidence, window: Window, owner: str | None, series: RawSeries, *, counts: bool) -> SeriesFinding:
    interval = evidence.row.interval_s
    holes = gaps(np.sort(series.times), interval)
    finite = series.values[np.isfinite(series.values)]
    resets = int((np.diff(finite) < 0).sum()) if series.name in evidence.counters else 0
    return SeriesFinding(
        series, owner, counts, spacing(series.times), holes, complete(holes, window.start, window.end, interval),
        resets, evidence.skews.get(series.selector(), math.nan),
    )  # fmt: skip


def _holes(lane: Lane, start: float, end: float, interval: float) -> tuple[Gap, ...]:
    return (*gaps(lane.times, interval), *edges(lane.times, start, end, interval))


def _place(owner: str, source: str, gap: Gap) -> tuple[str, float, float]:
    return owner or source, gap.start, gap.end


def _source(series: RawSeries) -> str:
    return ", ".join(value for label in ("job", "instance") if (value := series.labels.get(label)))


def _timed(counted: Sequence[SeriesFinding]) -> list[SeriesFinding]:
    timed = [each for each in counted if each.spacing.samples > 1]
    return [each for each in timed if each.spacing.samples > LEAST_DIFFERENCES] or timed


def _worst(findings: Iterable[SeriesFinding], value: Callable[[SeriesFinding], float]) -> float | None:
    return max((number for each in findings if not math.isnan(number := value(each))), default=None)


def _rounded(value: float | None, unit: float) -> float | None:
    return None if value is None else round(round(value / unit) * unit, 9)
