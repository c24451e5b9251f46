"""The pretrained encoder, really converted on this machine, from the words of a feature to a verdict's figures."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from perfrun.api.optimization import LowPrecision
from perfrun.api.target import LLM, TargetSpec
from perfrun.capabilities.base import Evidence, Measured, NotMeasured
from perfrun.capabilities.optimization_values import measure
from perfrun.planning.compile import plan
from perfrun_kernels import runner
from perfrun_kernels.contract import Request, Result
from perfrun_kernels.program import Measurement, Task, find

FEATURE = Path(__file__).parents[3] / "features" / "gpu_kernel_optimization.feature"


@pytest.fixture(autouse=True)
def _one_thread_again():
    yield
    torch.set_num_threads(1)


def planned(items: int):
    target = TargetSpec(llm=LLM(), low_precision=LowPrecision(device="cpu", items=items, sequence_length=64))
    made = plan(FEATURE.read_text(), target)
    stage = next(stage for stage in made.stages if stage.program == "precision")
    return stage, [step.claim for step in made.scenarios[0].steps if step.claim is not None]


def request(**parameters) -> Request:
    return Request(run="r", stage="s", attempt=1, kind="precision", parameters=parameters, budget_seconds=1.0)


def handed_in(measured: Measurement) -> Result:
    made = Result(
        run="r", stage="s1-optimization", attempt=1, outcome="Completed", started=measured.started,
        finished=measured.finished, series=dict(measured.series), scalars=dict(measured.scalars),
        facts=dict(measured.facts),
    )  # fmt: skip
    return Result.from_json(made.to_json())


def test_a_cpu_measures_size_and_accuracy_and_says_why_not_speed():
    stage, claims = planned(items=100)
    lines: list[str] = []
    result = handed_in(find("precision")(Task(stage.parameters, 300.0, lines.append)))
    size, speed, accuracy = (measure(claim, Evidence(result=result, pod="pod"), 0.99) for claim in claims)
    assert isinstance(size, Measured)
    assert (size.value, size.lower, size.upper) == (50, 50, 50)
    assert isinstance(speed, NotMeasured)
    assert (speed.reason, speed.message) == ("NoGPU", result.scalars["speed"].reason)
    assert isinstance(accuracy, Measured)
    assert abs(accuracy.value) < 5 < accuracy.upper < 30
    facts = result.facts
    assert (facts["parameters"], facts["dtype"], facts["licence"]) == (22_713_216, "float16", "Apache-2.0")
    assert (facts["labels"], facts["weights_overflowed"], facts["device"]) == (2, 0, "cpu")
    counts = [result.scalars[f"accuracy.{name}"].value for name in ("both", "only_before", "only_after", "neither")]
    assert sum(counts) == facts["items"] == 50
    assert len(lines) == 3


def test_a_budget_that_is_spent_leaves_no_accuracy_and_says_so():
    stage, claims = planned(items=100)
    result = handed_in(find("precision")(Task(stage.parameters, 1e-3, lambda _: None)))
    found = measure(claims[2], Evidence(result=result, pod="pod"), 0.99)
    assert isinstance(found, NotMeasured)
    assert "lowPrecision.budget" in found.message
    assert result.facts["stop_reason"] == "budget"


def test_a_missing_library_is_named(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("perfrun_kernels.precision")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    result = runner.run(request(), runner.Order())
    assert (result.outcome, result.reason) == ("Unmeasurable", "MissingLibrary")
    assert "the library torch is not in this image" in result.message


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"path": "/nowhere"}, "ModelUnusable"),
        ({"dataset": "/nowhere.jsonl"}, "DatasetUnusable"),
        ({"precision": "INT8"}, "UnsupportedPrecision"),
    ],
)
def test_what_cannot_be_measured_has_its_reason_in_the_result(parameters, reason):
    result = runner.run(request(**parameters), runner.Order())
    assert (result.outcome, result.reason) == ("Unmeasurable", reason)


@pytest.mark.full
@pytest.mark.parametrize("precision", ["FP16", "BF16"])
def test_the_encoder_knows_good_from_bad_in_half_precision_too(precision):
    stage, claims = planned(items=2000)
    result = handed_in(find("precision")(Task({**stage.parameters, "precision": precision}, 300.0, lambda _: None)))
    assert result.scalars["accuracy.before"].value > 0.6
    found = measure(claims[2], Evidence(result=result, pod="pod"), 0.99)
    assert isinstance(found, Measured)
    assert found.upper < 3
