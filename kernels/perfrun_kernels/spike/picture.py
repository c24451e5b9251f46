"""The picture of the timeline: one panel for each spike, as an SVG that any browser shows.

It is made of the strokes that all pictures are made of, as a row of lanes over one axis.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final
from xml.sax.saxutils import escape

import attrs

from perfrun_kernels.pictures import svg
from perfrun_kernels.spike.timeline import ALARM, Lane, Mark, Span, Style, Timeline

_MS: Final = 1e6
_LEFT, _RIGHT = 196, 28
_ROW, _BAR = 24, 15
_HEAD, _AXIS, _GAP = 70, 34, 16
_TOP: Final = 74
_LEGEND: Final = 46
_BEFORE_NS: Final = 1_500_000
_AFTER_NS: Final = 1_500_000
_MOST_TASKS, _MOST_CPUS = 3, 2
_TICKS: Final = 8
_MOST_CHARACTERS: Final = 190
_HAIR: Final = 0.6
"""Width below which nobody sees a turn of an uninvolved task, pixels; a busy CPU has hundreds of them."""

_CHARACTER: Final = 6.3
"""Width of a character of the small font, pixels: what does not fit into its bar is left to the tooltip."""

COLOURS: Final[dict[Style, tuple[str, str]]] = {
    "probe": ("#1f3a5f", "probe"),
    "queue": ("#e8a33d", "device and qdisc"),
    "softirq": ("#8e6bbf", "softirq and netfilter"),
    "socket": ("#3f94c9", "at the socket"),
    "running": ("#4a9d5f", "on a CPU"),
    "waiting": ("#d9534f", "waiting for a CPU"),
    "asleep": ("#dfe4ea", "asleep"),
    "frozen": ("#5cc3d6", "frozen"),
    "other": ("#a9b3bf", "others"),
    "injected": ("#2b2b2b", "injected"),
    "held": ("#c0392b", "held up"),
}


@attrs.frozen
class Panel:
    """A spike to be shown: a title, a sentence below it, and its timeline; ``sent`` is the axis' zero."""

    title: str
    sentence: str
    timeline: Timeline
    sent: int


def draw(title: str, subtitle: str, panels: Sequence[Panel]) -> str:
    """Return the picture as an SVG document."""
    parts: list[str] = []
    y = float(_TOP)
    for panel in panels:
        lanes = _chosen(panel.timeline.lanes)
        parts.extend(_panel(panel, lanes, y))
        y += _HEAD + _ROW * len(lanes) + _AXIS + _GAP
    parts.extend(_legend(y))
    return svg.page(title, subtitle, y + _LEGEND, parts)


def _chosen(lanes: Sequence[Lane]) -> list[Lane]:
    """Return the lanes that a person has room for: of tasks and CPUs the few on which anything happened."""
    tasks = [each for each in lanes if any(span.style in {"running", "waiting", "asleep"} for span in each.spans)]
    cpus = [each for each in tasks if each.name.startswith("CPU ")]
    busy = sorted((each for each in tasks if each not in cpus), key=lambda each: -len(each.spans))[:_MOST_TASKS]
    kept = [*busy, *sorted(cpus, key=lambda each: -len(each.spans))[:_MOST_CPUS]]
    return [each for each in lanes if each not in tasks or each in kept]


@attrs.frozen
class _Axis:
    start: int
    end: int

    def x(self, moment: int) -> float:
        share = (min(max(moment, self.start), self.end) - self.start) / (self.end - self.start)
        return _LEFT + share * (svg.WIDTH - 24 - _RIGHT - _LEFT)


def _panel(panel: Panel, lanes: Sequence[Lane], top: float) -> Iterator[str]:
    shown = panel.timeline
    start = max(shown.start, panel.sent - _BEFORE_NS)
    axis = _Axis(start, max(min(shown.end, _interesting(shown) + _AFTER_NS), start + 1))
    height = _HEAD + _ROW * len(lanes) + _AXIS
    first, bottom = top + _HEAD, top + _HEAD + _ROW * len(lanes)
    yield f'<rect x="12" y="{top:.0f}" width="{svg.WIDTH - 24}" height="{height}" rx="8" fill="#fff" stroke="#d5dce3"/>'
    yield svg.text(28, top + 23, _cut(panel.title, _MOST_CHARACTERS), size=14, weight="bold")
    yield svg.text(28, top + 41, _cut(panel.sentence, _MOST_CHARACTERS), size=11.5, fill=svg.DIM)
    yield from _held(shown.held, axis, first, bottom)
    yield from _ticks(axis, panel.sent, first, bottom)
    for index, lane in enumerate(lanes):
        yield from _lane(lane, axis, first + _ROW * index)
    for mark in (mark for lane in lanes if lane.name == "probe" for mark in lane.marks):
        yield from _moment(mark, axis, first, bottom)


