"""From a model that was measured before and after converting it to what that gained, and what it cost.

Bytes are counted, so their decrease is exact. Speed is a ratio of times taken in turns on a GPU, and nothing without
one. Accuracy is compared item by item: it is the items that only one of the two got right that tell.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from perfrun.api.base import JSON
from perfrun.api.plan import Claim
from perfrun.capabilities.base import Evidence, Measured, NotMeasured, Outcome
from perfrun.capabilities.evidence import completed, lacking, number, place, source, window
from perfrun.capabilities.gpu import disturbed
from perfrun.capabilities.sampling_values import describe
from perfrun.language import quantities
from perfrun.language.model import Quantity
from perfrun.measuring.means import Interval
from perfrun.measuring.noninferiority import decrease
from perfrun.measuring.ratios import ratio_of_turns
from perfrun_kernels.contract import Result, Series

_PAIRS: Final = ("both", "only_before", "only_after", "neither")
_NUMBERS: Final = ("size.before", "size.after", "memory.before", "memory.after", "accuracy.before", "accuracy.after")


def measure(claim: Claim, evidence: Evidence, confidence: float) -> Outcome:
    """Return the decrease or increase that a claim is about, in its unit."""
    result = completed(evidence)
    if isinstance(result, NotMeasured):
        return result
    match claim.subject.partition(".")[2]:
        case "size_decrease":
            return _size(claim, evidence, result)
        case "speed_increase":
            return _speed(claim, evidence, result, confidence)
        case _:
            return _accuracy(claim, evidence, result, confidence)


def _size(claim: Claim, evidence: Evidence, result: Result) -> Outcome:
    before, after = number(result, "size.before"), number(result, "size.after")
    if not before or after is None:
        return _nothing("NoReading", "the benchmark pod did not hand in both sizes", evidence, result)
    share = 1 - after / before
    note = f"{_bytes(before)} became {_bytes(after)}"
    if (peak := number(result, "memory.before")) and (left := number(result, "memory.after")):
        note += f", peak memory {_bytes(peak)} became {_bytes(left)}"
    return _measured(Interval(share, share, share, 1, 1.0), note, claim, evidence, result)


def _speed(claim: Claim, evidence: Evidence, result: Result, confidence: float) -> Outcome:
    before, after = (result.series.get(f"speed.{side}", Series("s", [])) for side in ("before", "after"))
    if not before.values or not after.values:
        reason = "NoGPU" if result.facts.get("device") == "cpu" else "NoSamples"
        return _nothing(reason, lacking(result, "speed") or "the benchmark pod timed no batches", evidence, result)
    if (why := disturbed(result)) is not None:
        return _nothing(*why, evidence, result)
    try:
        ratio = ratio_of_turns(before.values, before.starts, after.values, after.starts, confidence)
    except ValueError as error:
        return NotMeasured("MalformedResult", str(error), broken=True, source=source(evidence))
    gain = Interval(ratio.value - 1, ratio.lower - 1, ratio.upper - 1, ratio.samples, ratio.effective_samples)
    return _measured(gain, f"{ratio.value:.3g} times as fast", claim, evidence, result)


def _accuracy(claim: Claim, evidence: Evidence, result: Result, confidence: float) -> Outcome:
    counts = [number(result, f"accuracy.{name}") for name in _PAIRS]
    both, only_before, only_after, neither = (int(each or 0) for each in counts)
    items = both + only_before + only_after + neither
    if not items or None in counts:
        said = lacking(result, "accuracy.both")
        return _nothing("NoSamples", said or "the benchmark pod labelled no items", evidence, result)
    found = decrease(both, only_before, only_after, neither, confidence)
    note = (
        f"{(both + only_before) / items:.2%} of the items were right before and {(both + only_after) / items:.2%} "
        f"after, {only_before} only before, {only_after} only after, in percentage points"
    )
    return _measured(found, note, claim, evidence, result)


def _measured(share: Interval, note: str, claim: Claim, evidence: Evidence, result: Result) -> Measured:
    value, lower, upper = (
        quantities.convert(Quantity(100 * each, "%"), claim.unit) if math.isfinite(each) else each
        for each in (share.value, share.lower, share.upper)
    )
    return Measured(
        value=value, lower=lower, upper=upper, samples=share.samples, effective_samples=share.effective_samples,
        window=window(result), source=place(evidence), facts=_facts(result),
        note=", ".join(part for part in (note, describe(result.facts)) if part),
    )  # fmt: skip


def _facts(result: Result) -> Mapping[str, JSON]:
    numbers = {name.replace(".", "_"): number(result, name) for name in _NUMBERS}
    return dict(result.facts) | {name: value for name, value in numbers.items() if value is not None}


def _bytes(count: float) -> str:
    return quantities.show(Quantity(round(count / 1e6, 1), "MB"))


def _nothing(reason: str, message: str, evidence: Evidence, result: Result) -> NotMeasured:
    return NotMeasured(
        reason=reason, message=message, source=source(evidence), window=window(result), facts=_facts(result)
    )  # fmt: skip
