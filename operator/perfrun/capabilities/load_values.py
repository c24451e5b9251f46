"""How a load's books and the answers of Prometheus become values: the nodes' shares, response times, CPU.

Only the increased traffic is judged. What must "stay" below a limit counts from the moment at which traffic grows;
otherwise the first windows after it may be warm-up, and are cut where the rule says so (MSER). A latency that goes on
rising has no percentile to speak of: the answer would depend on how long the load lasts.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import attrs

from perfrun.api.base import JSON
from perfrun.api.plan import Claim
from perfrun.capabilities.base import Evidence, Measured, NotMeasured
from perfrun.capabilities.books import (
    COARSE_SCALE,
    PER_DOUBLING,
    Books,
    job,
    nodes_of,
    read,
    saturated,
    span,
    strangers,
)
from perfrun.capabilities.cpu import measure_cpu
from perfrun.language import quantities
from perfrun.language.model import Quantity
from perfrun.measuring.histograms import Histogram, HistogramError, Octaves
from perfrun.measuring.percentiles import Bounds
from perfrun.measuring.spread import bounded_spread, clustering_of
from perfrun.measuring.timeline import named
from perfrun.measuring.warmup import Steady, steady_state

MOST_STRANGERS: Final = 0.01
"""Share of answers that may come from servers that are not known; more, and nobody knows who did the work."""

_TIMES_AS_LONG: Final = 10
"""How far a rise of response times is drawn on, in lengths of the load."""

_TWO: Final = 2
_FEWEST_ANSWERS: Final = 20
_NAMED: Final = 3


def measure(claim: Claim, evidence: Evidence, confidence: float) -> Measured | NotMeasured:
    """Return the value that the evidence gives for a claim of load balancing, in the claim's unit."""
    key = claim.subject.partition(".")[2]
    if key == "cpu" and evidence.answer is None and not evidence.shards:
        return measure_cpu(claim, evidence)
    books = read(evidence)
    if isinstance(books, NotMeasured):
        return books
    limit = claim.parameters["latency_limit"]
    late = saturated(evidence, books, [int(claim.parameters["segment"])], None if limit is None else float(limit))
    if late is not None:
        return late
    if key == "cpu":
        return measure_cpu(claim, evidence)
    if key == "difference":
        return _difference(claim, evidence, books, confidence)
    return _response_time(claim, evidence, books, confidence)


def _difference(claim: Claim, evidence: Evidence, books: Books, confidence: float) -> Measured | NotMeasured:
    begins, ends = float(claim.parameters["begins"]), float(claim.parameters["ends"])
    start = books.timeline.start
    run = named(books.timeline, nodes_of(evidence.serving)).between(start + begins, start + ends)
    nodes = [each.node for each in evidence.serving]
    facts = books.facts() | {"requests_per_connection": _per_connection(books)}
    if len(nodes) < _TWO:
        message = (
            f"{len(nodes)} node serves, and a difference takes two" if nodes else "it is not known which nodes serve"
        )
        return _nothing("NotEnoughNodes", message, claim, evidence, books, facts)
    unknown, total = strangers(run, evidence.serving)
    if total and sum(unknown.values()) > MOST_STRANGERS * total:
        return _nothing("UnknownServers", unknown_servers(unknown, total), claim, evidence, books, facts)
    found = bounded_spread([window.served for window in run.windows], nodes, confidence)
    if found is None:
        message = "no request got a good answer while traffic was increased"
        return _nothing("NoGoodAnswers", message, claim, evidence, books, facts)
    factor = quantities.convert(Quantity(1.0, ""), claim.unit)
    totals = {name: sum(window.served.get(name, 0) for window in run.windows) for name in nodes}
    return Measured(
        value=found.value * factor,
        lower=found.lower * factor,
        upper=found.upper * factor,
        samples=found.answers,
        effective_samples=found.answers / found.clustering,
        window=span(books, begins, ends),
        source=job(evidence),
        facts=facts | {"answers_by_node": dict(totals), "clustering": round(found.clustering, 2)},
        note=_most_and_least(found.most, found.least, totals, found.clustering),
    )


def unknown_servers(unknown: Mapping[str, int], total: int) -> str:
    """Return in a sentence that answers came from servers which are none of the Service's pods or nodes."""
    count = sum(unknown.values())
    if set(unknown) == {""}:
        return (
            f"{count} of {total} answers do not say which server gave them; let servers set the header that "
            "service.servedByHeader of the PerfTarget names to the name of their pod or node"
        )
    names = ", ".join(repr(name) for name in sorted(unknown)[:_NAMED])
    more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
    return (
        f"{count} of {total} answers came from {names}{more}, which are no pods or nodes of the Service; "
        "correct service.servedByHeader of the PerfTarget, or let pods stay while they are measured"
    )


def _most_and_least(most: str, least: str, totals: Mapping[str, int], clustering: float) -> str:
    told = f"{most} answered {totals[most]}, {least} {totals[least]}"
    return f"{told}, clusters of {clustering:.0f} answers" if clustering >= _TWO else told


def _per_connection(books: Books) -> float:
    opened = books.scalar("connections.opened")
    return round(books.ledger.ok / opened, 1) if opened else 0.0


@attrs.frozen
class _Latency:
    """The latencies that are judged: all of the segment, or what is left of them without the warm-up."""

    histogram: Histogram
    steady: Steady
    cut: float
    rows: Sequence[Mapping[int, int]]