def _interesting(shown: Timeline) -> int:
    """Return the last moment that has to be seen: an answer may come long after what held it up is over."""
    injected = [span.end for lane in shown.lanes for span in lane.spans if span.style == "injected"]
    return max([shown.held.end, *injected, *(mark.at for mark in shown.lanes[0].marks)])


def _held(held: Span, axis: _Axis, top: float, bottom: float) -> Iterator[str]:
    left, right = axis.x(held.start), axis.x(held.end)
    yield (
        f'<rect x="{left:.1f}" y="{top - 4:.0f}" width="{max(right - left, 2):.1f}" height="{bottom - top + 4:.0f}" '
        'fill="#c0392b" fill-opacity="0.09"/>'
    )


def _ticks(axis: _Axis, zero: int, top: float, bottom: float) -> Iterator[str]:
    step = _step((axis.end - axis.start) / _MS)
    number = -int((zero - axis.start) / _MS // step)
    while zero + number * step * _MS <= axis.end:
        x = axis.x(round(zero + number * step * _MS))
        yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top - 4:.0f}" y2="{bottom:.0f}" stroke="#edf0f3"/>'
        yield svg.text(x, bottom + 16, f"{number * step:g} ms", anchor="middle", fill="#7a8691", size=10)
        number += 1


def _step(milliseconds: float) -> float:
    """Return a round distance of ticks, of which at most eight fit."""
    for each in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500):
        if milliseconds / each <= _TICKS:
            return each
    return 1000.0


def _lane(lane: Lane, axis: _Axis, y: float) -> Iterator[str]:
    yield svg.text(_LEFT - 12, y + 13, _cut(lane.name, 27), anchor="end", fill="#33404c")
    yield f'<line x1="{_LEFT}" x2="{svg.WIDTH - 24 - _RIGHT}" y1="{y + 9:.0f}" y2="{y + 9:.0f}" stroke="#e6eaee"/>'
    for span in lane.spans:
        left, right = axis.x(span.start), axis.x(span.end)
        if span.end < axis.start or span.start > axis.end or (span.style == "other" and right - left < _HAIR):
            continue
        fill = COLOURS[span.style][0]
        yield (
            f'<rect x="{left:.1f}" y="{y + 1.5:.1f}" width="{max(right - left, 1.2):.1f}" height="{_BAR}" rx="2" '
            f'fill="{fill}"><title>{escape(span.name)}: {(span.end - span.start) / _MS:.3f} ms</title></rect>'
        )
        if (right - left) / _CHARACTER > len(span.name) + 1:
            ink = "#5a6773" if span.style == "asleep" else "#fff"
            yield svg.text((left + right) / 2, y + 12.5, span.name, anchor="middle", fill=ink, size=10)
    if lane.name == "probe":
        return
    for mark in lane.marks:
        if axis.start <= mark.at <= axis.end:
            colour = "#c0392b" if "reply" not in mark.name and "request" not in mark.name else "#1f3a5f"
            colour = "#4a9d5f" if mark.name.startswith("reply") else colour
            yield (
                f'<circle cx="{axis.x(mark.at):.1f}" cy="{y + 9:.1f}" r="3.2" fill="{colour}" fill-opacity="0.85">'
                f"<title>{escape(mark.name)}</title></circle>"
            )


def _moment(mark: Mark, axis: _Axis, top: float, bottom: float) -> Iterator[str]:
    if not axis.start <= mark.at <= axis.end:
        return
    x, alarm = axis.x(mark.at), mark.name == ALARM
    colour, dash = ("#c0392b", "") if alarm else ("#7a8691", ' stroke-dasharray="3 3"')
    yield (
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top - 6:.0f}" y2="{bottom + 2:.0f}" stroke="{colour}" '
        f'stroke-width="1.4"{dash}/>'
    )
    yield svg.text(
        x + (3 if alarm else -3), top - 7, mark.name, anchor="start" if alarm else "end", fill=colour, size=10
    )


def _legend(y: float) -> Iterator[str]:
    x = 28.0
    for colour, name in COLOURS.values():
        yield f'<rect x="{x:.0f}" y="{y + 4:.0f}" width="13" height="13" rx="2" fill="{colour}"/>'
        yield svg.text(x + 18, y + 15, name, fill=svg.DIM)
        x += 34 + _CHARACTER * 1.08 * len(name)


def _cut(words: str, most: int) -> str:
    return words if len(words) <= most else words[: most - 1] + "…"
