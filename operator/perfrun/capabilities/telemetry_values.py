"""From what a pod found in the metrics store to how often each type of metric was really recorded.

The number is the interval of the worst series. What besides it decides is in two chains of rules, read in their order:
what refutes a row, and what must be known beyond doubt and is not.
"""

from __future__ import annotations

from typing import Final

import attrs

from perfrun.api.base import JSON
from perfrun.api.plan import Claim
from perfrun.capabilities.base import Evidence, Measured, NotMeasured, Outcome
from perfrun.capabilities.evidence import completed, place, window
from perfrun.capabilities.history import Told, attached, span
from perfrun.capabilities.rules import Rule, Why, incomplete, name_of, partial, weighed
from perfrun.language import quantities
from perfrun.language.model import Quantity
from perfrun_kernels.contract import Result

_NOUNS: Final = {"node": "nodes", "gpuNode": "nodes with a GPU", "pod": "pods"}
_NO_DATA: Final = frozenset({"NoSuchMetric"})
_COUNTS: Final = ("series", "present", "expected", "samples", "gaps", "resets", "duplicates", "stale")
_SECONDS: Final = ("interval.p99", "interval.max", "jitter", "skew")


@attrs.frozen
class _Row:
    """A row as it was stated and as it was found; times are in seconds."""

    claim: Claim
    told: Told

    @property
    def name(self) -> str:
        return name_of(self)

    def stated(self, name: str) -> float:
        return float(self.claim.parameters[name])


def measure(claim: Claim, evidence: Evidence) -> Outcome:
    """Return the observed interval of one row's worst series, and what else speaks against it."""
    result = completed(evidence)
    if isinstance(result, NotMeasured):
        return result
    row = _Row(claim, Told(result, str(claim.parameters["key"])))
    interval = row.told.number("interval")
    if interval is None:
        reason = row.told.fact("reason") or "TooFewSamples"
        message = row.told.fact("why") or row.told.lacking("interval")
        return NotMeasured(
            reason, message, no_data=reason in _NO_DATA, source=place(evidence), window=window(result),
            facts=_facts(row, result),
        )  # fmt: skip
    measured = _measured(row, interval, result, evidence)
    return weighed(row, measured, REFUTING, DOUBTING)


def _measured(row: _Row, interval: float, result: Result, evidence: Evidence) -> Measured:
    value = quantities.convert(Quantity(interval, "s"), row.claim.unit)
    samples = int(row.told.number("samples") or row.told.number("series") or 0)
    return Measured(
        value=value, lower=value, upper=value, samples=samples, effective_samples=float(samples),
        window=window(result), source=place(evidence), facts=_facts(row, result), note=_note(row),
    )  # fmt: skip


def _missing(row: _Row) -> Why | None:
    present, expected = row.told.number("present"), row.told.number("expected")
    if row.claim.parameters["per"] == "any" or present is None or expected is None or present >= expected:
        return None
    noun = _NOUNS[str(row.claim.parameters["per"])]
    absent = row.told.fact("missing")
    return "MissingSeries", f"{row.name} is recorded for {present:g} of {expected:g} {noun}, not for {absent}"


def _gaps(row: _Row) -> Why | None:
    complete, least = row.told.number("complete"), row.stated("completeness")
    if complete is None or complete >= least or row.told.fact("reason") == "ShortHistory":
        return None
    where = row.told.fact("gaps.where")
    return "Gaps", (
        f"{row.name} has {100 * complete:.4g} % of the samples of its worst series, fewer than {100 * least:.4g} %"
        + (f": {where}" if where else "")
    )


def _kept_shorter(row: _Row) -> Why | None:
    configured = row.told.whole("retention.configured")
    if configured is None or configured >= row.stated("retention_s"):
        return None
    stated = span(row.stated("retention_s"))
    return "RetentionTooShort", f"Prometheus keeps {row.name} for {span(configured)}, not for {stated}"


def _warned(row: _Row) -> Why | None:
    return partial(row.told.common("warnings"))


def _misdated(row: _Row) -> Why | None:
    skew = row.told.number("skew")
    if skew is None or abs(skew) <= row.stated("interval_s"):
        return None
    when = "before" if skew < 0 else "after"
    return "ClockSkew", (
        f"samples of {row.name} are dated {abs(skew):.3g} s {when} they were scraped, more than their interval, "
        "so that their times prove little"
    )


def _kept(row: _Row) -> Why | None:
    stated, oldest = row.stated("retention_s"), row.told.number("oldest") or 0.0
    if oldest >= stated:
        return None
    there = f"the oldest sample of {row.name} is {span(oldest)} old"
    if row.told.whole("retention.configured") is None:
        return "RetentionUnknown", f"{there}, and {row.told.common('retention.why') or 'retention is not known'}"
    if row.told.result.facts.get("retention.size_limited"):
        return "RetentionUnproven", (
            f"{there}, and the server also deletes by size, so that it is not known whether it keeps {span(stated)}"
        )
    return None


REFUTING: Final[tuple[Rule[_Row], ...]] = (_missing, _gaps, _kept_shorter)
"""What contradicts a row, whatever its interval is."""

DOUBTING: Final[tuple[Rule[_Row], ...]] = (incomplete, _warned, _misdated, _kept)
"""What leaves a row open, whatever its interval is."""


def _note(row: _Row) -> str:
    per, told = str(row.claim.parameters["per"]), row.told
    series = int(told.number("series") or 0)
    parts = [f"{series} series"]
    if per in _NOUNS:
        parts[0] += f" of {told.number('present') or 0:g} of {told.number('expected') or 0:g} {_NOUNS[per]}"
    if (complete := told.number("complete")) is not None:
        parts.append(f"{100 * complete:.4g} % complete")
    period = span(row.stated("period_s"))
    parts.append(f"in the {period} {'that was observed' if told.common('window') == 'observed' else 'before the run'}")
    parts.append(_retention(row))
    return ", ".join(parts)


def _retention(row: _Row) -> str:
    configured, oldest = row.told.whole("retention.configured"), row.told.number("oldest")
    kept = f"kept for {span(configured)} by its configuration" if configured is not None else "retention not told"
    return f"{kept}, oldest sample {span(oldest)} old" if oldest is not None else kept


def _facts(row: _Row, result: Result) -> dict[str, JSON]:
    told = row.told
    numbers = {name: told.number(name) for name in (*_COUNTS, "complete", *_SECONDS, "oldest")}
    facts: dict[str, JSON] = {
        name.replace(".", "_") + ("_s" if name in (*_SECONDS, "oldest") else ""): round(value, 4)
        for name, value in numbers.items()
        if value is not None
    }
    facts |= {
        name.replace(".", "_"): text
        for name in ("selector", "missing", "gaps.where", "why")
        if (text := told.fact(name))
    }
    facts |= {name: text for name in ("window", "prometheus", "warnings") if (text := told.common(name))}
    if (configured := told.whole("retention.configured")) is not None:
        facts["retention"] = span(configured)
    elif why := told.common("retention.why"):
        facts["retention"] = why
    return facts | attached(result)
