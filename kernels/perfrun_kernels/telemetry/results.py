"""Findings as a result has them: scalars and facts by row, and everything series by series in a file."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from perfrun_kernels.contract import Attachment, Scalar
from perfrun_kernels.program import Fact
from perfrun_kernels.telemetry.findings import RowFinding, SeriesFinding
from perfrun_kernels.telemetry.retention import Retention
from perfrun_kernels.telemetry.spacing import Gap
from perfrun_kernels.telemetry.window import Window

MOST_BYTES: Final = 1024
"""Length of a fact that lists things."""

MOST_GAPS: Final = 20
MOST_SERIES: Final = 2000
"""Series that the file lists, those with the largest gaps first."""


def scalars(found: RowFinding) -> dict[str, Scalar]:
    """Return the row's numbers, each named by its key."""
    key, nothing = found.row.key, found.why or "there is no series of it"
    single = nothing if found.reason else "no series has two samples in the window"
    undated = nothing if found.reason else "the series' scrapes left no `up` to compare their dates with"
    numbers = {
        "interval": _scalar("s", found.interval, single),
        "interval.p99": _scalar("s", found.p99, single),
        "interval.max": _scalar("s", found.longest, single),
        "jitter": _scalar("s", found.jitter, single),
        "present": Scalar(found.noun, float(found.present)),
        "expected": Scalar(found.noun, float(len(found.expected))),
        "series": Scalar("series", float(len(found.series))),
        "samples": Scalar("samples", float(found.samples)),
        "complete": _scalar("ratio", found.complete, nothing),
        "gaps": Scalar("gaps", float(len(found.gaps))),
        "resets": Scalar("resets", float(found.resets)),
        "duplicates": Scalar("duplicates", float(found.duplicates)),
        "stale": Scalar("markers", float(found.stale)),
        "skew": _scalar("s", found.skew, undated),
        "oldest": _scalar("s", found.oldest, nothing),
    }
    return {f"{key}.{name}": each for name, each in numbers.items()}


def facts(found: RowFinding) -> dict[str, Fact]:
    """Return what the row's numbers do not say."""
    key = found.row.key
    where = listed(
        f"{place}{f' and {others} more' if others else ''} from {_clock(gap.start)} for {gap.seconds:.4g} s"
        for place, gap, others in together(found.gaps, found.row.interval_s)[:MOST_GAPS]
    )
    return {
        f"{key}.selector": found.selector, f"{key}.missing": listed(found.missing), f"{key}.gaps.where": where,
        f"{key}.reason": found.reason, f"{key}.why": found.why,
    }  # fmt: skip


def kept(server: Retention) -> tuple[dict[str, Scalar], dict[str, Fact]]:
    """Return scalars and facts of the server's retention."""
    told: dict[str, Fact] = {
        "retention.size_limited": server.size_limited, "retention.deleted": server.deleted, "retention.why": server.why,
    }  # fmt: skip
    return {"retention.configured": _scalar("s", server.configured, server.why)}, told


def series(window: Window, server: Retention, rows: Sequence[RowFinding]) -> Attachment:
    """Return everything, series by series, as a file."""
    data = {
        "window": {"start": window.start, "end": window.end, "kind": window.kind},
        "retention": {"configured": server.configured, "sizeLimited": server.size_limited, "why": server.why},
        "rows": [_row(each) for each in rows],
    }
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return Attachment("application/json", base64.b64encode(text.encode()).decode())


def together(gaps: Sequence[tuple[str, Gap]], interval: float) -> list[tuple[str, Gap, int]]:
    """Return each gap with how many others there are at the same time elsewhere, which are then left out.

    At the same time: both ends are within an interval, as when Prometheus itself was down.
    """
    found: list[tuple[str, Gap, int]] = []
    for place, gap in gaps:
        for index, (first, like, others) in enumerate(found):
            if abs(gap.start - like.start) <= interval and abs(gap.end - like.end) <= interval:
                found[index] = (first, like, others + 1)
                break
        else:
            found.append((place, gap, 0))
    return found


def listed(words: Iterable[str]) -> str:
    """Return the words in one text of at most MOST_BYTES, with how many did not fit."""
    found = list(words)
    for count in range(len(found), 0, -1):
        rest = f" and {len(found) - count} more" if count < len(found) else ""
        text = ", ".join(found[:count]) + rest
        if len(text.encode()) <= MOST_BYTES:
            return text
    return f"{len(found)} of them" if found else ""


def _row(found: RowFinding) -> dict[str, Any]:
    ranked = sorted(found.series, key=lambda each: each.complete)[:MOST_SERIES]
    return {
        "name": found.row.name, "selector": found.selector, "reason": found.reason, "why": found.why,
        "statedInterval": found.row.interval_s, "statedRetention": found.row.retention_s,
        "expected": list(found.expected), "missing": list(found.missing), "oldest": found.oldest,
        "gaps": [{"of": place, **_gap(gap)} for place, gap in found.gaps[:MOST_SERIES]],
        "series": [_one(each) for each in ranked], "unlisted": len(found.series) - len(ranked),
    }  # fmt: skip


def _one(found: SeriesFinding) -> dict[str, Any]:
    spaced = found.spacing
    numbers = {
        "interval": spaced.interval, "p99": spaced.p99, "longest": spaced.longest, "jitter": spaced.jitter,
        "skew": found.skew,
    }  # fmt: skip
    return {
        "series": found.name, "of": found.owner, "counts": found.counts, "samples": spaced.samples,
        "first": float(found.series.times[0]), "last": float(found.series.times[-1]), "complete": found.complete,
        "resets": found.resets, "duplicates": spaced.duplicates, "unordered": spaced.unordered,
        "gaps": list(_longest(found.gaps)),
    } | {name: None if math.isnan(value) else value for name, value in numbers.items()}  # fmt: skip


def _longest(gaps: Iterable[Gap]) -> Iterator[dict[str, float]]:
    return (_gap(each) for each in sorted(gaps, key=lambda gap: -gap.seconds)[:MOST_GAPS])


def _gap(gap: Gap) -> dict[str, float]:
    return {"from": gap.start, "to": gap.end, "missing": gap.missing}


def _scalar(unit: str, value: float | None, reason: str) -> Scalar:
    return Scalar(unit, value) if value is not None else Scalar(unit, None, reason)


def _clock(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
