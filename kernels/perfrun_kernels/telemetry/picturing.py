"""Findings as the picture of recorded telemetry takes them."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence

from perfrun_kernels.contract import Attachment
from perfrun_kernels.pictures import telemetry
from perfrun_kernels.pictures.values import Judged, RecordedRow, RecordedSeries, Recording, Stretch
from perfrun_kernels.telemetry.findings import RowFinding, SeriesFinding
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
        tuple(_series(each, row.interval_s, completeness) for each in found.series), found.missing, found.oldest,
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


def _series(found: SeriesFinding, stated: float, completeness: float) -> RecordedSeries:
    spaced = found.spacing
    slow = math.isnan(spaced.interval) or spaced.interval > stated * 1.01
    return RecordedSeries(
        found.name, found.series.times, spaced.interval, spaced.p99, spaced.longest, found.complete,
        tuple(Stretch(each.start, each.end, f"{each.missing} missing") for each in found.gaps),
        "unknown" if not found.counts else "bad" if slow or found.complete < completeness else "good",
    )  # fmt: skip
