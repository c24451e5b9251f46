"""The picture of the forecasts: what was, what is foretold with its interval, and how the backtest went.

Each metric has a card: the whole history in small, the backtest beside what really happened, how far each of its
windows was off, and the forecast.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from perfrun_kernels.pictures import svg
from perfrun_kernels.pictures.svg import AMBER, BLUE, DIM, FAINT, INK, JUDGED, RED, RULE, SKY, VIOLET, Card, Scale, text
from perfrun_kernels.pictures.values import Backtested, Foresight, ForetoldMetric, Numbers

_TITLE, _SENTENCE = 30, 16
_SMALL, _BIG, _BARS, _AXIS = 46, 190, 62, 24
_LEFT, _LEFT_END, _RIGHT, _RIGHT_END = 84, 780, 850, 1206
_ROOM: Final = svg.WIDTH - 56
_MOST_POINTS: Final = 1400
_BEFORE: Final = 1.5
"""How much history is shown before what is foretold, as a multiple of the horizon."""

_TALL: Final = 4.0
"""Error of a window at which its bar is cut, as a multiple of the median of all."""

_GAP: Final = 3.0
"""Distance of points above which a line is broken, as a multiple of what nine tenths of them keep to."""

_ACTUAL, _MEAN, _NAIVE = INK, SKY, "#76828d"
_SHADES: Final = (SKY, "#1f6f9f")
"""Neighbouring windows are told apart by two shades of one colour."""


def draw(foresight: Foresight) -> str:
    """Return the picture as an SVG document."""
    parts: list[str] = []
    top = float(svg.HEAD)
    for metric in foresight.metrics:
        card = Card(top, _height(metric))
        parts.extend(card.frame(JUDGED[metric.judged]))
        parts.extend(_metric(metric, top))
        top = card.next
    parts.extend(_legend(top))
    return svg.page(foresight.title, foresight.subtitle, top + 30, parts)


def _said(metric: ForetoldMetric) -> list[str]:
    return svg.wrapped(metric.sentence, _ROOM, 11.5, 3)


def _height(metric: ForetoldMetric) -> float:
    history = _SMALL + _AXIS + 14 if metric.history.size > 1 else 0
    foretold = _BIG + _BARS + 2 * _AXIS + 12 if metric.at.size or metric.backtest else 0
    return _TITLE + _SENTENCE * len(_said(metric)) + history + foretold + 10


def _metric(metric: ForetoldMetric, top: float) -> Iterator[str]:
    yield text(28, top + 23, metric.name, size=14, weight="bold")
    y = top + _TITLE + 10
    for words in _said(metric):
        yield text(28, y, words, size=11.5, fill=DIM)
        y += _SENTENCE
    if metric.history.size > 1:
        yield from _overview(metric, y)
        y += _SMALL + _AXIS + 14
    if metric.backtest:
        yield from _backtest(metric, y + 8)
        yield from _windows(metric.backtest, y + 8 + _BIG + _AXIS)
    if metric.at.size:
        yield from _forecast(metric, y + 8)


def _overview(metric: ForetoldMetric, top: float) -> Iterator[str]:
    """Draw the whole history, and in it what cleaning changed and where the level moved."""
    at, values = _thinned(metric.history_at, metric.history)
    end = max(float(at[-1]), float(metric.at[-1]) if metric.at.size else metric.made_at)
    x = Scale(float(at[0]), end, _LEFT, _RIGHT_END)
    y = _upright(top + _SMALL, top, values)
    if metric.backtest:
        left, right = x.at(metric.backtest[0].origin), x.at(float(metric.backtest[-1].at[-1]))
        yield svg.rect(left, top - 3, right - left, _SMALL + 6, SKY, opacity=0.1)
    if metric.at.size:
        yield svg.rect(x.at(metric.made_at), top - 3, x.end - x.at(metric.made_at), _SMALL + 6, AMBER, opacity=0.22)
    for each in metric.repaired:
        width = max(x.at(each.end) - x.at(each.start), 1.5)
        yield svg.rect(x.at(each.start), top - 3, width, _SMALL + 6, RED, opacity=0.25, tip=each.words)
    for each in metric.shifts:
        yield svg.line(x.at(each.start), top - 3, x.at(each.start), top + _SMALL + 3, VIOLET, width=1.4, dash="3 2")
    yield from _curves(at, values, x, y, _ACTUAL, 1.0)
    yield text(_LEFT - 8, top + _SMALL / 2 + 4, "history", anchor="end", size=10, fill=DIM)
    yield from _times(x, top + _SMALL + 3, top + _SMALL + 15, 12)


def _backtest(metric: ForetoldMetric, top: float) -> Iterator[str]:
    """Draw each window's forecast with its interval over what really happened."""
    windows = metric.backtest
    start, end = windows[0].origin, max(float(each.at[-1]) for each in windows)
    x = Scale(start - 0.02 * (end - start), end, _LEFT, _LEFT_END)
    shown = (metric.history_at >= x.low) & (metric.history_at <= x.high)
    at, values = _thinned(metric.history_at[shown], metric.history[shown])
    y = _upright(top + _BIG, top + 4, values, *(each.mean for each in windows), *_apart(windows))
    yield text(_LEFT, top - 3, f"backtest, {len(windows)} windows", size=10, fill=DIM)
    yield from _frame(x, y, metric.unit, 8)
    for number, each in enumerate(windows):
        tip = f"window {number + 1}, made {svg.moment(each.origin)} UTC: WAPE {_percent(_wape(each.actual, each.mean))}"
        yield _band(each.at, each.lower, each.upper, x, y, _SHADES[number % 2], 0.22)
        yield svg.line(x.at(each.origin), y.end, x.at(each.origin), y.start, RULE, dash="2 3")
        yield svg.dot(x.at(each.origin), y.start, 2.2, BLUE, tip=tip)
    yield from _curves(at, values, x, y, _ACTUAL, 1.3)
    for number, each in enumerate(windows):
        yield from _curves(each.at, each.naive, x, y, _NAIVE, 1.0, "2 3")
        yield from _curves(each.at, each.mean, x, y, _SHADES[number % 2], 1.8)


