"""The picture of what was recorded: for each series where its samples are in the window, and how far apart they are.

Of a row with many series the worst are shown, as those are what a person looks for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

import numpy as np

from perfrun_kernels.pictures import svg
from perfrun_kernels.pictures.svg import AMBER, BLUE, DIM, FAINT, INK, JUDGED, RED, RULE, SKY, Card, Scale, text
from perfrun_kernels.pictures.values import RecordedRow, RecordedSeries, Recording, Stretch

MOST_SERIES: Final = 8
"""Series of a row that are shown; there are as many lines for what is missing."""

_NAME, _STRIP, _STRIP_END = 212, 224, 800
_DOTS, _DOTS_END, _SAID_END = 836, 1090, 1212
_LINE, _BAR = 19, 11
_TITLE, _SENTENCE, _AXIS, _KEPT = 30, 16, 26, 40
_BINS: Final = 144
_ROOM: Final = svg.WIDTH - 56
_WIDE: Final = 3.0
_SHADES: Final = {2: (SKY, 0.85), 1: (AMBER, 0.9), 0: (RED, 0.16)}
_RANKS: Final = {"bad": 0, "unknown": 1, "good": 2}


def draw(recording: Recording) -> str:
    """Return the picture as an SVG document."""
    parts: list[str] = []
    top = float(svg.HEAD)
    for row in recording.rows:
        card = Card(top, _height(row))
        parts.extend(card.frame(JUDGED[row.judged]))
        parts.extend(_row(row, recording, top))
        top = card.next
    parts.extend(_legend(top))
    return svg.page(recording.title, recording.subtitle, top + 30, parts)


def _said(row: RecordedRow) -> list[str]:
    return svg.wrapped(row.sentence, _ROOM, 11.5, 3)


def _shown(row: RecordedRow) -> list[RecordedSeries]:
    worst = sorted(row.series, key=lambda each: (_RANKS[each.judged], round(each.complete, 3), _natural(each.name)))
    return worst[:MOST_SERIES]


def _natural(name: str) -> list[tuple[int, str]]:
    """Return what sorts node-10 behind node-9."""
    return [(int(part) if part.isdecimal() else -1, part) for part in re.split(r"(\d+)", name)]


def _lines(row: RecordedRow) -> int:
    missing = min(len(row.missing), MOST_SERIES)
    more = int(len(row.series) > MOST_SERIES) + int(len(row.missing) > MOST_SERIES)
    return missing + min(len(row.series), MOST_SERIES) + more


def _height(row: RecordedRow) -> float:
    body = _AXIS + _LINE * _lines(row) + 6 if _lines(row) else 0
    return _TITLE + _SENTENCE * len(_said(row)) + body + _KEPT


def _row(row: RecordedRow, recording: Recording, top: float) -> Iterator[str]:
    yield text(28, top + 23, row.name, size=14, weight="bold")
    stated = f"stated: every {svg.duration(row.stated_interval)}, kept {svg.duration(row.stated_retention)}"
    yield text(_SAID_END, top + 23, stated, size=11, fill=DIM, anchor="end")
    y = top + _TITLE + 10
    for words in _said(row):
        yield text(28, y, words, size=11.5, fill=DIM)
        y += _SENTENCE
    if _lines(row):
        window = Scale(recording.start, recording.end, _STRIP, _STRIP_END)
        yield from _lanes(row, window, y + _AXIS - 14)
    yield from _kept(row, top + _height(row) - _KEPT + 4)


def _lanes(row: RecordedRow, window: Scale, top: float) -> Iterator[str]:
    apart = _apart(row)
    bottom = top + _LINE * _lines(row)
    yield from _axes(row, window, apart, top, bottom)
    y = top
    for name in row.missing[:MOST_SERIES]:
        yield text(_NAME, y + 13, name, anchor="end", fill=RED, room=_NAME - 24)
        yield svg.rect(_STRIP, y + 4, _STRIP_END - _STRIP, _BAR, RED, opacity=0.16, rx=2)
        yield text((_STRIP + _STRIP_END) / 2, y + 13, "no series", anchor="middle", size=9.5, fill=RED)
        y += _LINE
    if len(row.missing) > MOST_SERIES:
        yield text(_STRIP, y + 13, f"{len(row.missing) - MOST_SERIES} more have no series", fill=RED)
        y += _LINE
    for each in _shown(row):
        yield from _series(each, row.stated_interval, window, apart, y)
        y += _LINE
    if len(row.series) > MOST_SERIES:
        yield text(_STRIP, y + 13, f"{len(row.series) - MOST_SERIES} more series, none worse than these", fill=DIM)


def _apart(row: RecordedRow) -> Scale:
    stated = row.stated_interval
    spaced = [each for each in _shown(row) if each.interval > 0]
    longest = max([stated, *(each.longest for each in spaced)])
    shortest = min([stated, *(each.interval for each in spaced)])
    return Scale(shortest / 1.6, max(longest * 1.2, stated * 8), _DOTS, _DOTS_END, log=True)


def _axes(row: RecordedRow, window: Scale, apart: Scale, top: float, bottom: float) -> Iterator[str]:
    for at, words in svg.moments(window.low, window.high, 7):
        yield svg.line(window.at(at), top, window.at(at), bottom, RULE)
        yield text(window.at(at), top - 4, words, anchor="middle", size=9.5, fill=FAINT)
    for each in svg.round_durations(apart.low, apart.high, 5):
        x = apart.at(each)
        yield svg.line(x, top, x, bottom, RULE)
        yield text(x, top - 4, svg.duration(each), anchor="middle", size=9.5, fill=FAINT)
    x = apart.at(row.stated_interval)
    yield svg.line(x, top - 2, x, bottom, BLUE, width=1.4, dash="4 3")


def _series(each: RecordedSeries, stated: float, window: Scale, apart: Scale, y: float) -> Iterator[str]:
    ink = INK if each.judged == "good" else JUDGED[each.judged]
    yield text(_NAME, y + 13, each.name, anchor="end", fill=ink, room=_NAME - 24)
    yield from _strip(each, stated, window, y + 4)
    if np.isnan(each.interval):
        yield text(_SAID_END, y + 13, f"one sample · {_percent(each.complete)}", anchor="end", fill=ink)
        return
    yield from _spacing(each, apart, y + 9.5)
    said = f"{svg.duration(each.interval)} · {_percent(each.complete)}"
    yield text(_SAID_END, y + 13, said, anchor="end", fill=ink)


def _spacing(each: RecordedSeries, apart: Scale, middle: float) -> Iterator[str]:
    """Draw how far apart samples are: the dot is what counts, the lines go to the 99th percentile and the longest."""
    for until, width in ((each.longest, 1.2), (each.p99, 4.0)):
        if until > each.interval:
            yield svg.line(apart.at(each.interval), middle, apart.at(until), middle, SKY, width=width)
    if each.longest > each.p99:
        yield svg.line(apart.at(each.longest), middle - 4, apart.at(each.longest), middle + 4, SKY)
    tip = (
        f"{each.name}: every {svg.duration(each.interval)}, 99 % within {svg.duration(each.p99)}, "
        f"longest {svg.duration(each.longest)}"
    )
    yield svg.dot(apart.at(each.interval), middle, 4.2, JUDGED[each.judged], tip=tip)


def _percent(share: float) -> str:
    """Return a share in percent that reads 100 only where nothing is missing."""
    return f"{np.floor(share * 1000) / 10:.4g} %"


def _strip(each: RecordedSeries, stated: float, window: Scale, y: float) -> Iterator[str]:
    """Draw the window in bins by whether the samples that are expected there are there, and gaps as they are."""
    span = window.high - window.low
    # A bin has room for four samples: one more or less of them is where they fall, not that one is missing.
    bins = max(1, min(_BINS, int(span / (4 * stated))))
    counts = np.histogram(each.times, bins=bins, range=(window.low, window.high))[0]
    expected = span / bins / stated
    shades = np.where(counts == 0, 0, np.where(counts + 1 < expected, 1, 2))
    width, x = (_STRIP_END - _STRIP) / bins, float(_STRIP)
    for shade, run in groupby(shades.tolist()):
        long = width * len(list(run))
        fill, opacity = _SHADES[shade]
        yield svg.rect(x, y, long, _BAR, fill, opacity=opacity)
        x += long
    for gap in each.gaps:
        yield from _gap(gap, window, y)


def _gap(gap: Stretch, window: Scale, y: float) -> Iterator[str]:
    left, right = window.at(gap.start), window.at(gap.end)
    tip = f"{svg.duration(gap.end - gap.start)} without a sample, from {svg.moment(gap.start)} UTC {gap.words}".rstrip()
    if right - left > _WIDE:
        yield svg.rect(left, y, right - left, _BAR, "#fff")
        yield svg.rect(left, y, right - left, _BAR, RED, opacity=0.3, tip=tip)
    yield svg.rect(left, y - 2, 1.4, _BAR + 4, RED, tip=tip)


def _kept(row: RecordedRow, y: float) -> Iterator[str]:
    """Draw how old the oldest sample is, beside what the server is told to keep and what was stated."""
    ages = [each for each in (row.oldest, row.configured, row.stated_retention) if each is not None]
    age = Scale(0, max(ages) * 1.06, _STRIP, _STRIP_END)
    yield text(_NAME, y + 17, "kept", anchor="end", fill=DIM)
    yield svg.rect(_STRIP, y + 8, _STRIP_END - _STRIP, _BAR, RULE, rx=2)
    if row.oldest is not None:
        yield svg.rect(_STRIP, y + 8, age.at(row.oldest) - _STRIP, _BAR, SKY, opacity=0.85, rx=2)
    if row.configured is not None:
        x = age.at(row.configured)
        yield svg.line(x, y + 5, x, y + 22, INK if row.configured >= row.stated_retention else RED, width=2)
    x = age.at(row.stated_retention)
    yield svg.line(x, y + 4, x, y + 23, BLUE, width=1.4, dash="4 3")
    oldest = "no sample seen" if row.oldest is None else f"oldest sample {svg.duration(row.oldest)} ago"
    kept = "retention unknown" if row.configured is None else f"server keeps {svg.duration(row.configured)}"
    yield text(_DOTS, y + 17, f"{oldest}; {kept}", fill=DIM)


def _legend(y: float) -> Iterator[str]:
    x = 28.0
    swatches: Sequence[tuple[str, float, str]] = (
        (SKY, 0.85, "samples as expected"), (AMBER, 0.9, "some are missing"), (RED, 0.4, "none"),
    )  # fmt: skip
    for colour, opacity, words in swatches:
        yield svg.rect(x, y + 2, 13, 13, colour, opacity=opacity, rx=2)
        yield text(x + 19, y + 13, words, fill=DIM)
        x += 44 + 6.6 * len(words)
    yield svg.line(x, y + 8, x + 20, y + 8, BLUE, width=1.4, dash="4 3")
    yield text(x + 26, y + 13, "stated", fill=DIM)
    x += 90
    yield svg.dot(x + 4, y + 8, 4.2, svg.GREEN)
    yield svg.line(x + 4, y + 8, x + 26, y + 8, SKY, width=4)
    yield svg.line(x + 26, y + 8, x + 44, y + 8, SKY, width=1.2)
    yield text(x + 52, y + 13, "observed interval, to its 99th percentile, to the longest", fill=DIM)
    yield svg.line(x + 430, y + 1, x + 430, y + 16, INK, width=2)
    yield text(x + 438, y + 13, "retention that the server says it has", fill=DIM)
