"""A scenario's verdict from planned steps and evidence, and a run's from its scenarios."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfrun.api.feature import Policy
from perfrun.api.plan import Claim, PlannedScenario, PlannedStep
from perfrun.api.run import ScenarioStatus
from perfrun.api.verdicts import Verdict, worst
from perfrun.capabilities.base import Evidence
from perfrun.judging.run import judge_run
from perfrun.judging.scenario import judge_scenario
from perfrun_kernels.contract import Result, Scalar, Series

MEMORY = Claim(
    subject="sampling.gpu_memory", label="GPU memory usage", comparator="<=", limit=8, unit="GB", stage="s1-sampling"
)
LATENCY = Claim(
    subject="sampling.p99_latency", label="p99 latency", comparator="<", limit=10, unit="ms", stage="s1-sampling",
    parameters={"series": "step_seconds", "quantile": 0.99, "looks": 0},
)  # fmt: skip


def planned(*claims: Claim, **changes: Any) -> PlannedScenario:
    steps = (
        PlannedStep(keyword="Given", text="a model", line=2),
        PlannedStep(keyword="When", text="sampling", line=3),
        *(PlannedStep(keyword="Then", text=claim.label, line=4, claim=claim) for claim in claims),
    )
    return PlannedScenario(name="Sampling (small | 32)", line=1, steps=steps, **changes)


def result(memory: float | None = 2e9, step: float = 0.008, **changes: Any) -> Result:
    values: dict[str, Any] = {
        "run": "r", "stage": "s1-sampling", "attempt": 1, "outcome": "Completed", "started": 1.0, "finished": 9.0,
        "series": {"step_seconds": Series("s", [step] * 1000)},
        "scalars": {"gpu_memory_peak": Scalar("bytes", memory, "no GPU here")}, "facts": {"device": "cpu"},
    }  # fmt: skip
    return Result(**(values | changes))


def judged(scenario: PlannedScenario, evidence: Evidence | None, **changes: Any) -> ScenarioStatus:
    ended = {} if evidence is None else {"s1-sampling": evidence}
    return judge_scenario(scenario, ended, changes.pop("policy", Policy()), 0.99, **changes)


def test_all_limits_met_is_a_pass_and_the_setting_is_established() -> None:
    status = judged(planned(LATENCY, MEMORY), Evidence(result=result(), pod="pod-1"))
    assert (status.verdict, status.reason, status.message) == (Verdict.PASS, "AllLimitsMet", "2 claims met")
    assert [(step.verdict, step.reason) for step in status.steps[:2]] == [(Verdict.PASS, "Established")] * 2
    latency = status.steps[2]
    assert (latency.value, latency.limit, latency.unit, latency.comparator) == (8.0, 10.0, "ms", "<")
    assert (latency.samples, latency.confidence, latency.basis) == (1000, 0.99, "Observed")
    assert latency.source is not None
    assert latency.source.name == "pod-1"
    assert latency.window is not None


def test_the_worst_step_gives_the_scenario_its_message() -> None:
    status = judged(planned(LATENCY, MEMORY), Evidence(result=result(memory=9e9, step=0.012)))
    assert status.verdict is Verdict.FAIL
    assert status.message.startswith("p99 latency 12 ms > 10 ms (")


def test_one_unmeasured_claim_makes_a_scenario_inconclusive_and_the_rest_is_still_judged() -> None:
    status = judged(planned(LATENCY, MEMORY), Evidence(result=result(memory=None)))
    assert (status.verdict, status.reason) == (Verdict.INCONCLUSIVE, "NoGPU")
    assert status.message == "GPU memory usage was not measured: no GPU here"
    assert status.steps[2].verdict is Verdict.PASS


def test_an_unreached_scenario_is_skipped_step_by_step_and_never_a_pass() -> None:
    status = judged(planned(LATENCY), None, unreached="the run was cancelled")
    assert (status.verdict, status.reason) == (Verdict.INCONCLUSIVE, "NothingMeasured")
    assert {step.verdict for step in status.steps} == {Verdict.SKIPPED}
    assert all("the run was cancelled" in step.message for step in status.steps)
    assert "the run was cancelled" in status.message


def test_a_claim_that_was_not_reached_keeps_the_others_from_being_a_pass() -> None:
    later = LATENCY.replace(stage="s1-other")
    status = judged(planned(MEMORY, later), Evidence(result=result()))
    assert [step.verdict for step in status.steps[2:]] == [Verdict.PASS, Verdict.SKIPPED]
    assert (status.verdict, status.reason) == (Verdict.INCONCLUSIVE, "NotReached")


@pytest.mark.parametrize(
    ("evidence", "verdict", "reason"),
    [
        (Evidence(lost_reason="Unschedulable", lost_message="no node fits"), Verdict.INCONCLUSIVE, "Unschedulable"),
        (Evidence(lost_reason="BadResult", lost_message="nonsense", broken=True), Verdict.ERROR, "BadResult"),
        (Evidence(), Verdict.INCONCLUSIVE, "NoResult"),
        (
            Evidence(result=result(outcome="Unmeasurable", reason="OutOfMemory", message="too little memory")),
            Verdict.INCONCLUSIVE, "OutOfMemory",
        ),
        (Evidence(result=result(outcome="Failed", reason="Crashed", message="it broke")), Verdict.ERROR, "Crashed"),
        (Evidence(result=result(series={})), Verdict.INCONCLUSIVE, "NoSamples"),
        (Evidence(result=result(started=1e300)), Verdict.ERROR, "MeasureFailed"),
    ],
)  # fmt: skip
def test_evidence_without_a_value_gets_its_reason(evidence: Evidence, verdict: Verdict, reason: str) -> None:
    status = judged(planned(LATENCY), evidence)
    assert (status.verdict, status.reason) == (verdict, reason)


def test_a_lost_stage_establishes_nothing() -> None:
    status = judged(planned(LATENCY), Evidence(lost_reason="Evicted", lost_message="the node drained"))
    assert [step.verdict for step in status.steps] == [Verdict.SKIPPED, Verdict.SKIPPED, Verdict.INCONCLUSIVE]
    assert status.steps[0].message == "not established: what it prepares did not come about"


def test_a_load_is_established_by_generators_that_offered_it() -> None:
    saturated = result(outcome="Unmeasurable", reason="GeneratorSaturated", message="at 9/s")
    for shards, verdict in (((result(),), Verdict.PASS), ((saturated,), Verdict.SKIPPED), ((), Verdict.SKIPPED)):
        status = judged(planned(LATENCY), Evidence(shards=shards))
        assert [step.verdict for step in status.steps[:2]] == [verdict] * 2


def test_a_scenario_whose_capability_is_missing_is_not_implemented() -> None:
    bare = planned(not_implemented="faults")
    scenario = bare.replace(steps=(*bare.steps, PlannedStep(keyword="Then", text="no requests dropped", line=4)))
    status = judged(scenario, None)
    assert (status.verdict, status.reason) == (Verdict.INCONCLUSIVE, "NotImplemented")
    assert (status.steps[-1].verdict, status.steps[-1].reason) == (Verdict.INCONCLUSIVE, "NotImplemented")
    assert "faults" in status.steps[-1].message


def test_a_scenario_that_claims_nothing_is_never_a_pass() -> None:
    assert judged(planned(), None).reason == "NothingMeasured"


def test_a_capability_that_is_gone_is_an_error() -> None:
    status = judged(planned(LATENCY.replace(subject="elsewhere.thing")), Evidence(result=result()))
    assert (status.verdict, status.reason) == (Verdict.ERROR, "UnknownCapability")


def test_bounds_that_the_evidence_cannot_give_are_absent_from_status() -> None:
    few = result(series={"step_seconds": Series("s", [0.008] * 20)})
    step = judged(planned(LATENCY), Evidence(result=few)).steps[2]
    assert (step.verdict, step.reason, step.upper) == (Verdict.INCONCLUSIVE, "TooFewSamples", None)


def scenario_status(verdict: Verdict, name: str = "Sampling (small | 32 | 1000 | 10)") -> ScenarioStatus:
    message = f"p99 latency is {verdict} (1000 samples)"
    return ScenarioStatus(name=name, line=1, verdict=verdict, reason=f"Because{verdict}", message=message)


VERDICTS = st.lists(st.sampled_from([Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.ERROR]), max_size=8)


@given(VERDICTS)
def test_a_run_is_as_bad_as_its_worst_scenario_whatever_the_order(verdicts: list[Verdict]) -> None:
    judgement = judge_run([scenario_status(each) for each in verdicts])
    assert judgement.verdict is judge_run([scenario_status(each) for each in reversed(verdicts)]).verdict
    assert judgement.verdict is worst(verdicts)
    assert judgement.summary == f"{verdicts.count(Verdict.PASS)}/{len(verdicts)}"
    assert (judgement.verdict is Verdict.PASS) == (bool(verdicts) and set(verdicts) == {Verdict.PASS})


@given(VERDICTS, VERDICTS)
def test_the_worst_of_two_parts_is_the_worst_of_the_whole(first: list[Verdict], second: list[Verdict]) -> None:
    if first and second:
        assert worst([worst(first), worst(second)]) is worst(first + second)
        assert worst([*first, Verdict.SKIPPED]) is worst(first)


def test_a_runs_message_is_short_and_says_which_scenario() -> None:
    judgement = judge_run([scenario_status(Verdict.PASS), scenario_status(Verdict.FAIL)])
    assert (judgement.message, judgement.reason) == ("p99 latency is Fail (small | 32 | 1000 …)", "BecauseFail")
    assert judge_run([scenario_status(Verdict.PASS)] * 3).message == "3 scenarios passed"
    assert judge_run([]).message == "no scenario was selected"
    assert judge_run([scenario_status(Verdict.SKIPPED)]).verdict is Verdict.INCONCLUSIVE