def _apart(windows: Sequence[Backtested]) -> tuple[Numbers, ...]:
    """Return intervals that set the axis: a few wild ones are cut, so that the rest can be seen."""
    lower = np.concatenate([each.lower for each in windows])
    upper = np.concatenate([each.upper for each in windows])
    return np.quantile(lower, [0.02]), np.quantile(upper, [0.98])


def _windows(windows: Sequence[Backtested], top: float) -> Iterator[str]:
    """Draw how far off each window was, beside the seasonal naive forecast of the same window."""
    errors = [(_wape(each.actual, each.mean), _wape(each.actual, each.naive)) for each in windows]
    known = [each for pair in errors for each in pair if each is not None]
    if not known:
        return
    y = Scale(0, max(min(max(known), _TALL * float(np.median(known))), 1e-6) * 1.1, top + _BARS, top + 6)
    for value in svg.round_values(0, y.high * 100, 3):
        yield svg.line(_LEFT, y.at(value / 100), _LEFT_END, y.at(value / 100), RULE)
        yield text(_LEFT - 8, y.at(value / 100) + 3.5, f"{value:g} %", anchor="end", size=9.5, fill=FAINT)
    yield text(28, top + 3, "WAPE", size=10, fill=DIM)
    width = (_LEFT_END - _LEFT) / len(windows)
    for number, (own, naive) in enumerate(errors):
        x = _LEFT + width * number
        tip = f"window {number + 1}: {_percent(own)}, seasonal naive {_percent(naive)}"
        if own is not None:
            yield svg.rect(x + width * 0.15, y.at(own), width * 0.7, y.start - y.at(own), SKY, opacity=0.8, tip=tip)
        if naive is not None:
            yield svg.line(x + width * 0.06, y.at(naive), x + width * 0.94, y.at(naive), _NAIVE, width=2.2)


def _wape(actual: Numbers, foretold: Numbers) -> float | None:
    """Return the sum of errors over the sum of what was, both without signs; None where that is 0 or unknown."""
    seen = np.isfinite(actual) & np.isfinite(foretold)
    total = float(np.abs(actual[seen]).sum())
    return float(np.abs(actual[seen] - foretold[seen]).sum()) / total if total > 0 else None


def _percent(share: float | None) -> str:
    return "unknown" if share is None else f"{share * 100:.3g} %"


def _forecast(metric: ForetoldMetric, top: float) -> Iterator[str]:
    """Draw what is foretold after the last of what was."""
    end = float(metric.at[-1])
    x = Scale(metric.made_at - _BEFORE * (end - metric.made_at), end, _RIGHT, _RIGHT_END)
    shown = metric.history_at >= x.low
    at, values = _thinned(metric.history_at[shown], metric.history[shown])
    y = _upright(top + _BIG + _BARS, top + 4, values, metric.mean, metric.lower, metric.upper)
    yield text(_RIGHT, top - 3, f"forecast, with its {metric.nominal * 100:g} % interval", size=10, fill=DIM)
    yield from _frame(x, y, metric.unit, 5)
    made = x.at(metric.made_at)
    yield svg.line(made, y.end, made, y.start, AMBER, width=1.4, dash="4 3")
    yield text(made - 5, y.end + 8, "made", anchor="end", size=10, fill=AMBER)
    yield from _curves(at, values, x, y, _ACTUAL, 1.4)
    yield _band(metric.at, metric.lower, metric.upper, x, y, AMBER, 0.3)
    yield from _curves(metric.at, metric.mean, x, y, AMBER, 2.4)


