"""The strokes that the pictures are made of: cards on a page, axes, lines, bands and words, as SVG text.

A plotting library is a lot to carry into every pod, and none of them draws what is wanted here: one look, tooltips,
and words that say what is seen.
"""

from __future__ import annotations

import datetime as dt
import math
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Final
from xml.sax.saxutils import escape

import attrs

FONT: Final = "DejaVu Sans, Verdana, Helvetica, Arial, sans-serif"
WIDTH: Final = 1240
INK, DIM, FAINT, RULE = "#1b2733", "#5a6773", "#8b97a2", "#e6eaee"
BLUE, SKY, AMBER, GREEN, RED, VIOLET = "#1f3a5f", "#3f94c9", "#e8a33d", "#3f8f57", "#c0392b", "#8e6bbf"
JUDGED: Final = {"good": GREEN, "bad": RED, "unknown": AMBER}
"""Colours of what was seen to be as stated, not to be so, and could not be told."""

HEAD: Final = 76
"""Height that a page's title takes, pixels."""

_MARGIN, _GAP = 12, 14
_CHARACTER: Final = 0.6
"""Width of a character, as a share of the font's size."""

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_FRACTIONS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
_SPANS: Final = (
    1, 2, 5, 10, 15, 30, _MINUTE, 2 * _MINUTE, 5 * _MINUTE, 10 * _MINUTE, 15 * _MINUTE, 30 * _MINUTE, _HOUR, 2 * _HOUR,
    3 * _HOUR, 6 * _HOUR, 12 * _HOUR, _DAY, 2 * _DAY, 7 * _DAY, 14 * _DAY, 28 * _DAY, 91 * _DAY, 364 * _DAY,
)  # fmt: skip


