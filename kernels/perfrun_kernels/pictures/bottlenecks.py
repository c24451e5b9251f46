"""The picture of the bottlenecks: resources in the order in which they saturate, how their use grows, and scaling."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from perfrun_kernels.bottlenecks.ranking import title
from perfrun_kernels.bottlenecks.results import headline, scaling
from perfrun_kernels.bottlenecks.usl import throughput_at
from perfrun_kernels.bottlenecks.values import Law, Missing, Numbers, Ranked, Ranking
from perfrun_kernels.pictures import svg
from perfrun_kernels.pictures.svg import AMBER, BLUE, DIM, FAINT, GREEN, RED, RULE, SKY, VIOLET, Card, Scale, text

MOST_RESOURCES: Final = 12
_MOST_LINES: Final = 4
_MOST_POINTS: Final = 400
_LINE, _BAR = 24, 12
_TITLE, _AXIS, _FOOT = 60, 24, 14
_NAME, _USE, _USE_END, _WAITS, _FULL, _FULL_END, _SAID = 236, 250, 560, 580, 740, 1090, 1212
_STANDINGS: Final = {"saturated": RED, "growing": AMBER, "steady": GREEN, "unknown": FAINT}
_COLOURS: Final = (SKY, AMBER, VIOLET, GREEN)
_PLOT_HEIGHT: Final = 300
_LEFT, _LEFT_END, _RIGHT, _RIGHT_END = 76, 600, 700, 1200
_REACH: Final = 3.0
_CLOUD: Final = 0.28


def draw(ranking: Ranking) -> str:
    """Return the picture as an SVG document."""
    shown = ranking.resources[:MOST_RESOURCES]
    card = Card(svg.HEAD, _TITLE + _AXIS + _LINE * max(len(shown), 1) + _FOOT)
    parts = [*card.frame(_STANDINGS[shown[0].standing] if shown else FAINT), *_ranks(ranking, shown, card.top)]
    plots = Card(card.next, _PLOT_HEIGHT + 88)
    parts += [*plots.frame(BLUE), *_growth(ranking, shown, plots.top), *_scaling(ranking, plots.top)]
    span = f"{svg.moment(ranking.start)} to {svg.moment(ranking.end)} UTC, means over {svg.duration(ranking.step)}"
    subtitle = f"{span}; intervals at {ranking.confidence * 100:g} %"
    return svg.page("Bottlenecks: which resource saturates first", subtitle, plots.next, parts)


def _ranks(ranking: Ranking, shown: tuple[Ranked, ...], top: float) -> Iterator[str]:
    yield text(28, top + 25, headline(ranking), size=13, weight="bold", room=svg.WIDTH - 60)
    first = top + _TITLE + _AXIS
    bottom = first + _LINE * len(shown)
    use = Scale(0, 1, _USE, _USE_END)
    for share in (0, 0.25, 0.5, 0.75, 1):
        yield svg.line(use.at(share), first - 4, use.at(share), bottom, RULE)
        yield text(use.at(share), first - 9, f"{share * 100:.0f} %", anchor="middle", size=9.5, fill=FAINT)
    yield text(_USE, first - 26, "utilisation: mean, 95th percentile, highest", size=10, fill=DIM)
    yield text(_WAITS, first - 26, "waiting, errors", size=10, fill=DIM)
    full = _full_scale(ranking, shown)
    if full is not None and ranking.seen is not None:
        yield from _full_axis(full, ranking.seen, first, bottom)
    for rank, each in enumerate(shown, start=1):
        y = first + _LINE * (rank - 1)
        yield text(38, y + 15, f"{rank}", fill=DIM, anchor="end")
        yield text(_NAME, y + 15, title(each), anchor="end", room=_NAME - 44)
        yield from _rank(each, use, full, y)


def _full_scale(ranking: Ranking, shown: tuple[Ranked, ...]) -> Scale | None:
    bounds = [each.full_at for each in shown if each.full_at is not None]
    if not bounds or not ranking.seen:
        return None
    low = min(ranking.seen, *(max(each.lower, ranking.seen / 100) for each in bounds))
    high = max(ranking.seen, *(min(each.value, ranking.seen * 1000) for each in bounds))
    return Scale(low / 1.3, high * 1.5, _FULL, _FULL_END, log=True)


def _full_axis(full: Scale, seen: float, first: float, bottom: float) -> Iterator[str]:
    yield text(_FULL, first - 26, "throughput at which it is full", size=10, fill=DIM)
    for each in svg.round_factors(full.low, full.high, 7):
        yield svg.line(full.at(each), first - 4, full.at(each), bottom, RULE)
        yield text(full.at(each), first - 9, svg.quantity(each), anchor="middle", size=9.5, fill=FAINT)
    yield svg.line(full.at(seen), first - 18, full.at(seen), bottom, BLUE, width=1.4, dash="4 3")
    yield text(_SAID, first - 26, f"most seen: {svg.quantity(seen)}/s", size=10, fill=BLUE, anchor="end")


def _rank(each: Ranked, use: Scale, full: Scale | None, y: float) -> Iterator[str]:
    colour = _STANDINGS[each.standing]
    if each.standing == "unknown":
        why = each.missing.sentence if each.missing is not None else "no data"
        yield svg.rect(_USE - 4, y + 2, _SAID - _USE, _LINE - 4, "#fff")
        yield text(_USE, y + 15, why, size=10, fill=DIM, room=_SAID - _USE)
        return
    middle = y + _LINE / 2 - 1
    yield svg.line(use.at(0), middle, use.at(each.most), middle, colour, width=1.2)
    tip = f"{title(each)}: mean {each.mean * 100:.1f} %, 95 % of the time below {each.p95 * 100:.1f} %"
    yield svg.rect(use.at(0), middle - _BAR / 2, use.at(each.mean) - use.at(0), _BAR, colour, opacity=0.85, tip=tip)
    yield svg.line(use.at(each.p95), middle - 7, use.at(each.p95), middle + 7, colour, width=2.4)
    yield text(_WAITS, y + 15, _troubles(each), size=10, fill=DIM, room=_FULL - _WAITS - 8)
    if each.full_at is None or full is None:
        words = "saturated now" if each.standing == "saturated" else "does not grow with throughput"
        yield text(_SAID, y + 15, words, anchor="end", fill=colour if each.standing == "saturated" else DIM)
        return
    upper = full.high if each.full_at.upper is None else each.full_at.upper
    yield svg.line(full.at(each.full_at.lower), middle, full.at(upper), middle, colour, width=3)
    yield svg.dot(full.at(each.full_at.value), middle, 4.4, colour)
    sure = "" if each.first is None else f" · first: {each.first * 100:.0f} %"
    yield text(_SAID, y + 15, f"{svg.quantity(each.full_at.value)}/s{sure}", anchor="end")


def _troubles(each: Ranked) -> str:
    waiting = f"{each.waiting:.2g} wait" if each.waiting is not None else ""
    errors = f"{each.errors:.2g} errors/s" if each.errors else ""
    return ", ".join(part for part in (waiting, errors) if part)


def _growth(ranking: Ranking, shown: tuple[Ranked, ...], top: float) -> Iterator[str]:
    """Draw use over throughput of the resources that fill up, with their lines up to 100 %."""
    yield text(28, top + 25, "Use as throughput grows", size=13, weight="bold")
    throughput = ranking.throughput
    grown = [each for each in shown if each.full_at is not None][:_MOST_LINES]
    if isinstance(throughput, Missing) or not grown or ranking.seen is None:
        why = throughput.sentence if isinstance(throughput, Missing) else _why_none(shown)
        for number, words in enumerate(svg.wrapped(why, _LEFT_END - 28, 11.5, 6)):
            yield text(28, top + 50 + 16 * number, words, size=11.5, fill=DIM)
        return
    far = max(each.full_at.value for each in grown if each.full_at is not None)
    x = Scale(0, min(far * 1.1, ranking.seen * _REACH), _LEFT, _LEFT_END)
    y = Scale(0, 1.05, top + 52 + _PLOT_HEIGHT, top + 52)
    yield from _frame(x, y, "throughput, 1/s", percent=True)
    yield svg.line(x.start, y.at(1), x.end, y.at(1), RED, width=1.2, dash="5 3")
    for each, colour in zip(grown, _COLOURS, strict=False):
        yield from _cloud(throughput, each.use, x, y, colour)
    for number, (each, colour) in enumerate(zip(grown, _COLOURS, strict=False)):
        until = min(x.high, each.full_at.value if each.full_at is not None else x.high)
        ends = [(x.at(at), y.at(each.idle + each.slope * at)) for at in (0.0, until)]
        yield svg.curve(ends, colour, width=2.2)
        yield svg.rect(x.start + 12, y.at(1) + 10 + 18 * number, 12, 12, colour, rx=2)
        yield text(x.start + 30, y.at(1) + 20 + 18 * number, title(each), size=10.5)


def _why_none(shown: tuple[Ranked, ...]) -> str:
    return next((each.missing.sentence for each in shown if each.missing is not None), "no resource was asked for")


def _scaling(ranking: Ranking, top: float) -> Iterator[str]:
    """Draw throughput over concurrency with the law's curve."""
    yield text(
        _RIGHT - 46, top + 25, "Throughput as concurrency grows (Universal Scalability Law)", size=13, weight="bold"
    )
    law, n, throughput = ranking.law, ranking.concurrency, ranking.throughput
    below = svg.wrapped(scaling(ranking), _RIGHT_END - _RIGHT + 40, 11, 2 if isinstance(law, Law) else 6)
    for number, words in enumerate(below):
        yield text(_RIGHT - 46, top + 43 + 14 * number, words, size=11, fill=DIM)
    if isinstance(law, Missing) or isinstance(n, Missing) or isinstance(throughput, Missing):
        return
    most = float(np.nanmax(n))
    far = max(most * 1.15, min(law.at.value * 1.3, most * _REACH) if law.at is not None else 0.0)
    curve_n = np.linspace(far / 200, far, 200)
    curve = throughput_at(law, curve_n)
    x = Scale(0, far, _RIGHT, _RIGHT_END)
    y = Scale(0, 1.08 * max(float(curve.max()), float(np.nanmax(throughput))), top + 52 + _PLOT_HEIGHT, top + 72)
    yield from _frame(x, y, "requests in flight", percent=False)
    yield from _cloud(n, throughput, x, y, SKY)
    within = curve_n <= most
    points = [(x.at(at), y.at(value)) for at, value in zip(curve_n, curve, strict=True)]
    split = int(within.sum())
    yield svg.curve(points[:split], BLUE, width=2.2)
    yield svg.curve(points[max(split - 1, 0) :], BLUE, width=2.2, dash="5 4")
    if law.peak is not None and law.at is not None:
        yield svg.dot(x.at(law.at.value), y.at(law.peak.value), 5, RED)
        label = f"peak {svg.quantity(law.peak.value)}/s at {law.at.value:.3g}"
        yield text(x.at(law.at.value), y.at(law.peak.value) + 20, label, fill=RED, anchor="middle")


def _frame(x: Scale, y: Scale, words: str, *, percent: bool) -> Iterator[str]:
    for value in svg.round_values(x.low, x.high, 8):
        yield svg.line(x.at(value), y.end, x.at(value), y.start, RULE)
        yield text(x.at(value), y.start + 15, svg.quantity(value), anchor="middle", size=9.5, fill=FAINT)
    for value in svg.round_values(y.low, y.high, 6):
        yield svg.line(x.start, y.at(value), x.end, y.at(value), RULE)
        shown = f"{value * 100:.0f} %" if percent else svg.quantity(value)
        yield text(x.start - 7, y.at(value) + 3.5, shown, anchor="end", size=9.5, fill=FAINT)
    yield text(x.end, y.start + 29, words, anchor="end", size=10, fill=DIM)


def _cloud(across: Numbers, up: Numbers, x: Scale, y: Scale, colour: str) -> Iterator[str]:
    seen = np.flatnonzero(np.isfinite(across) & np.isfinite(up))
    for index in seen[:: max(1, -(-seen.size // _MOST_POINTS))]:
        yield svg.dot(x.at(float(across[index])), y.at(float(up[index])), 2, colour, opacity=_CLOUD)
