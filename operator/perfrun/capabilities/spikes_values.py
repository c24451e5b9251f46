"""What an agent found out about latency spikes becomes four values: the slowest answer of each kind, over all spikes.

A spike that was made is scored against how it was made, with the moment of its effect as zero. One that nobody made is
scored against what the kernel's events prove, from the moment at which its probe was sent; whether there were others
that nobody noticed is not known then. An answer that is wrong, or never came, is not there yet when the watch ends.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final, cast

import attrs

from perfrun.api.plan import Claim
from perfrun.api.run import Source
from perfrun.capabilities.base import Evidence, Measured, NotMeasured
from perfrun.capabilities.books import job
from perfrun.capabilities.evidence import completed, window
from perfrun.capabilities.spikes_facts import facts_of
from perfrun.capabilities.spikes_record import Answer, Record, RecordError, Spike, record_of
from perfrun.language import quantities
from perfrun.language.model import Quantity
from perfrun_kernels.contract import Result

ASKED: Final[Mapping[str, Answer]] = {
    "Detect the spike": "detect", "Identify the container": "identify", "Locate the kernel issue": "locate",
    "Generate trace data": "trace",
}  # fmt: skip
"""What each action of the feature's table asks of the agent."""

_WRONG: Final[Mapping[Answer, str]] = {
    "detect": "not detected", "identify": "not put down to the right container",
    "locate": "not put down to the right part of the kernel", "trace": "without trace data",
}  # fmt: skip
_UNPROVEN: Final[Mapping[Answer, str]] = {
    "detect": "the spike", "identify": "the container", "locate": "the part of the kernel", "trace": "the trace",
}  # fmt: skip
_NAMED: Final = 3


def measure(claim: Claim, evidence: Evidence) -> Measured | NotMeasured:
    """Return how long the slowest answer took that a claim is about, in the claim's unit."""
    fault = evidence.fault
    if (bad := next((each for each in evidence.shards if each.outcome != "Completed"), None)) is not None:
        return NotMeasured(bad.reason or bad.outcome, bad.message, broken=bad.outcome == "Failed", source=job(evidence))
    if fault is not None and fault.reason:
        return NotMeasured(reason=fault.reason, message=fault.message, source=_source(evidence))
    result = _handed_in(evidence)
    if isinstance(result, NotMeasured):
        return result
    try:
        record = record_of(result)
    except RecordError as error:
        return NotMeasured("MalformedResult", str(error), broken=True, source=_source(evidence))
    facts = facts_of(record, result, evidence)
    spikes = record.made if claim.parameters["inject"] else record.natural
    asked = cast("Answer", claim.subject.partition(".")[2])
    if why := _nothing(claim, record, spikes, asked) or (_thinned(claim, result) if asked == "detect" else None):
        reason, message = why
        return NotMeasured(reason, message, source=_source(evidence), window=window(result), facts=facts)
    value, upper = _slowest(claim, spikes, asked, result)
    return Measured(
        value=value, lower=value, upper=upper, samples=len(spikes), effective_samples=float(len(spikes)),
        window=window(result), source=_source(evidence), facts=facts, note=_note(record, spikes, asked),
    )  # fmt: skip


def _handed_in(evidence: Evidence) -> Result | NotMeasured:
    result = completed(evidence)
    if isinstance(result, Result):
        return result
    if evidence.result is None and not evidence.lost_reason:
        result = NotMeasured("NoResult", "the fault agent handed in no result; its log says why")
    return attrs.evolve(result, source=_source(evidence))


def _nothing(claim: Claim, record: Record, spikes: Sequence[Spike], asked: Answer) -> tuple[str, str] | None:
    """Return why there is nothing to be measured: a reason and a sentence."""
    made = bool(claim.parameters["inject"])
    if not spikes and made:
        why = "; ".join(f"{kind}: {each}" for kind, each in sorted(record.refused.items())) or (
            "pods were held up by something else each time" if record.overlaid else "no kind took effect"
        )
        return "NothingInjected", f"none of the spikes that were to be made took effect ({why})"
    if not spikes:
        return "NoSpike", (
            f"no latency spike occurred in {float(claim.parameters['window']):g} s; wait longer (spikes.window), or "
            "have some made (chaos.allowed, spikes.inject)"
        )
    detected = [each for each in spikes if each.right["detect"]]
    bad = [each for each in detected if not each.right[asked]]
    if asked == "trace" and bad:
        return "NoTrace", f"{len(bad)} of {len(spikes)} spikes have no trace data: {_named(bad)}"
    if not made and bad:
        return "NotProven", (
            f"of {len(spikes)} spikes that nobody made, {len(bad)} do not prove {_UNPROVEN[asked]}, so it is not known "
            f"whether that was found: {_named(bad)}"
        )
    return None


def _thinned(claim: Claim, result: Result) -> tuple[str, str] | None:
    """Return why a spike need not have been seen in time: probes were sent too seldom, to keep what watching costs."""
    times = {name: each.value or 0.0 for name, each in result.scalars.items()}
    interval, longest = times.get("interval", 0.0), times.get("interval.max", 0.0)
    limit = quantities.convert(Quantity(claim.limit, claim.unit), "s")
    if longest <= interval or longest + times.get("deadline", 0.0) <= limit:
        return None
    return "OverBudget", (
        f"to take no more of the node's CPUs than spikes.budget permits, the pods were asked only every "
        f"{1e3 * longest:.3g} ms at times, so that a spike may go unseen for longer than the limit; permit more, watch "
        "fewer pods, or take a node with more CPUs"
    )


def _slowest(claim: Claim, spikes: Sequence[Spike], asked: Answer, result: Result) -> tuple[float, float]:
    """Return value (a lower bound too) and upper bound of the slowest answer, in the claim's unit.

    Of an answer that was not there at the end of the watch it is known that it took longer than that; where the limit
    is longer still, it counts as never given, for nobody would have given it any more.
    """
    times, missing = [], False
    for each in spikes:
        after = each.after[asked]
        missing = missing or not each.right[asked]
        times.append(after if each.right[asked] and after is not None else result.finished - each.at)
    value = quantities.convert(Quantity(max(times), "s"), claim.unit)
    if not missing:
        return value, value
    return (value if value > claim.limit else math.inf), math.inf


def _note(record: Record, spikes: Sequence[Spike], asked: Answer) -> str:
    wrong = [each for each in spikes if not each.right[asked]]
    told = f"{len(wrong)} of {len(spikes)} {_WRONG[asked]}: {_named(wrong, asked)}" if wrong else ""
    slowest = max(spikes, key=lambda each: each.after[asked] or 0.0)
    parts = [told or f"slowest: {slowest}"]
    if not slowest.kind:
        parts.append("none was made, so they are scored against what is proven")
    elif (done := len(record.made) + record.overlaid) < record.ordered:
        without = f", no {', no '.join(sorted(record.refused))}" if record.refused else ""
        parts.append(f"{done} of {record.ordered} could be made{without}")
    if record.overlaid:
        parts.append(f"{record.overlaid} made while the pod was held up by something else already, and left out")
    return "; ".join(parts)


def _named(spikes: Sequence[Spike], asked: Answer | None = None) -> str:
    told = [f"{each} as {each.stage}, not {each.truth}" if asked == "locate" else str(each) for each in spikes[:_NAMED]]
    more = f" and {len(spikes) - _NAMED} more" if len(spikes) > _NAMED else ""
    return ", ".join(told) + more


def _source(evidence: Evidence) -> Source:
    nodes = evidence.fault.nodes if evidence.fault is not None else ()
    return Source(kind="Pod", name=f"fault agent on {', '.join(each.node for each in nodes)}")
