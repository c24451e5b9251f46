"""One claim and its evidence → one verdict: the only place that decides between Pass, Fail and Inconclusive.

The rule is the same for every claim: what decides is not the measured value but the end of its confidence interval.
Pass needs the unfavourable end to keep the promise; Fail needs the favourable end to break it; anything between is
Inconclusive, and no data is never a pass. Where a claim is about more than its number, the rest can only make it worse.
"""

from __future__ import annotations

import math

import attrs

from perfrun.api.feature import Policy
from perfrun.api.plan import Claim
from perfrun.api.verdicts import Verdict
from perfrun.capabilities.base import Measured, NotMeasured, Outcome, Refuted, Unproven
from perfrun.judging.wording import (
    SYMBOLS,
    counted,
    distinct,
    interval,
    limit_number,
    quantity,
    relation,
    satisfies,
)


@attrs.frozen
class Judgement:
    """A verdict with its reason (CamelCase) and message (one sentence with the number)."""

    verdict: Verdict
    reason: str
    message: str


def judge(claim: Claim, outcome: Outcome, policy: Policy, confidence: float) -> Judgement:
    """Return the verdict on a claim.

    ``confidence`` is that of the interval, for the wording; value, bounds and limit are in the claim's unit.
    """
    match outcome:
        case NotMeasured():
            return _unmeasured(claim, outcome, policy)
        case Refuted() | Unproven():
            by_number = _by_number(claim, outcome.measured, policy, confidence)
            return by_number if by_number.verdict is Verdict.FAIL else _besides(claim, outcome, confidence)
        case _:
            return _by_number(claim, outcome, policy, confidence)


def _by_number(claim: Claim, measured: Measured, policy: Policy, confidence: float) -> Judgement:
    below = claim.comparator in ("<", "<=")
    # What never came took longer than any limit.
    never = below and measured.value == measured.lower == math.inf
    if not (never or math.isfinite(measured.value)) or math.isnan(measured.lower) or math.isnan(measured.upper):
        text = f"{claim.label} could not be measured: the evidence gives no finite value"
        return Judgement(Verdict.INCONCLUSIVE, "NoValue", text)
    unfavourable, favourable = (measured.upper, measured.lower) if below else (measured.lower, measured.upper)
    kept = satisfies(unfavourable, claim.comparator, claim.limit)
    broken = not satisfies(favourable, claim.comparator, claim.limit)
    if not kept and not broken:
        return _undecided(claim, measured, confidence)
    relation_text, details = _relation(claim, measured), _details(claim, measured, confidence)
    if measured.basis == "Projected" and not policy.accept_projected:
        text = f"{relation_text} is only projected, which the policy does not accept{details}"
        return Judgement(Verdict.INCONCLUSIVE, "Projected", text)
    text = relation_text + details
    if kept:
        return Judgement(Verdict.PASS, "LimitMet", text)
    return Judgement(Verdict.FAIL, "LimitExceeded" if below else "LimitNotReached", text)


def _unmeasured(claim: Claim, measured: NotMeasured, policy: Policy) -> Judgement:
    text = f"{claim.label} was not measured: {measured.message}"
    if measured.broken:
        return Judgement(Verdict.ERROR, measured.reason, text)
    if measured.no_data and policy.on_no_data == "Fail":
        return Judgement(Verdict.FAIL, measured.reason, f"{text}, and the policy counts no data as a failure")
    return Judgement(Verdict.INCONCLUSIVE, measured.reason, text)


def _besides(claim: Claim, outcome: Refuted | Unproven, confidence: float) -> Judgement:
    """Return the verdict that is not the number's, with the number among the details."""
    verdict = Verdict.FAIL if isinstance(outcome, Refuted) else Verdict.INCONCLUSIVE
    parts = [_relation(claim, outcome.measured), *_parts(claim, outcome.measured, confidence)]
    return Judgement(verdict, outcome.reason, f"{outcome.message} ({', '.join(parts)})")


def _undecided(claim: Claim, measured: Measured, confidence: float) -> Judgement:
    promised = f"{SYMBOLS[claim.comparator]} {limit_number(claim.limit)} {claim.unit}".rstrip()
    shown = quantity(measured.value, claim.unit)
    bounded = math.isfinite(measured.lower) and math.isfinite(measured.upper)
    reason, why = (
        ("IntervalSpansLimit", "the interval spans the limit")
        if bounded
        else ("TooFewSamples", "too little data bounds the value")
    )
    text = f"{claim.label} {shown} is undecided against {promised}: {why}{_details(claim, measured, confidence)}"
    return Judgement(Verdict.INCONCLUSIVE, reason, text)


def _relation(claim: Claim, measured: Measured) -> str:
    value, limit = distinct(measured.value, claim.limit, claim.unit)
    sign = relation(measured.value, claim.comparator, claim.limit)
    return f"{claim.label} {value} {sign} {limit}"


def _details(claim: Claim, measured: Measured, confidence: float) -> str:
    return f" ({', '.join(_parts(claim, measured, confidence))})"


def _parts(claim: Claim, measured: Measured, confidence: float) -> list[str]:
    parts = []
    if not measured.lower == measured.upper == measured.value:
        parts.append(interval(measured.lower, measured.upper, claim.unit, confidence))
    parts.append(counted(measured.samples, "sample"))
    if measured.note:
        parts.append(measured.note)
    return parts
