"""What ending early saved is told, and never claimed where a budget was spent or nothing decided."""

from __future__ import annotations

import datetime as dt

import pytest
from world import settle, sim_with_run, target_spec

from perfrun.api.plan import Plan, PlannedScenario, Stage
from perfrun.api.run import ArtifactLink, Frozen, RunStatus, StageStatus
from perfrun.api.target import LLM, Pods, TargetSpec
from perfrun.lifecycle.saving import saved, saved_lines
from perfrun.lifecycle.stages import handed_in
from perfrun.lifecycle.values import HandedIn
from perfrun_kernels.contract import Outcome, Result

NOW = dt.datetime(2026, 1, 5, 12, 0, tzinfo=dt.UTC)
STAGES = (
    Stage(id="s1-sampling", scenario=0, kind="pod", seconds=60.0, gpus=2),
    Stage(id="s2-sampling", scenario=1, kind="pod", seconds=60.0),
    Stage(id="s2-more", scenario=1, kind="pod", seconds=60.0),
)


def ended(reason: str | None, took: float = 12.0, outcome: Outcome = "Completed") -> float | None:
    result = Result(
        run="r", stage="s1-sampling", attempt=1, outcome=outcome, started=1e9, finished=1e9 + took,
        facts={} if reason is None else {"stop_reason": reason},
    )  # fmt: skip
    handed = HandedIn(ArtifactLink(name="x", url="file:///x", digest="sha256:0", bytes=1), result)
    was = StageStatus(id="s1-sampling", state="Running", attempt=1, pod="p")
    return handed_in(STAGES[0], was, handed, NOW).status.saved_seconds


@pytest.mark.parametrize("reason", ["look-accepted", "look-rejected", "samples", "rounds"])
def test_a_program_that_had_seen_enough_saved_the_rest_of_its_budget(reason: str) -> None:
    assert ended(reason) == 48.0
    assert ended(reason, took=61.0) == 0.0


@pytest.mark.parametrize("reason", [None, "", "budget"])
def test_a_program_that_did_not_decide_to_end_saved_nothing(reason: str | None) -> None:
    assert ended(reason) is None
    assert ended("samples", outcome="Unmeasurable") is None


def status(*lengths: float | None) -> RunStatus:
    plan = Plan(scenarios=(PlannedScenario(name="s", line=1, steps=()),) * 2, stages=STAGES)
    frozen = Frozen(
        feature="", feature_digest="", target=TargetSpec(), target_digest="", plan=plan, plan_digest=""
    )  # fmt: skip
    stages = tuple(
        StageStatus(id=stage.id, saved_seconds=each) for stage, each in zip(STAGES, lengths, strict=True)
    )  # fmt: skip
    return RunStatus(frozen=frozen, stages=stages)


def test_a_run_adds_up_what_its_stages_saved_in_seconds_and_on_gpus() -> None:
    assert saved(status(48.0, 30.0, None)) == "1m18s (96 GPU-seconds)"
    assert saved(status(None, 30.0, None)) == "30.0s"
    assert saved(status(0.0, None, None)) == ""
    assert saved(RunStatus()) == ""


def test_each_scenario_tells_what_its_stages_needed() -> None:
    found = status(48.0, 30.0, None)
    assert saved_lines(found, 0) == ["s1-sampling needed 12.0s of its 1m00s, 48.0s, 96 GPU-seconds less than planned"]
    assert saved_lines(found, 1) == ["s2-sampling needed 30.0s of its 1m00s, 30.0s less than planned"]


async def test_a_run_that_ended_says_what_it_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    feature = (
        "Feature: f\n  Scenario: s\n    Given the following model configurations:\n"
        "      | model_size | batch_size | sequence_length |\n      | small | 32 | 128 |\n"
        '    And a model of size "small"\n    When sampling 1000 tokens\n    Then p99 latency should be below 10 ms\n'
    )
    sim = sim_with_run(feature, target_spec(llm=LLM(budget="60s"), pods=Pods(gpus=1), prometheus=None))
    measured = type(sim).result

    def early(self, stage: str, attempt: int) -> Result:
        found = measured(self, stage, attempt)
        found.facts["stop_reason"] = "look-accepted"
        return found

    monkeypatch.setattr(type(sim), "result", early)
    assert (await settle(sim)).saved == "50.0s (50 GPU-seconds)"
