"""The models: strict, frozen, camelCase on the wire, and the same after a round trip."""

import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from perfrun.api.durations import rfc3339, seconds
from perfrun.api.feature import FeatureSpec
from perfrun.api.plan import Plan, PlannedScenario, PlannedStep, digest
from perfrun.api.run import Phase, RunSpec, RunStatus, StepStatus, TimeWindow
from perfrun.api.target import LLM, EngineModel, ModelSize, TargetSpec
from perfrun.api.verdicts import Verdict, worst

SPEC = {"targetRef": "t", "feature": "Feature: x"}
MODEL = {"hiddenSize": 64, "intermediateSize": 128, "layers": 2, "heads": 4, "kvHeads": 2, "vocabSize": 100}


@pytest.mark.parametrize("field", ["tag", "target_reff", "Feature"])
def test_a_misspelt_field_is_refused(field: str) -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        FeatureSpec.from_wire(SPEC | {field: "x"})


def test_values_cannot_be_changed_in_place() -> None:
    spec = RunSpec.from_wire(SPEC)
    with pytest.raises(ValidationError, match="frozen"):
        spec.cancel = True  # type: ignore[misc] # that is the point
    assert spec.replace(cancel=True).cancel
    assert not spec.cancel


def test_a_copy_is_checked_anew() -> None:
    with pytest.raises(ValidationError, match="'soon' is not a duration"):
        RunSpec.from_wire(SPEC).replace(timeout="soon")


def test_null_is_absent_and_absent_is_left_out() -> None:
    assert FeatureSpec.from_wire(SPEC | {"schedule": None}) == FeatureSpec.from_wire(SPEC)
    assert "schedule" not in FeatureSpec.from_wire(SPEC).to_wire()


def test_a_status_is_the_same_after_a_round_trip() -> None:
    moment = dt.datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=dt.UTC)
    step = StepStatus(
        keyword="Then", text="x", verdict=Verdict.FAIL, reason="TooSlow", value=12.4, lower=12.0, upper=12.9,
        window=TimeWindow(start=moment, end=moment), facts={"device": "cpu", "deep": {"a": [1, None]}},
    )  # fmt: skip
    status = RunStatus.from_wire({"phase": "Failed", "startedAt": "2026-01-02T03:04:05+02:00"})
    status = status.replace(
        scenarios=({"name": "s", "line": 3, "verdict": "Fail", "steps": (step,)},), finished_at=moment
    )
    assert RunStatus.from_wire(status.to_wire()) == status
    assert status.to_wire()["startedAt"] == "2026-01-02T01:04:05.000000Z"
    assert status.phase.finished
    assert not Phase.RESTORING.finished


@pytest.mark.parametrize(
    ("text", "length"), [("90s", 90), ("1h30m", 5400), ("7d", 604800), ("250ms", 0.25), ("1.5h", 5400), ("0s", 0)]
)
def test_a_duration_is_read(text: str, length: float) -> None:
    assert seconds(text) == length


@pytest.mark.parametrize("text", ["", "10", "s", "1 h", "-1s", "1y", "1h ", "1e3s", "½h", "1s\n"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a number with a unit"):
        seconds(text)


def test_moments_without_a_zone_are_utc() -> None:
    assert rfc3339(dt.datetime(2026, 1, 1)) == "2026-01-01T00:00:00.000000Z"  # noqa: DTZ001 -- that is the point


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ((), Verdict.INCONCLUSIVE),
        ((Verdict.SKIPPED,), Verdict.INCONCLUSIVE),
        ((Verdict.PASS, Verdict.SKIPPED), Verdict.PASS),
        ((Verdict.PASS, Verdict.INCONCLUSIVE), Verdict.INCONCLUSIVE),
        ((Verdict.INCONCLUSIVE, Verdict.ERROR), Verdict.ERROR),
        ((Verdict.ERROR, Verdict.FAIL, Verdict.PASS), Verdict.FAIL),
    ],
)
def test_the_worst_verdict_wins(verdicts: tuple[Verdict, ...], expected: Verdict) -> None:
    assert worst(verdicts) is expected


@settings(deadline=None)
@given(st.lists(st.sampled_from(list(Verdict)), max_size=6), st.sampled_from(list(Verdict)))
def test_a_worse_verdict_never_makes_things_better(verdicts: list[Verdict], more: Verdict) -> None:
    order = [Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.ERROR, Verdict.FAIL]
    before, after = worst(verdicts), worst([*verdicts, more])
    measured = set(verdicts) - {Verdict.SKIPPED}
    assert order.index(after) >= order.index(before) or not measured


def test_the_digest_of_a_plan_depends_on_what_it_says_and_on_nothing_else() -> None:
    step = PlannedStep(keyword="Then", text="x", line=3)
    one = Plan(scenarios=(PlannedScenario(name="s", line=2, steps=(step,)),))
    assert Plan.from_wire(one.to_wire()).digest() == one.digest()
    assert one.replace(confidence=0.95).digest() != one.digest()
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest("text").startswith("sha256:")


def test_numbers_are_quantities_too() -> None:
    spec = TargetSpec.from_wire({"pods": {"resources": {"limits": {"cpu": 2, "memory": "4Gi"}}}})
    assert spec.pods.resources == {"limits": {"cpu": "2", "memory": "4Gi"}}
    with pytest.raises(ValidationError):
        TargetSpec.from_wire({"pods": {"resources": {"limits": {"cpu": True}}}})


@pytest.mark.parametrize(
    ("model", "data", "said"),
    [
        (ModelSize, MODEL | {"heads": 5}, "multiple of heads"),
        (ModelSize, MODEL | {"kvHeads": 3}, "multiple of kvHeads"),
        (EngineModel, {"config": MODEL, "path": "/m"}, "exclude each other"),
        (LLM, {"metricsUrl": "http://vllm:8000/metrics"}, "set server, too"),
    ],
)
def test_models_that_cannot_be_built_are_refused(
    model: type[ModelSize | EngineModel | LLM], data: dict[str, object], said: str
) -> None:
    with pytest.raises(ValidationError, match=said):
        model.from_wire(data)