@attrs.frozen
class Scale:
    """Where a value is on the page: ``low`` at pixel ``start``, ``high`` at ``end``; values beyond are put at the edge.

    ``log``: equal factors are equally far apart; all values are above 0 then.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        """Return the pixel of a value."""
        low, high = self._of(self.low), self._of(self.high)
        share = (self._of(min(max(value, self.low), self.high)) - low) / (high - low)
        return self.start + share * (self.end - self.start)

    def _of(self, value: float) -> float:
        return math.log(value) if self.log else value


def page(title: str, subtitle: str, height: float, parts: Iterable[str]) -> str:
    """Return the SVG document of a title and what is below it."""
    top = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" font-family="{FONT}">',
        f'<rect width="{WIDTH}" height="{height:.0f}" fill="#f4f6f8"/>',
        text(24, 34, title, size=19, weight="bold", room=WIDTH - 48),
        text(24, 56, subtitle, size=12, fill=DIM, room=WIDTH - 48),
    ]
    return "\n".join([*top, *parts, "</svg>\n"])


@attrs.frozen
class Card:
    """A white box on the page, from ``top`` on, ``height`` pixels high, and as wide as the page."""

    top: float
    height: float

    @property
    def next(self) -> float:
        """Where the next one begins."""
        return self.top + self.height + _GAP

    def frame(self, colour: str) -> Iterator[str]:
        """Draw the box, with a stripe of ``colour`` at its left."""
        yield (
            f'<rect x="{_MARGIN}" y="{self.top:.0f}" width="{WIDTH - 2 * _MARGIN}" height="{self.height:.0f}" rx="8" '
            'fill="#fff" stroke="#d5dce3"/>'
        )
        yield rect(_MARGIN, self.top + 8, 4, self.height - 16, colour, rx=2)


def text(
    x: float, y: float, words: str, *,
    fill: str = INK, anchor: str = "start", size: float = 11, weight: str = "normal", room: float = math.inf,
) -> str:  # fmt: skip
    """Return one line of words, cut to what fits into ``room`` pixels."""
    most = len(words) if math.isinf(room) else max(int(room / (_CHARACTER * size)), 1)
    shown = words if len(words) <= most else words[: most - 1] + "…"
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size:g}" font-weight="{weight}" '
        f'fill="{fill}">{escape(shown)}</text>'
    )


def wrapped(words: str, room: float, size: float, most: int) -> list[str]:
    """Return words in lines that fit into ``room`` pixels, ``most`` of them."""
    return textwrap.wrap(words, int(room / (_CHARACTER * 0.93 * size)), max_lines=most, placeholder=" …") or [""]


def rect(
    x: float, y: float, width: float, height: float, fill: str, *, opacity: float = 1.0, rx: float = 0.0, tip: str = ""
) -> str:
    """Return a box; ``tip`` is shown where a pointer rests on it."""
    shape = (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="{rx:g}" fill="{fill}" '
        f'fill-opacity="{opacity:g}"'
    )
    return f"{shape}><title>{escape(tip)}</title></rect>" if tip else f"{shape}/>"


def line(x1: float, y1: float, x2: float, y2: float, stroke: str, *, width: float = 1.0, dash: str = "") -> str:
    """Return a straight line."""
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{stroke}" '
        f'stroke-width="{width:g}"{dashed}/>'
    )


def dot(x: float, y: float, radius: float, fill: str, *, opacity: float = 1.0, tip: str = "") -> str:
    """Return a filled circle."""
    shape = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" fill="{fill}" fill-opacity="{opacity:g}"'
    return f"{shape}><title>{escape(tip)}</title></circle>" if tip else f"{shape}/>"


def curve(points: Sequence[tuple[float, float]], stroke: str, *, width: float = 1.5, dash: str = "") -> str:
    """Return a line through points."""
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<polyline points="{_points(points)}" fill="none" stroke="{stroke}" stroke-width="{width:g}" '
        f'stroke-linejoin="round"{dashed}/>'
    )


def band(upper: Sequence[tuple[float, float]], lower: Sequence[tuple[float, float]], fill: str, opacity: float) -> str:
    """Return the area between two lines of points, both from left to right."""
    return f'<polygon points="{_points([*upper, *reversed(lower)])}" fill="{fill}" fill-opacity="{opacity:g}"/>'


def _points(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def round_values(low: float, high: float, most: int) -> list[float]:
    """Return round values within bounds, at most about ``most`` of them, equally far apart."""
    span = high - low
    magnitude = 10.0 ** math.floor(math.log10(span / most))
    step = next(each * magnitude for each in (1, 2, 5, 10) if span / (each * magnitude) <= most)
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def round_factors(low: float, high: float, most: int) -> list[float]:
    """Return 1, 2, 5, 10, 20 … within bounds above 0, at most about ``most`` of them."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found = [each * 10.0**power for power in powers for each in (1, 2, 5) if low <= each * 10.0**power <= high]
    return found[:: max(1, -(-len(found) // most))]


def round_durations(low: float, high: float, most: int) -> list[float]:
    """Return durations that people name, within bounds above 0, at most about ``most`` of them."""
    found = [each for each in (*_FRACTIONS, *_SPANS) if low <= each <= high]
    return found[:: max(1, -(-len(found) // most))]


def moments(start: float, end: float, most: int) -> list[tuple[float, str]]:
    """Return round moments between two, at most ``most``, and how they are written, in UTC."""
    step = next((each for each in _SPANS if (end - start) / each <= most), _SPANS[-1])
    # Weeks begin on Mondays; the epoch's first day was a Thursday.
    offset = 4 * _DAY if step >= 7 * _DAY else 0
    first = math.ceil((start - offset) / step)
    found = [number * step + offset for number in range(first, math.floor((end - offset) / step) + 1)]
    return [(at, _written(at, step)) for at in found]


def _written(at: float, step: float) -> str:
    moment = dt.datetime.fromtimestamp(at, dt.UTC)
    if step < _MINUTE:
        return f"{moment:%H:%M:%S}"
    if step < _DAY and at % _DAY:
        return f"{moment:%H:%M}"
    return f"{moment:%a} {moment.day} {moment:%b}"


def moment(at: float) -> str:
    """Return how a moment is written, in UTC."""
    return f"{dt.datetime.fromtimestamp(at, dt.UTC):%Y-%m-%d %H:%M:%S}"


def duration(seconds: float) -> str:
    """Return a stretch of time in words, such as ``15 s`` or ``7 d``."""
    for size, unit in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= 2 * size or (seconds >= size and seconds % size == 0):
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s" if seconds >= 1 or seconds <= 0 else f"{seconds * 1e3:.3g} ms"


def quantity(value: float, unit: str = "") -> str:
    """Return a number that people read, with its unit: ``1.24k /s``, and ``36 ms`` of 0.036 and ``s``."""
    if unit == "s" and 0 < abs(value) < 1:
        return f"{value * 1e3:.3g} ms"
    short = unit.removeprefix("1") if unit.startswith("1/") else unit
    for size, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{prefix} {short}".rstrip()
    return f"{value:.3g} {short}".rstrip()
