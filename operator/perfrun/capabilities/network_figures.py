"""What a pod measured on one path of the network, as a figure with its bounds: latency, loss, throughput.

Clocks of two nodes never agree to a microsecond, so latency is half of a round trip, taken between kernels: each end's
own time, that of its program included, is left out by differences of its own clock's time stamps. What a packet waits
in a qdisc counts, for the first stamp is taken as it enters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final

import attrs

from perfrun.api.plan import Claim
from perfrun.capabilities.base import NotMeasured
from perfrun.capabilities.evidence import number
from perfrun.language import quantities
from perfrun.language.model import Quantity
from perfrun.measuring import histograms
from perfrun.measuring.correlation import effective_for_quantile, split
from perfrun.measuring.histograms import HistogramError
from perfrun.measuring.ledger import share
from perfrun.measuring.means import batch_mean_of, mean
from perfrun.measuring.percentiles import bounds, samples_needed
from perfrun_kernels.contract import Result, Series

MICRO: Final = 1e6

_SENT_AT_LEAST: Final = 0.99
_VAGUE: Final = 2.0
"""How many times a ratio its upper bound may be, to be worth telling."""

_MILLI: Final = 1e3
_ONE_WAY: Final = 0.5
_RAMP: Final = 1
"""Intervals at the beginning of a slice that TCP takes to find its rate."""


@attrs.frozen
class Figure:
    """A value of one path in the claim's unit, with one-sided bounds, and when it was measured.

    ``spans`` are (begin, end) in seconds since the epoch. ``told`` says the same for people, with what goes with it;
    ``note`` is what else a verdict on it must say. ``rounds`` are the means of its slices, of throughput only.
    ``short`` is why the packets were not those that were asked for, or empty.
    """

    value: float
    lower: float
    upper: float
    samples: int
    effective: float
    spans: tuple[tuple[float, float], ...]
    told: str
    note: str = ""
    rounds: tuple[float, ...] = ()
    short: str = ""


def figure(claim: Claim, result: Result, confidence: float) -> Figure | NotMeasured:
    """Return what a claim is about, as measured by one pod, or why its result does not give it."""
    try:
        return _FIGURES[claim.subject.partition(".")[2]](claim, result, confidence)
    except KeyError as error:
        return NotMeasured("MalformedResult", f"the result of {result.stage} has no {error}", broken=True)
    except HistogramError as error:
        return NotMeasured("MalformedResult", f"the result of {result.stage} cannot be read: {error}", broken=True)


def ratio(left: Figure, right: Figure, confidence: float) -> str:
    """Return how much of ``right`` the figure ``left`` is, from slices that took turns, or nothing for too few.

    It is the mean of the logarithms of the rounds' ratios, so that what a round had of luck is in both of its sides.
    """
    pairs = list(zip(left.rounds, right.rounds, strict=False))
    if not pairs or min(min(pair) for pair in pairs) <= 0:
        return ""
    found = mean([math.log(mine / other) for mine, other in pairs], confidence)
    low, middle, high = (math.exp(each) * 100 for each in (found.lower, found.value, found.upper))
    if high > _VAGUE * middle:
        return f"{middle:.3g} % (too few slices to bound it)"
    return f"{middle:.3g} % ({low:.3g} to {high:.3g})"


def _latency(claim: Claim, result: Result, confidence: float) -> Figure | NotMeasured:
    series = result.series.get("rtt.kernel", Series("s", []))
    if not series.values:
        return NotMeasured("NoSamples", f"no packet of {result.stage} has all of its kernel time stamps")
    quantile, marked = float(claim.parameters["quantile"]), _scalar(result, "marked")
    # A packet whose time stamps did not come may have been the slowest, or the fastest, of all.
    missing = max(0, round(marked) - len(series.values))
    unknown, worst = [0.0] * missing, [math.inf] * missing
    plain = bounds(series.values, quantile, confidence)
    worth = effective_for_quantile(series.values, plain.value, series.starts)
    lower = bounds([*series.values, *unknown], quantile, confidence, worth).lower
    upper = bounds([*series.values, *worst], quantile, confidence, worth).upper
    factor = quantities.convert(Quantity(_ONE_WAY, "s"), claim.unit)
    micro = _ONE_WAY * MICRO
    told = (
        f"p{quantile * 100:g} {plain.value * micro:.1f} µs one way "
        f"({_bound(lower * micro)} to {_bound(upper * micro)}), "
        f"p50 {bounds(series.values, 0.5, confidence).value * micro:.1f} µs; "
        f"p99 in the qdisc {_p99(result, 'qdisc.client')}, round trip of the programs {_p99(result, 'rtt.application')}"
    )
    stampless = f", {missing} of {round(marked)} packets without time stamps" if missing else ""
    return Figure(
        value=plain.value * factor, lower=lower * factor, upper=upper * factor,
        samples=plain.samples, effective=worth, spans=(_packets(result),), told=told + stampless,
        note=f"p{quantile * 100:g} one way, half of the round trip between kernels{stampless}", short=_short(result),
    )  # fmt: skip


def _loss(claim: Claim, result: Result, confidence: float) -> Figure | NotMeasured:
    counts = {name: round(_scalar(result, name)) for name in _COUNTS}
    sent, lost = counts["sent"], counts["lost"]
    if counts["scheduled"] != sent + counts["refused"] + counts["unsent"] or (
        sent != counts["received"] + counts["overflowed"] + lost
    ):
        told = ", ".join(f"{count} {name}" for name, count in counts.items())
        return NotMeasured(
            "LedgerOpen", f"the packets of {result.stage} are not all accounted for: {told}", broken=True
        )
    if sent == 0:
        return NotMeasured("NoSamples", f"no packet of {result.stage} was sent")
    found = share(lost, sent, confidence)
    factor = quantities.convert(Quantity(1.0, ""), claim.unit)
    others = f"{counts['duplicates']} twice, {counts['reordered']} out of order"
    if counts["overflowed"]:
        others += f", {counts['overflowed']} arrived and found the program's buffer full"
    if counts["refused"]:
        others += f", {counts['refused']} refused by the sender's kernel"
    told = f"{lost} of {sent} packets lost at {_scalar(result, 'packets.rate'):.0f}/s, {others}"
    return Figure(
        value=found.value * factor, lower=found.lower * factor, upper=found.upper * factor, samples=sent,
        effective=float(sent), spans=(_packets(result),),
        told=f"{told}; at most {found.upper * factor:.4g} {claim.unit}",
        note=told + _too_few(claim.limit / factor, sent, lost, confidence), short=_short(result),
    )  # fmt: skip


def _too_few(limit: float, sent: int, lost: int, confidence: float) -> str:
    """Return how many packets a promise would have needed, where these were too few for any."""
    if lost or not 0 < limit < 1 or sent >= (needed := samples_needed(1 - limit, confidence)):
        return ""
    return f"; it takes {needed} with none lost"


def _throughput(claim: Claim, result: Result, confidence: float) -> Figure | NotMeasured:
    series = result.series.get("throughput", Series("Gbit/s", []))
    slices = [part[_RAMP:] for part in split(series.values, series.starts) if len(part) > _RAMP]
    table = result.tables["slices"]
    if not slices or not table.rows:
        return NotMeasured("NoSamples", f"no slice of {result.stage} lasted long enough to have a rate")
    found = batch_mean_of(slices, confidence)
    # Student's t knows nothing of a rate that is never negative.
    lower = max(0.0, found.lower) if math.isfinite(found.lower) else found.lower
    factor = quantities.convert(Quantity(1.0, series.unit), claim.unit)
    at = {name: index for index, name in enumerate(table.columns)}
    spans = tuple((row[at["started"]], row[at["started"]] + row[at["seconds"]]) for row in table.rows)
    again = f"{_known(result, 'retransmits', '.0f')} segments sent again"
    told = (
        f"{found.value:.3g} Gbit/s ({_bound(lower)} to {_bound(found.upper)}) in {len(slices)} slices, {again}, "
        f"CPU per Gbit {_known(result, 'cpu.client', '.3f')} s sending and {_known(result, 'cpu.server', '.3f')} s "
        f"receiving, MTU {result.facts.get('mtu')}, congestion control {result.facts.get('congestion') or 'not told'}"
    )
    return Figure(
        value=found.value * factor, lower=lower * factor, upper=found.upper * factor,
        samples=found.samples, effective=found.effective_samples, spans=spans, told=told,
        note=f"{len(slices)} slices with {result.facts.get('streams')} streams, {again}",
        rounds=tuple(math.fsum(each) / len(each) for each in slices),
    )  # fmt: skip


_FIGURES: Final[Mapping[str, Callable[[Claim, Result, float], Figure | NotMeasured]]] = {
    "kernel_latency": _latency, "packet_loss": _loss, "throughput": _throughput,
}  # fmt: skip

_COUNTS: Final = (
    "scheduled", "sent", "refused", "unsent", "received", "overflowed", "lost", "duplicates", "reordered",
)  # fmt: skip


def _short(result: Result) -> str:
    """Return that fewer packets went out than were asked for, where it is so."""
    scheduled, sent = _scalar(result, "scheduled"), _scalar(result, "sent")
    if sent >= _SENT_AT_LEAST * scheduled:
        return ""
    return f"{sent:.0f} of {scheduled:.0f} packets went out ({_scalar(result, 'packets.rate'):.0f}/s)"


def _packets(result: Result) -> tuple[float, float]:
    return _scalar(result, "packets.started"), _scalar(result, "packets.finished")


def _p99(result: Result, name: str) -> str:
    found = result.histograms.get(name)
    whole = None if found is None else histograms.decode(found.data, found.unit, found.scale)
    return "unknown" if whole is None or whole.total == 0 else _length(whole.quantile(0.99))


def _length(seconds: float) -> str:
    return f"{seconds * MICRO:.1f} µs" if seconds * MICRO < _MILLI else f"{seconds * _MILLI:.3g} ms"


def _known(result: Result, name: str, digits: str) -> str:
    found = number(result, name)
    return "an unknown number of" if found is None else format(found, digits)


def _bound(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else "unknown"


def _scalar(result: Result, name: str) -> float:
    """Return a number of the result.

    Raises:
        KeyError: it has none of that name.
    """
    return result.scalars[name].value or 0.0