def _response_time(claim: Claim, evidence: Evidence, books: Books, confidence: float) -> Measured | NotMeasured:
    segment, quantile = int(claim.parameters["segment"]), float(claim.parameters["quantile"])
    try:
        whole = books.histogram(f"latency.{segment}")
    except HistogramError as error:
        return _nothing("MalformedResult", str(error), claim, evidence, books, {}, broken=True)
    facts = books.facts()
    if whole.total == 0:
        return _nothing(
            "NoSamples", "no request came to an end while traffic was increased", claim, evidence, books, facts
        )
    judged = _judged(claim, books, whole)
    plain = judged.histogram.quantile(quantile)
    clustering, _ = clustering_of(_over(judged.rows, plain))
    found = judged.histogram.bounds(quantile, confidence, judged.histogram.total / clustering)
    unit = quantities.convert(Quantity(1.0, "s"), claim.unit)
    facts |= {
        "warm_up_seconds": round(judged.cut, 3), "clustering": round(clustering, 2),
        f"with_warm_up_{claim.unit}": round(whole.quantile(quantile) * unit, 3),
        f"p50_{claim.unit}": round(whole.quantile(0.5) * unit, 3),
        f"p99_{claim.unit}": round(whole.quantile(0.99) * unit, 3),
    }  # fmt: skip
    if not _settled(claim, judged.steady, found, unit):
        way = "risen" if judged.steady.drift > 0 else "fallen"
        message = (
            f"no steady state was found: response times had {way} by {abs(judged.steady.drift):.0%} when the load ended"
        )
        return _nothing("NoSteadyState", message, claim, evidence, books, facts)
    begins = float(claim.parameters["begins"]) + judged.cut
    return Measured(
        value=found.value * unit, lower=found.lower * unit, upper=found.upper * unit,
        samples=found.samples, effective_samples=found.effective_samples,
        window=span(books, begins, float(claim.parameters["ends"])), source=job(evidence), facts=facts,
        note=_latency_note(books, judged),
    )  # fmt: skip


def _judged(claim: Claim, books: Books, whole: Histogram) -> _Latency:
    """Return the latencies that count, with the steady state as it was found on their means by window."""
    size = books.timeline.seconds
    first, last = (round(float(claim.parameters[name]) / size) for name in ("begins", "ends"))
    rows = books.latencies()[first:last]
    group = max(1, math.ceil(_FEWEST_ANSWERS * len(rows) / max(1, whole.total)))
    joined = [_sum(rows[at : at + group]) for at in range(0, len(rows) - group + 1, group)]
    steady = steady_state([_mean(row) for row in joined if row], rising=True)
    if claim.parameters["sustained"] or steady.cut == 0:
        return _Latency(whole, steady, 0.0, rows)
    # The exact histogram holds the whole segment; what is left after a cut is known by coarse buckets.
    kept = rows[steady.cut * group :]
    return _Latency(_coarse(kept), steady, steady.cut * group * size, kept)


def _settled(claim: Claim, steady: Steady, found: Bounds, unit: float) -> bool:
    """Whether a verdict may be given: a rise only makes what is too slow slower, a fall what is fast enough faster.

    A rise that would not reach the limit if it went on for many times as long as it was watched says nothing against
    the verdict: microseconds of drift are no reason to doubt a promise of milliseconds.
    """
    if steady.found:
        return True
    if steady.drift > 0:
        far = found.upper * unit * (1 + _TIMES_AS_LONG * steady.drift)
        return far <= claim.limit or found.lower * unit > claim.limit
    return found.upper * unit <= claim.limit or bool(claim.parameters["sustained"])


def _over(rows: Sequence[Mapping[int, int]], value: float) -> list[list[int]]:
    """Return, for each window, how many latencies lie in buckets above that of a value, and how many do not."""
    edges = Octaves(PER_DOUBLING).edges
    over = [sum(count for bucket, count in row.items() if edges(bucket)[0] * COARSE_SCALE > value) for row in rows]
    return [[above, sum(row.values()) - above] for above, row in zip(over, rows, strict=True)]


def _coarse(rows: Sequence[Mapping[int, int]]) -> Histogram:
    return Histogram("s", COARSE_SCALE, Octaves(PER_DOUBLING), dict(_sum(rows)))


def _sum(rows: Sequence[Mapping[int, int]]) -> Counter[int]:
    total: Counter[int] = Counter()
    for row in rows:
        total.update(row)
    return total


def _mean(row: Mapping[int, int]) -> float:
    edges = Octaves(PER_DOUBLING).edges
    return sum(count * sum(edges(bucket)) / 2 for bucket, count in row.items()) / sum(row.values()) * COARSE_SCALE


def _latency_note(books: Books, judged: _Latency) -> str:
    failed = books.ledger.dropped + books.held
    parts = []
    if judged.cut:
        parts.append(f"after {judged.cut:.1f} s of warm-up")
    if failed:
        parts.append(f"{failed} without a good answer count as slow as the deadline")
    return ", ".join(parts)


def _nothing(
    reason: str, message: str, claim: Claim, evidence: Evidence, books: Books, facts: Mapping[str, JSON],
    *, broken: bool = False,
) -> NotMeasured:  # fmt: skip
    window = span(books, float(claim.parameters["begins"]), float(claim.parameters["ends"]))
    return NotMeasured(
        reason=reason, message=message, broken=broken, source=job(evidence), window=window, facts=dict(facts)
    )  # fmt: skip
