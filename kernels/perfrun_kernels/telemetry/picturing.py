"""Findings as the picture of recorded telemetry takes them."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence

from perfrun_kernels.contract import Attachment
from perfrun_kernels.pictures import telemetry
from perfrun_kernels.pictures.values import Judged, RecordedRow, RecordedSeries, Recording, Stretch
from perfrun_kernels.telemetry.findings import RowFinding, SeriesFinding
from perfrun_kernels.telemetry.lanes import SCRAPES
from perfrun_kernels.telemetry.parameters import Parameters
from perfrun_kernels.telemetry.retention import Retention
from perfrun_kernels.telemetry.window import Window


def picture(wanted: Parameters, window: Window, server: Retention, rows: Sequence[RowFinding]) -> Attachment:
    """Return the picture as a file."""
    title = f"What was recorded of {window.seconds:g} s"
    subtitle = f"{wanted.url}, {window.kind}; {server.why}"
    drawn = tuple(_row(each, wanted.completeness, server) for each in rows)
    text = telemetry.draw(Recording(title, subtitle, window.start, window.end, drawn))
    return Attachment("image/svg+xml", base64.b64encode(text.encode()).decode())


def _row(found: RowFinding, completeness: float, server: Retention) -> RecordedRow:
    row = found.row
    return RecordedRow(
        row.name, found.why, row.interval_s, row.retention_s, judged(found, completeness, server),
        tuple(
            _series(each, name, row.interval_s, completeness)
            for each, name in zip(found.series, names(found.series), strict=True)
        ),
        found.missing, found.oldest,
        server.configured,
    )  # fmt: skip


def judged(found: RowFinding, completeness: float, server: Retention) -> Judged:
    """Return how a row looks beside what is stated of it."""
    if found.reason or found.interval is None or found.complete is None:
        return "unknown"
    short = server.configured is not None and server.configured < found.row.retention_s
    if found.missing or short or found.interval > found.row.interval_s or found.complete < completeness:
        return "bad"
    return "good"


def names(series: Sequence[SeriesFinding]) -> list[str]:
    """Return short names for series of one row: whose each is, and those of its labels in which they differ.

    Where they were scraped is left out of series that are somebody's.
    """
    labels = {label for each in series for label in each.series.labels}
    differing = {label for label in labels if len({each.series.labels.get(label) for each in series}) > 1}
    return [_name(each, sorted(differing - SCRAPES if each.owner else differing)) for each in series]


def _name(found: SeriesFinding, labels: Sequence[str]) -> str:
    own = found.series.labels
    pairs = [f"{label}={own[label]}" for label in labels if own.get(label) and own[label] != found.owner]
    return " ".join([found.owner, *pairs] if found.owner else pairs) or found.name


def _series(found: SeriesFinding, name: str, stated: float, completeness: float) -> RecordedSeries:
    spaced = found.spacing
    slow = math.isnan(spaced.interval) or spaced.interval > stated * 1.01
    return RecordedSeries(
        name, found.series.times, spaced.interval, spaced.p99, spaced.longest, found.complete,
        tuple(Stretch(each.start, each.end, f"{each.missing} missing") for each in found.gaps),
        "unknown" if not found.counts else "bad" if slow or found.complete < completeness else "good",
    )  # fmt: skip
