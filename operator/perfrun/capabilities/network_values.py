"""How what pods measured on the network becomes values, and when it is worth a verdict.

The path to another node is judged; the others stand beside it and show what the container network costs. A figure
that was taken at less than the peak load may break a promise, for more load makes no network better. It never keeps
one.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Final

import attrs

from perfrun.api.base import JSON
from perfrun.api.plan import Claim, Comparator
from perfrun.api.run import TimeWindow
from perfrun.capabilities.base import Evidence, FoundPeak, Measured, NotMeasured
from perfrun.capabilities.books import Books, read
from perfrun.capabilities.evidence import completed, moment, place, source
from perfrun.capabilities.network_figures import MICRO, Figure, figure, ratio
from perfrun.language import quantities
from perfrun.language.model import Quantity
from perfrun_kernels.contract import Result

QUANTILE: Final = 0.99
"""Of kernel-level latency, where a feature names no percentile: the tail is what requests wait for."""

OTHER, SAME, HOST = "other node", "same node", "host network"
"""The paths: between pods on two nodes, between pods on one, and between two nodes without the container network."""

_HELD_AT_LEAST: Final = 0.95
_KEPT: Final[Mapping[Comparator, Callable[[float, float], bool]]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


@attrs.frozen
class _Held:
    """How far the load was what it should be while something was measured.

    ``share`` are good answers over the requests that were due, ``rate`` is good answers per second.
    """

    share: float
    rate: float

    def __str__(self) -> str:
        return f"load held to {self.share:.0%} ({self.rate:.0f} good answers per second)"


def measure(claim: Claim, evidence: Evidence, confidence: float) -> Measured | NotMeasured:
    """Return the value that the evidence gives for a claim about the network, in the claim's unit."""
    result = completed(evidence)
    if isinstance(result, NotMeasured):
        return result
    books = read(evidence)
    if isinstance(books, NotMeasured):
        return attrs.evolve(books, message=f"of the load that it goes along with: {books.message}")
    found = figure(claim, result, confidence)
    facts = _facts(claim, evidence, books, found, confidence)
    if isinstance(found, NotMeasured):
        return attrs.evolve(found, source=source(evidence), facts=facts)
    window = TimeWindow(start=moment(found.spans[0][0]), end=moment(found.spans[-1][1]))
    held, peak = _held(books, found), _peak(claim, evidence)
    lacking = _lacking(peak, held, found)
    if lacking is not None and not _broken(claim, found):
        reason, message = lacking
        return NotMeasured(
            reason, f"{message}; measured then: {found.told}", source=source(evidence), window=window, facts=facts
        )
    return Measured(
        value=found.value, lower=found.lower, upper=found.upper, samples=found.samples,
        effective_samples=found.effective, window=window, source=place(evidence),
        facts=facts, note=f"{found.note}, {lacking[1] if lacking else _at(peak, held)}",
    )  # fmt: skip


def _peak(claim: Claim, evidence: Evidence) -> FoundPeak:
    """Return the peak load as the target states it, or as it was found."""
    stated = claim.parameters["stated_rate"]
    if stated is not None:
        return FoundPeak(float(stated), "stated by the target", proven=True)
    return evidence.peak or FoundPeak(evidence.rate, "how it was found is not known")


def _lacking(peak: FoundPeak, held: _Held, found: Figure) -> tuple[str, str] | None:
    """Return why what was measured was not measured at the peak load, as a reason and a sentence, or None."""
    if not peak.proven:
        return "PeakNotFound", f"the peak load was not found: {peak.why}"
    if held.share < _HELD_AT_LEAST:
        told = f"only {held.rate:.0f} of {peak.rate or 0.0:.0f} requests per second were answered well meanwhile"
        return "PeakNotHeld", f"the peak load was held to {held.share:.0%}: {told}"
    if found.short:
        return "PacketsBehind", f"the packets were not sent at the stated rate: {found.short}"
    return None


def _broken(claim: Claim, found: Figure) -> bool:
    """Whether the promise is broken even with the end of the interval that favours it."""
    favourable = found.lower if claim.comparator in ("<", "<=") else found.upper
    return not _KEPT[claim.comparator](favourable, claim.limit)


def _held(books: Books, found: Figure) -> _Held:
    windows = [
        window for begin, end in found.spans for window in books.timeline.between(begin, end).windows
    ]  # fmt: skip
    due, good = sum(each.due for each in windows), sum(each.good for each in windows)
    length = len(windows) * books.timeline.seconds
    return _Held(good / due if due else 0.0, good / length if length else 0.0)


def _at(peak: FoundPeak, held: _Held) -> str:
    return f"at the peak load of {peak.rate or 0.0:.0f}/s, held to {held.share:.0%}"


def _facts(
    claim: Claim, evidence: Evidence, books: Books, main: Figure | NotMeasured, confidence: float
) -> dict[str, JSON]:  # fmt: skip
    """Return all paths side by side, each in a sentence, and what was known of the load meanwhile."""
    found = _others(claim, evidence, confidence) | {OTHER: main}
    facts: dict[str, JSON] = {
        path: each.message if isinstance(each, NotMeasured) else f"{each.told}; {_held(books, each)}"
        for path, each in found.items()
    }
    host = found.get(HOST)
    if isinstance(main, Figure) and isinstance(host, Figure) and (cost := _cost(claim, main, host, confidence)):
        facts["container network costs"] = cost
    peak = _peak(claim, evidence)
    facts["peak_requests_per_second"] = None if peak.rate is None else round(peak.rate, 1)
    facts["peak_found"] = peak.why
    return facts | _about(evidence.result)


def _others(claim: Claim, evidence: Evidence, confidence: float) -> dict[str, Figure | NotMeasured]:
    """Return the paths to compare with, or why there is nothing to be said about them."""
    found: dict[str, Figure | NotMeasured] = {}
    stages = {path: stage for path, stage in dict(claim.parameters["paths"]).items() if path != OTHER}
    for path, stage in stages.items():
        result = evidence.beside.get(stage)
        if result is not None and result.outcome == "Completed":
            found[path] = figure(claim, result, confidence)
            continue
        said = evidence.lacking.get(stage, "") if result is None else result.message
        found[path] = NotMeasured("NotCompared", f"not measured: {said or 'its pod left no result'}")
    return found


def _cost(claim: Claim, main: Figure, host: Figure, confidence: float) -> str:
    """Return what pods pay for their network, against that of their nodes."""
    key = claim.subject.partition(".")[2]
    if key == "throughput":
        share = ratio(main, host, confidence)
        return f"{share} of the host network's throughput is left" if share else ""
    if key == "packet_loss":
        return ""
    micro = quantities.convert(Quantity(1.0, claim.unit), "s") * MICRO
    added, least, most = (
        each * micro
        for each in (main.value - host.value, main.lower - host.upper, main.upper - host.lower)
    )  # fmt: skip
    return f"{added:+.1f} µs at p{QUANTILE * 100:g} ({least:+.1f} to {most:+.1f})"


def _about(result: Result | None) -> dict[str, JSON]:
    names = ("device", "mtu", "kernel", "same_kernel", "iperf3", "streams", "congestion", "packet_bytes")
    return {name: result.facts[name] for name in names if result is not None and name in result.facts}
