"""A scenario's steps and the evidence of its stages → the scenario's status.

Whatever the evidence looks like, a scenario gets a verdict: decisions about a run must never crash on what a pod
or a third party's capability produced.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from perfrun.api.feature import Policy
from perfrun.api.plan import Claim, PlannedScenario, PlannedStep
from perfrun.api.run import ScenarioStatus, StepStatus
from perfrun.api.verdicts import Verdict, worst
from perfrun.capabilities.base import Evidence, NotMeasured, Outcome, Refuted, Unproven
from perfrun.capabilities.registry import capability
from perfrun.judging.judge import Judgement, judge
from perfrun.judging.wording import counted

UNREACHED = "the run ended before this step was reached"
"""Why a step without evidence was skipped, unless the caller knows better."""

NOTHING_RAN = "what it prepares did not come about"
"""Why a step that sets the scene was skipped, where the stage after it was lost."""


def judge_scenario(
    planned: PlannedScenario,
    evidence_by_stage: Mapping[str, Evidence],
    policy: Policy,
    confidence: float,
    unreached: str = UNREACHED,
) -> ScenarioStatus:
    """Return the status of a scenario.

    ``evidence_by_stage`` holds every stage that ended, lost ones included; a stage that is not in it was never
    reached, for the reason ``unreached`` (part of a sentence).
    """
    if planned.not_implemented:
        steps = tuple(_not_implemented(step, planned.not_implemented) for step in planned.steps)
    else:
        reached = _reached(planned, evidence_by_stage)
        tried = any(step.claim.stage in evidence_by_stage for step in planned.steps if step.claim is not None)
        steps = tuple(
            _claimed(step, step.claim, evidence_by_stage, policy, confidence, unreached)
            if step.claim is not None
            else _setting(step, reached=reached, unreached=NOTHING_RAN if tried else unreached)
            for step in planned.steps
        )
    conclusion = _conclude(planned, steps)
    return ScenarioStatus(
        name=planned.name,
        line=planned.line,
        verdict=conclusion.verdict,
        reason=conclusion.reason,
        message=conclusion.message,
        steps=steps,
    )


def _reached(planned: PlannedScenario, evidence: Mapping[str, Evidence]) -> bool:
    """Whether anything ran for this scenario; a stage that was lost did not get as far as its steps."""
    ended = [evidence.get(step.claim.stage) for step in planned.steps if step.claim is not None]
    return any(
        each.result is not None
        or (each.answer is not None and not each.shards)
        # Generators that could not offer the load have made none.
        or any(shard.outcome == "Completed" for shard in each.shards)
        for each in ended
        if each is not None
    )


def _setting(step: PlannedStep, *, reached: bool, unreached: str) -> StepStatus:
    if reached:
        return StepStatus(keyword=step.keyword, text=step.text, verdict=Verdict.PASS, reason="Established")
    return StepStatus(
        keyword=step.keyword,
        text=step.text,
        verdict=Verdict.SKIPPED,
        reason="NotReached",
        message=f"not established: {unreached}",
    )


def _not_implemented(step: PlannedStep, lacking: str) -> StepStatus:
    message = f"this version of perfrun cannot measure {lacking} yet"
    verdict = Verdict.INCONCLUSIVE if step.keyword == "Then" else Verdict.SKIPPED
    return StepStatus(
        keyword=step.keyword, text=step.text, verdict=verdict, reason="NotImplemented", message=message
    )  # fmt: skip


def _claimed(
    step: PlannedStep,
    claim: Claim,
    evidence_by_stage: Mapping[str, Evidence],
    policy: Policy,
    confidence: float,
    unreached: str,
) -> StepStatus:
    evidence = evidence_by_stage.get(claim.stage)
    if evidence is None:
        return StepStatus(
            keyword=step.keyword,
            text=step.text,
            verdict=Verdict.SKIPPED,
            reason="NotReached",
            message=f"{claim.label} was not measured: {unreached}",
            unit=claim.unit,
            limit=claim.limit,
            comparator=claim.comparator,
        )
    outcome = _measure(claim, evidence, confidence)
    return _status(step, claim, outcome, judge(claim, outcome, policy, confidence), confidence)


def _measure(claim: Claim, evidence: Evidence, confidence: float) -> Outcome:
    name = claim.subject.partition(".")[0]
    owner = capability(name)
    if owner is None:
        message = f"no capability named {name!r} is installed; install the package that this run was planned with"
        return NotMeasured(reason="UnknownCapability", message=message, broken=True)
    try:
        return owner.measure(claim, evidence, confidence)
    except Exception as error:  # noqa: BLE001 -- capabilities are open to third parties, and a verdict is due anyway
        message = f"capability {name!r} failed on its evidence with {type(error).__name__}: {error}"
        return NotMeasured(reason="MeasureFailed", message=message, broken=True)


def _status(step: PlannedStep, claim: Claim, outcome: Outcome, judgement: Judgement, confidence: float) -> StepStatus:
    measured = outcome.measured if isinstance(outcome, Refuted | Unproven) else outcome
    common = StepStatus(
        keyword=step.keyword,
        text=step.text,
        verdict=judgement.verdict,
        reason=judgement.reason,
        message=judgement.message,
        unit=claim.unit,
        limit=claim.limit,
        comparator=claim.comparator,
        window=measured.window,
        source=measured.source,
        facts=dict(measured.facts),
    )
    if isinstance(measured, NotMeasured):
        return common
    return common.replace(
        value=_finite(measured.value),
        lower=_finite(measured.lower),
        upper=_finite(measured.upper),
        confidence=confidence,
        samples=measured.samples,
        effective_samples=_finite(measured.effective_samples),
        basis=measured.basis,
    )


def _finite(value: float) -> float | None:
    """Return the number, or None where JSON has none for it: an absent bound is one that the evidence cannot give."""
    return value if math.isfinite(value) else None


def _conclude(planned: PlannedScenario, steps: Sequence[StepStatus]) -> Judgement:
    if planned.not_implemented:
        message = f"this version of perfrun cannot measure {planned.not_implemented} yet"
        return Judgement(Verdict.INCONCLUSIVE, "NotImplemented", message)
    claims = [status for step, status in zip(planned.steps, steps, strict=True) if step.claim is not None]
    measured = [status for status in claims if status.verdict is not Verdict.SKIPPED]
    if not claims:
        return Judgement(Verdict.INCONCLUSIVE, "NothingMeasured", "the scenario has no step that measures anything")
    if not measured:
        return Judgement(Verdict.INCONCLUSIVE, "NothingMeasured", f"nothing was measured: {claims[0].message}")
    verdict = worst(status.verdict for status in measured)
    if verdict is Verdict.PASS:
        skipped = next((status for status in claims if status.verdict is Verdict.SKIPPED), None)
        if skipped is not None:
            return Judgement(Verdict.INCONCLUSIVE, skipped.reason, skipped.message)
        return Judgement(Verdict.PASS, "AllLimitsMet", f"{counted(len(measured), 'claim')} met")
    decisive = next(status for status in measured if status.verdict is verdict)
    return Judgement(verdict, decisive.reason, decisive.message)
