"""What the evidence says of one row; the worst series of what should be there decides."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import attrs
import numpy as np

from perfrun_kernels.prometheus import RawSeries
from perfrun_kernels.telemetry.evidence import Evidence
from perfrun_kernels.telemetry.findings import RowFinding, SeriesFinding
from perfrun_kernels.telemetry.lanes import by_owner, copies, lanes, merged, source
from perfrun_kernels.telemetry.owners import Finder
from perfrun_kernels.telemetry.parameters import Owner, Per
from perfrun_kernels.telemetry.spacing import GAP, Gap, complete, edges, gaps, spacing
from perfrun_kernels.telemetry.window import Window
from perfrun_kernels.telemetry.wording import absence, nobodys, summary, too_short

BEGINNING_SECONDS: Final = 60.0
"""How long after a node or pod began its first sample may come: it has to be discovered first."""

ROUNDING: Final = 0.01
"""Share of the stated interval to which an observed one is rounded: scrapes are some milliseconds early or late."""

LEAST_SAMPLES: Final = 10
"""Fewer samples than these say little of a series' interval where other series have more."""

NOUNS: Final[Mapping[Per, str]] = {"node": "nodes", "gpuNode": "nodes", "pod": "pods", "any": "series"}

Owned = tuple[str | None, RawSeries]


def judge(evidence: Evidence, window: Window, finder: Finder, expected: Sequence[Owner] | None) -> RowFinding:
    """Return what the evidence says; ``expected`` are those who should have a series, None where nobody knows."""
    row = evidence.row
    due = tuple(each for each in expected or () if window.end - each.since > BEGINNING_SECONDS + GAP * row.interval_s)
    names = tuple(each.name for each in due)
    nothing = RowFinding(row, evidence.selector, NOUNS[row.per], expected=names)
    if evidence.reason:
        return attrs.evolve(nothing, reason=evidence.reason, why=evidence.why)
    if not evidence.series:
        reason, why = absence(row, window, anybody=expected is None or bool(expected))
        return attrs.evolve(nothing, missing=names, reason=reason, why=why)
    owned = [("" if row.per == "any" else finder.owner(each.labels), each) for each in evidence.series]
    known = {owner for owner, _ in owned if owner is not None}
    if not known or (names and not known & set(names)):
        return attrs.evolve(nothing, reason="NoOwner", why=nobodys(row, evidence.series, names))
    reach = window.seconds if evidence.oldest is None else evidence.oldest
    if window.kind == "observed" or reach >= window.seconds - GAP * row.interval_s:
        finding = _judged(evidence, window, owned, due)
        return attrs.evolve(finding, why=summary(finding))
    # What is judged is what there is; that it is too short is a finding of its own.
    finding = _judged(evidence, attrs.evolve(window, start=window.end - reach), owned, due)
    return attrs.evolve(finding, reason="ShortHistory", why=too_short(finding, window.seconds))


def _judged(evidence: Evidence, window: Window, owned: Sequence[Owned], due: Sequence[Owner]) -> RowFinding:
    row = evidence.row
    names = [each.name for each in due]
    findings = tuple(_series(evidence, window, owner, each, counts=not due or owner in names) for owner, each in owned)
    counted = [each for each in findings if each.counts]
    groups = by_owner((each.owner, each.series) for each in counted if each.owner is not None)
    everybody = tuple(names or sorted(groups))
    covered = [
        _covered(evidence, window, owner, some, since=next((each.since for each in due if each.name == owner), 0.0))
        for owner, some in groups.items()
    ]
    holes = dict(pair for found, _ in covered for pair in found.items())
    for each in counted:
        for hole in each.gaps:
            holes.setdefault(_place(each.owner or source(each.series), hole), (each.name, hole))
    timed = _timed(counted)
    return RowFinding(
        row, evidence.selector, NOUNS[row.per], findings, everybody, len(groups),
        tuple(each for each in everybody if each not in groups),
        tuple(sorted(holes.values(), key=lambda each: -each[1].seconds)),
        _rounded(_worst(timed, lambda each: each.spacing.interval), ROUNDING * row.interval_s),
        _worst(timed, lambda each: each.spacing.p99), _worst(timed, lambda each: each.spacing.longest),
        _worst(timed, lambda each: each.spacing.jitter),
        min(*(share for _, share in covered), *(each.complete for each in counted)),
        sum(each.spacing.duplicates for each in findings) + copies((each.owner, each.series) for each in findings),
        max((each.skew for each in counted if not math.isnan(each.skew)), key=abs, default=None),
        evidence.stale, evidence.oldest,
    )  # fmt: skip


def _series(evidence: Evidence, window: Window, owner: str | None, series: RawSeries, *, counts: bool) -> SeriesFinding:
    interval = evidence.row.interval_s
    holes = gaps(np.sort(series.times), interval)
    finite = series.values[np.isfinite(series.values)]
    resets = int((np.diff(finite) < 0).sum()) if series.name in evidence.counters else 0
    return SeriesFinding(
        series, owner, counts, spacing(series.times), holes, complete(holes, window.start, window.end, interval),
        resets, evidence.skews.get(series.selector(), math.nan),
    )  # fmt: skip


def _covered(
    evidence: Evidence, window: Window, owner: str, series: Sequence[RawSeries], since: float
) -> tuple[dict[tuple[str, float, float], tuple[str, Gap]], float]:
    """Return where an owner has no sample at all, and the least share of the samples that one of its lanes has."""
    interval, end = evidence.row.interval_s, window.end
    start = max(window.start, since + BEGINNING_SECONDS) if since > window.start else window.start
    anybodys = evidence.row.per == "any"
    found: dict[tuple[str, float, float], tuple[str, Gap]] = {}
    share = 1.0
    for lane in [merged(owner, series)] if anybodys else lanes(owner, series, start, end, interval):
        holes = (*gaps(lane.times, interval), *edges(lane.times, start, end, interval))
        share = min(share, complete(holes, start, end, interval))
        found |= {_place(owner or lane.sources[0], hole): (owner or "all series", hole) for hole in holes}
    return found, share


def _place(where: str, gap: Gap) -> tuple[str, float, float]:
    return where, gap.start, gap.end


def _timed(counted: Sequence[SeriesFinding]) -> list[SeriesFinding]:
    timed = [each for each in counted if each.spacing.samples > 1]
    return [each for each in timed if each.spacing.samples > LEAST_SAMPLES] or timed


def _worst(findings: Iterable[SeriesFinding], value: Callable[[SeriesFinding], float]) -> float | None:
    return max((number for each in findings if not math.isnan(number := value(each))), default=None)


def _rounded(value: float | None, unit: float) -> float | None:
    return None if value is None else round(round(value / unit) * unit, 9)
