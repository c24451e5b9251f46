"""From what a pipeline's memory looked like while it was active to fragmentation, cache hits and leaks.

An attempt that was lost may have handed in what it had: all attempts together are the evidence, each with offsets of
its own, for what a new process takes to begin with is no leak. Evidence that ends with a lost pod can break a promise
and never keeps one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import attrs

from perfrun.api.base import JSON
from perfrun.api.plan import Claim
from perfrun.api.run import TimeWindow
from perfrun.capabilities.base import Evidence, Measured, NotMeasured, Outcome, Refuted, Unproven
from perfrun.capabilities.evidence import completed, lacking, moment, number, place, source
from perfrun.capabilities.gpu import spoilt
from perfrun.capabilities.history import span
from perfrun.capabilities.sampling_values import describe
from perfrun.language import quantities
from perfrun.language.model import Quantity
from perfrun_kernels.contract import Result, Table

LEAK: Final = "leak"
"""Key of claims about leaks."""

_KINDS: Final[Mapping[str, str]] = {
    "rss": "host memory", "allocated": "allocated GPU memory", "nvml": "GPU memory of the process",
}  # fmt: skip
"""What may leak, as the columns are named and as people are told. What torch keeps for later is none of these."""

_SETTLED_SECONDS: Final = 1.0
"""By how much the observed time may miss the stated one: the first sample comes after the first batches."""


@attrs.frozen
class _Rise:
    """How one kind of memory grows: value and one-sided bounds, bytes per second."""

    kind: str
    value: float
    lower: float
    upper: float
    samples: int
    effective_samples: float


def measure(claim: Claim, evidence: Evidence, confidence: float) -> Outcome:
    """Return the value that a claim about memory is about, in its unit."""
    last = completed(evidence)
    if isinstance(last, Result):
        return _outcome(claim, evidence, (*evidence.earlier, last), confidence)
    if last.broken or not evidence.earlier:
        return last
    outcome = _outcome(claim, evidence, evidence.earlier, confidence)
    if isinstance(outcome, NotMeasured):
        return last
    measured = outcome if isinstance(outcome, Measured) else outcome.measured
    return Unproven(last.reason, f"it was not watched to the end: {last.message}; until then", measured)


def _outcome(claim: Claim, evidence: Evidence, parts: Sequence[Result], confidence: float) -> Outcome:
    match claim.subject.partition(".")[2]:
        case "fragmentation":
            return _fragmentation(claim, evidence, parts)
        case "cache_hit_rate":
            return _hits(claim, evidence, parts)
        case _:
            return _leak(claim, evidence, parts, confidence)


def _fragmentation(claim: Claim, evidence: Evidence, parts: Sequence[Result]) -> Outcome:
    """Return the worst share at any checkpoint of any attempt."""
    worst = [value for part in parts if (value := number(part, "fragmentation.worst")) is not None]
    if not worst:
        reason = "NoGPU" if parts[-1].facts.get("device") == "cpu" else "NoReading"
        said = lacking(parts[-1], "fragmentation.worst")
        return _nothing(reason, said or "the benchmark pod looked at no allocator", evidence, parts)
    if (why := _spoilt(parts)) is not None:
        return _nothing(*why, evidence, parts)
    value = quantities.convert(Quantity(100 * max(worst), "%"), claim.unit)
    measured = _measured((value, value, value), len(worst), "at the worst moment", evidence, parts)
    retries, ooms = _sum(parts, "allocator.retries") or 0.0, _sum(parts, "allocator.ooms") or 0.0
    if retries or ooms:
        text = f"the allocator gave up {ooms:.0f} times, and freed its cache to go on {retries:.0f} times"
        return Refuted("AllocatorRetried", text, measured)
    return measured


def _hits(claim: Claim, evidence: Evidence, parts: Sequence[Result]) -> Outcome:
    """Return the share of prompt tokens whose keys and values were there already; all of them were counted."""
    queries, hits, ideal = (_sum(parts, f"prefix.{name}") for name in ("queries", "hits", "ideal"))
    if not queries or hits is None:
        said = lacking(parts[-1], "prefix.queries")
        return _nothing("NoReading", said or "the prefix cache was asked for nothing", evidence, parts)
    value = quantities.convert(Quantity(100 * hits / queries, "%"), claim.unit)
    note = f"{hits:.0f} of {queries:.0f} tokens"
    if ideal is not None:
        note += f", at best {ideal / queries:.1%} of this workload"
    return _measured((value, value, value), int(queries), note, evidence, parts)


def _leak(claim: Claim, evidence: Evidence, parts: Sequence[Result], confidence: float) -> Outcome:
    """Return the growth over the stated time, of the kind of memory that grows most."""
    rises = _rises(parts, confidence)
    if not rises:
        if said := lacking(parts[-1], "leak"):
            return _nothing("NoReading", said, evidence, parts)
        return _nothing("TooFewSamples", "too few samples tell whether memory grows", evidence, parts)
    if len(rises) > 1 and (why := _spoilt(parts)) is not None:
        return _nothing(*why, evidence, parts)
    period, watched = float(claim.parameters["period_s"]), _watched(parts)
    worst = max(rises, key=lambda each: each.upper)
    lower = max(each.lower for each in rises)
    factor = quantities.convert(Quantity(period, "B"), claim.unit)
    # What has grown past the budget already needs no projection.
    seen = watched + _SETTLED_SECONDS >= period or lower * factor * watched / period > claim.limit
    most = " grows most" if len(rises) > 1 else ""
    note = f"{_KINDS[worst.kind]}{most}, watched for {span(watched)}"
    if len(parts) > 1:
        note += f" in {len(parts)} attempts"
    measured = _measured(
        (worst.value * factor, lower * factor, worst.upper * factor), worst.samples, note, evidence, parts,
        slopes={f"{each.kind}_bytes_per_hour": round(3600 * each.value, 1) for each in rises},
    )  # fmt: skip
    return attrs.evolve(
        measured, effective_samples=worst.effective_samples, basis="Observed" if seen else "Projected"
    )  # fmt: skip


def _rises(parts: Sequence[Result], confidence: float) -> list[_Rise]:
    """Return how each kind of memory grows that the tables have, at bounds which hold for all of them together."""
    from perfrun.measuring.trends import Segment, growth  # noqa: PLC0415 -- numpy and scipy, for evidence of this kind only

    tables = [part.tables["memory"] for part in parts if "memory" in part.tables]
    kinds = [kind for kind in _KINDS if any(kind in table.columns for table in tables)]
    each_at = 1 - (1 - confidence) / max(1, len(kinds))
    rises = []
    for kind in kinds:
        segments = [
            Segment(_column(table, "at"), _column(table, kind)) for table in tables if kind in table.columns
        ]  # fmt: skip
        found = growth(segments, each_at)
        if found is None:
            return []
        # A slope without a trend that a test sees is noise, whatever its interval says.
        lower = found.lower if found.rising <= 1 - each_at else min(found.lower, 0.0)
        rises.append(_Rise(kind, found.slope, lower, found.upper, found.samples, found.effective_samples))
    return rises


def _column(table: Table, name: str) -> list[float]:
    at = table.columns.index(name)
    return [row[at] for row in table.rows]


def _watched(parts: Sequence[Result]) -> float:
    return math.fsum(part.finished - part.started for part in parts)


def _spoilt(parts: Sequence[Result]) -> tuple[str, str] | None:
    return next((why for part in parts if (why := spoilt(part)) is not None), None)


def _sum(parts: Sequence[Result], name: str) -> float | None:
    values = [value for part in parts if (value := number(part, name)) is not None]
    return math.fsum(values) if values else None


def _measured(
    value: tuple[float, float, float], samples: int, note: str, evidence: Evidence, parts: Sequence[Result],
    slopes: Mapping[str, JSON] | None = None,
) -> Measured:  # fmt: skip
    return Measured(
        value=value[0], lower=value[1], upper=value[2], samples=samples, effective_samples=float(samples),
        window=_window(parts), source=place(evidence),
        facts=_facts(parts) | dict(slopes or {}),
        note=", ".join(part for part in (note, describe(parts[-1].facts)) if part),
    )  # fmt: skip


def _facts(parts: Sequence[Result]) -> dict[str, JSON]:
    """Return on what was measured, and what is told beside the claims."""
    beside = {
        "pool_fragmentation": number(parts[-1], "pool.fragmentation"),
        "allocator_hits": number(parts[-1], "allocator.hits"),
    }
    told = {name: round(value, 4) for name, value in beside.items() if value is not None}
    return dict(parts[-1].facts) | told | {"attempts": len(parts)}


def _window(parts: Sequence[Result]) -> TimeWindow:
    return TimeWindow(start=moment(parts[0].started), end=moment(parts[-1].finished))


def _nothing(reason: str, message: str, evidence: Evidence, parts: Sequence[Result]) -> NotMeasured:
    return NotMeasured(
        reason=reason, message=message, source=source(evidence), window=_window(parts), facts=_facts(parts)
    )  # fmt: skip
