"""What converting a model gained and cost, judged from what a pod hands in."""

from __future__ import annotations

import random
from typing import Any

import attrs
import pytest

from perfrun.api.feature import Policy
from perfrun.api.plan import Comparator
from perfrun.api.target import LLM, Pods, TargetSpec
from perfrun.api.verdicts import Verdict
from perfrun.capabilities.base import Evidence, Measured, PlanError, claim_of
from perfrun.capabilities.optimization import Optimization
from perfrun.capabilities.optimization_values import measure
from perfrun.judging.judge import Judgement, judge
from perfrun.language.model import Quantity
from perfrun.language.vocabulary import meaning
from perfrun.planning.compile import plan
from perfrun_kernels.contract import Result, Scalar, Series
from perfrun_kernels.precision.parameters import parse

FEATURE = """Feature: f
  Scenario: s
    Given a pretrained transformer model
    {}
    Then model size should decrease by at least 40%
"""
SCALARS = {
    "size.before": 90.9e6, "size.after": 45.5e6, "memory.before": 200e6, "memory.after": 150e6, "accuracy.both": 2800.0,
    "accuracy.only_before": 6.0, "accuracy.only_after": 5.0, "accuracy.neither": 1189.0,
}  # fmt: skip
CUDA = {"device": "cuda", "device_name": "NVIDIA H100", "dtype": "float16", "parameters": 22_700_000}


def evidence(
    *, speedup: float = 0.0, facts: dict[str, Any] | None = None, why: str = "", **scalars: float | None
) -> Evidence:
    """Return what a pod found; in names of scalars, two underscores stand for a point."""
    numbers: dict[str, float | None] = SCALARS | {name.replace("__", "."): each for name, each in scalars.items()}
    chance = random.Random(7)
    after = [0.01 * chance.lognormvariate(0, 0.02) for _ in range(40)]
    series = {
        "speed.before": Series("s", [each * speedup * chance.lognormvariate(0, 0.02) for each in after], [*range(40)]),
        "speed.after": Series("s", after, [*range(40)]),
    }  # fmt: skip
    result = Result(
        run="r", stage="s1-optimization", attempt=1, outcome="Completed", started=1e9, finished=1e9 + 20,
        series=series if speedup else {}, facts=facts if facts is not None else CUDA,
        scalars={name: Scalar("1", each, "it is not known" if each is None else "") for name, each in numbers.items()}
        | ({"speed": Scalar("1", None, why)} if why else {}),
    )  # fmt: skip
    return Evidence(result=result, pod="pod-1")


def judged(key: str, comparator: Comparator, limit: float, found: Evidence) -> Judgement:
    said = attrs.evolve(meaning("optimization", key), comparator=comparator, limit=Quantity(limit, "%"), label=key)
    claim = claim_of(said, "%", "s1-optimization", limit)
    return judge(claim, measure(claim, found, 0.99), Policy(), 0.99)


def test_sizes_are_counted_and_peak_memory_stands_beside() -> None:
    found = judged("size_decrease", ">=", 40, evidence())
    assert found.verdict is Verdict.PASS
    assert (
        "90.9 MB became 45.5 MB, peak memory 200 MB became 150 MB, on cuda (NVIDIA H100), 22.7 M parameters, float16"
        in found.message
    )
    assert judged("size_decrease", ">=", 60, evidence()).verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("speedup", "verdict"), [(2.0, Verdict.PASS), (1.5, Verdict.INCONCLUSIVE), (1.2, Verdict.FAIL)]
)
def test_the_lower_bound_of_the_ratio_decides_on_speed(speedup: float, verdict: Verdict) -> None:
    assert judged("speed_increase", ">=", 50, evidence(speedup=speedup)).verdict is verdict


def test_a_cpu_says_nothing_of_speed_and_the_rest_is_judged() -> None:
    cpu = evidence(facts={"device": "cpu"}, why="a CPU says nothing of FP16 on a GPU")
    found = judged("speed_increase", ">=", 50, cpu)
    assert (found.verdict, found.reason) == (Verdict.INCONCLUSIVE, "NoGPU")
    assert "a CPU says nothing" in found.message
    assert judged("size_decrease", ">=", 40, cpu).verdict is Verdict.PASS
    assert judged("accuracy_decrease", "<=", 1, cpu).verdict is Verdict.PASS


def test_a_throttled_gpu_says_nothing_of_speed_and_changes_no_byte() -> None:
    throttled = evidence(speedup=2.0, gpu__readings=100.0, gpu__throttled=0.5)
    assert judged("speed_increase", ">=", 50, throttled).reason == "GPUThrottled"
    assert judged("size_decrease", ">=", 40, throttled).verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("only_before", "only_after", "verdict"),
    [(6, 5, Verdict.PASS), (70, 20, Verdict.INCONCLUSIVE), (250, 20, Verdict.FAIL)],
)
def test_items_that_only_one_got_right_decide_on_accuracy(only_before: int, only_after: int, verdict: Verdict) -> None:
    found = judged(
        "accuracy_decrease", "<=", 1, evidence(accuracy__only_before=only_before, accuracy__only_after=only_after)
    )
    assert found.verdict is verdict
    assert "percentage points" in found.message


@pytest.mark.parametrize(
    ("key", "lacking"),
    [("size_decrease", "size__after"), ("size_decrease", "size__before"), ("accuracy_decrease", "accuracy__both")],
)
def test_what_was_not_handed_in_is_never_a_pass(key: str, lacking: str) -> None:
    found = judged(key, ">=", 0, evidence(**{lacking: None}))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.reason in ("NoReading", "NoSamples")


def test_sides_of_different_length_are_malformed() -> None:
    found = evidence(speedup=2.0)
    assert found.result is not None
    found.result.series["speed.after"].starts.pop()
    assert judged("speed_increase", ">=", 50, found).reason == "MalformedResult"


def test_facts_name_the_numbers_behind_the_claims() -> None:
    said = attrs.evolve(meaning("optimization", "size_decrease"), comparator=">=", limit=Quantity(40, "%"), label="x")
    found = measure(claim_of(said, "%", "s1-optimization", 40), evidence(), 0.99)
    assert isinstance(found, Measured)
    assert found.facts["size_before"] == 90.9e6
    assert found.lower == found.value == found.upper


def test_the_target_says_what_is_converted_and_the_feature_to_what() -> None:
    target = TargetSpec(llm=LLM(), pods=Pods(gpus=1))
    made = plan(FEATURE.format("When converting the model to BF16 precision"), target)
    (stage,) = made.stages
    assert (stage.program, stage.gpus, stage.parameters["precision"]) == ("precision", 1, "BF16")
    assert parse(stage.parameters).path is None
    with pytest.raises(PlanError, match="does not say what the model is converted to"):
        plan(FEATURE.format(""), target)


def test_it_is_found_by_its_name() -> None:
    assert Optimization().vocabulary(None).capability == Optimization.name