def _upright(bottom: float, top: float, *values: Numbers) -> Scale:
    """Return an upright axis that holds all values, and 0 where they come near it."""
    together = np.concatenate([each[np.isfinite(each)] for each in values])
    low, high = (float(together.min()), float(together.max())) if together.size else (0.0, 1.0)
    if 0 < low < 0.5 * high:
        low = 0.0
    room = 0.06 * (high - low) or max(abs(high), 1.0) * 0.1
    return Scale(low if low == 0 else low - room, high + room, bottom, top)


def _frame(x: Scale, y: Scale, unit: str, most: int) -> Iterator[str]:
    for value in svg.round_values(y.low, y.high, 5):
        yield svg.line(x.start, y.at(value), x.end, y.at(value), RULE)
        yield text(x.start - 8, y.at(value) + 3.5, svg.quantity(value, unit), anchor="end", size=9.5, fill=FAINT)
    for at, _ in svg.moments(x.low, x.high, most):
        yield svg.line(x.at(at), y.end, x.at(at), y.start, RULE)
    yield from _times(x, y.start, y.start + 14, most)


def _times(x: Scale, bottom: float, words_at: float, most: int) -> Iterator[str]:
    for at, words in svg.moments(x.low, x.high, most):
        yield svg.line(x.at(at), bottom, x.at(at), bottom + 3, FAINT)
        yield text(x.at(at), words_at, words, anchor="middle", size=9.5, fill=FAINT)


def _thinned(at: Numbers, values: Numbers) -> tuple[Numbers, Numbers]:
    """Return at most so many points that a screen shows: the lowest and highest of each stretch of too many."""
    if at.size <= _MOST_POINTS:
        return at, values
    parts = np.array_split(np.arange(at.size), _MOST_POINTS // 2)
    lows = [part[np.argmin(np.where(np.isfinite(values[part]), values[part], np.inf))] for part in parts]
    highs = [part[np.argmax(np.where(np.isfinite(values[part]), values[part], -np.inf))] for part in parts]
    kept = np.unique([*lows, *highs])
    return at[kept], values[kept]


def _curves(
    at: Numbers, values: Numbers, x: Scale, y: Scale, stroke: str, width: float, dash: str = ""
) -> Iterator[str]:
    """Draw values over time, with breaks where there are none."""
    seen = np.isfinite(values)
    if not seen.any():
        return
    at, values = at[seen], values[seen]
    apart = np.diff(at)
    breaks = np.flatnonzero(apart > _GAP * np.quantile(apart, 0.9)) + 1 if apart.size else np.empty(0, dtype=int)
    for times, heights in zip(np.split(at, breaks), np.split(values, breaks), strict=True):
        points = [(x.at(float(when)), y.at(float(value))) for when, value in zip(times, heights, strict=True)]
        yield svg.curve(points, stroke, width=width, dash=dash) if len(points) > 1 else svg.dot(*points[0], 1.2, stroke)


def _band(at: Numbers, lower: Numbers, upper: Numbers, x: Scale, y: Scale, fill: str, opacity: float) -> str:
    seen = np.isfinite(lower) & np.isfinite(upper)
    pairs = [(x.at(float(when)), low, high) for when, low, high in zip(at[seen], lower[seen], upper[seen], strict=True)]
    top = [(when, y.at(float(high))) for when, _, high in pairs]
    return svg.band(top, [(when, y.at(float(low))) for when, low, _ in pairs], fill, opacity)


def _legend(y: float) -> Iterator[str]:
    x = 28.0
    for colour, width, dash, words in (
        (_ACTUAL, 1.6, "", "what was"), (_MEAN, 2.2, "", "foretold in the backtest"),
        (_NAIVE, 1.4, "2 3", "seasonal naive"), (AMBER, 2.4, "", "foretold from now"),
        (VIOLET, 1.4, "3 2", "the level moved"),
    ):  # fmt: skip
        yield svg.line(x, y + 8, x + 22, y + 8, colour, width=width, dash=dash)
        yield text(x + 29, y + 12, words, fill=DIM)
        x += 58 + 6.6 * len(words)
    yield svg.rect(x, y + 2, 13, 13, RED, opacity=0.25)
    yield text(x + 19, y + 12, "repaired before foretelling", fill=DIM)
