"""A run from beginning to end, and through every misfortune."""

from __future__ import annotations

import asyncio
import datetime as dt
from pathlib import Path

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from world import KEY, NOW, settle, sim_with_run, target_spec

from perfrun.adapters.drive import drive
from perfrun.api.run import Phase
from perfrun.api.target import Metric
from perfrun.api.verdicts import Verdict
from perfrun.capabilities.base import QueryAnswer
from perfrun.capabilities.memory import Memory
from perfrun.capabilities.optimization import Optimization
from perfrun.lifecycle.decide_run import decide_run
from perfrun.lifecycle.values import PodView, RunObservation, StartPod

FEATURES = Path(__file__).parents[3] / "features"
LLM = (FEATURES / "llm_sampling_performance.feature").read_text()


async def test_the_verbatim_feature_passes_where_everything_is_measured_within_limits():
    sim = sim_with_run(LLM)
    status = await settle(sim)
    assert (status.phase, status.verdict, status.summary) == (Phase.PASSED, Verdict.PASS, "3/3")
    assert [len(each.steps) for each in status.scenarios] == [9, 9, 9]
    assert len(sim.started) == 3
    assert {each.name for each in status.artifacts} == {*(each.id for each in status.stages), "report"}
    latency = next(step for step in status.scenarios[0].steps if step.text.startswith("p99"))
    assert latency.upper is not None
    assert latency.upper < 10
    assert latency.source is not None
    assert latency.source.name in sim.pods


async def test_a_slow_model_fails_with_the_number_in_the_message():
    sim = sim_with_run(LLM)
    sim.step_seconds = 0.012
    status = await settle(sim)
    assert status.phase is Phase.FAILED
    assert status.summary == "2/3"
    assert "10 ms" in status.message
    assert ("Failed", status.message) in sim.events


@pytest.mark.parametrize(
    ("fate", "reason", "verdict", "attempts"),
    [
        ("Unschedulable", "Unschedulable", Verdict.INCONCLUSIVE, 3),
        ("ImagePullBackOff", "ImagePullFailed", Verdict.INCONCLUSIVE, 1),
        ("InvalidImageName", "ImagePullFailed", Verdict.INCONCLUSIVE, 1),
        ("OOMKilled", "OOMKilled", Verdict.INCONCLUSIVE, 1),
        ("Evicted", "PodEvicted", Verdict.INCONCLUSIVE, 3),
        ("Lost", "PodLost", Verdict.INCONCLUSIVE, 3),
        ("DeadlineExceeded", "PodTimedOut", Verdict.INCONCLUSIVE, 1),
        ("Hang", "PodTimedOut", Verdict.INCONCLUSIVE, 1),
        ("Error", "PodFailed", Verdict.ERROR, 1),
        ("Silent", "NoResult", Verdict.ERROR, 1),
        ("Nonsense", "MalformedResult", Verdict.ERROR, 1),
    ],
)
async def test_a_pod_that_goes_wrong_is_told_and_never_counts_as_fail(fate, reason, verdict, attempts):
    sim = sim_with_run(LLM, timeout="24h")
    sim.fate = lambda _stage, _attempt: fate
    status = await settle(sim, seconds=60)
    assert status.verdict is verdict
    assert {each.reason for each in status.scenarios} == {reason}
    assert max(attempt for _, attempt in sim.started) == attempts
    assert len(sim.started) == 3 * attempts
    assert not [pod for pod in sim.pods.values() if pod.phase in ("Pending", "Running")]


async def test_an_evicted_pod_is_tried_again_and_the_run_passes():
    sim = sim_with_run(LLM)
    sim.fate = lambda _stage, attempt: "Evicted" if attempt == 1 else ""
    status = await settle(sim)
    assert status.phase is Phase.PASSED
    assert all(each.attempt == 2 for each in status.stages)


async def test_cancel_stops_the_pod_and_tells_of_steps_that_were_not_reached():
    sim = sim_with_run(LLM)
    sim.fate = lambda stage, _attempt: "Hang" if stage.startswith("s2") else ""
    for _ in range(12):
        await drive(KEY, sim.world)
        sim.tick()
    run = sim.runs[KEY.name]
    assert run.status.phase is Phase.RUNNING
    sim.runs[KEY.name] = attrs.evolve(run, spec=run.spec.replace(cancel=True))
    status = await settle(sim)
    assert status.phase is Phase.CANCELLED
    assert status.scenarios[0].verdict is Verdict.PASS
    assert [each.verdict for each in status.scenarios[1:]] == [Verdict.INCONCLUSIVE] * 2
    assert status.scenarios[2].steps[0].verdict is Verdict.SKIPPED
    assert not [pod for pod in sim.pods.values() if pod.phase == "Running"]


async def test_a_run_past_its_timeout_is_inconclusive_and_leaves_no_pod():
    sim = sim_with_run(LLM, timeout="30s")
    sim.fate = lambda _stage, _attempt: "Hang"
    status = await settle(sim)
    assert (status.phase, status.reason) == (Phase.INCONCLUSIVE, "TimedOut")
    assert sim.pods == {}


async def test_a_missing_target_is_waited_for_then_told():
    sim = sim_with_run(LLM)
    del sim.targets["llm"]
    look = await drive(KEY, sim.world)
    assert look is not None
    assert sim.runs[KEY.name].status.phase is Phase.PENDING
    status = await settle(sim)
    assert (status.phase, status.reason) == (Phase.ERROR, "TargetNotFound")
    assert "spec.targetRef" in status.message


async def test_an_undefined_step_ends_the_run_with_its_place():
    sim = sim_with_run("Feature: f\n  Scenario: s\n    When I dance\n    Then p99 latency should be below 10 ms\n")
    status = await settle(sim)
    assert (status.phase, status.reason) == (Phase.ERROR, "InvalidFeature")
    assert "3:" in status.message


async def test_a_capability_that_is_not_built_is_inconclusive_and_named(monkeypatch):
    monkeypatch.setattr(Optimization, "plan", lambda *_: None)
    monkeypatch.setattr(Memory, "plan", lambda *_: None)
    sim = sim_with_run((FEATURES / "gpu_kernel_optimization.feature").read_text())
    status = await settle(sim)
    assert (status.phase, status.reason) == (Phase.INCONCLUSIVE, "NotImplemented")
    assert sim.started == []


METRIC = Metric(name="checkout error ratio", query="sum(rate(errors[$window]))", unit="ratio")
SLO = (
    "Feature: f\n  Scenario: s\n    When observing for 30 seconds\n    Then checkout error ratio should be below 0.1%\n"
)


def answered(value: float):
    point = {"{}": ((NOW.timestamp() + 33, value),)}
    return lambda _query: QueryAnswer(query="", window=None, series=point, url="http://prometheus")


@pytest.mark.parametrize(("value", "phase"), [(0.0001, Phase.PASSED), (0.5, Phase.FAILED)])
async def test_a_named_metric_is_judged_over_the_window_that_was_observed(value, phase):
    sim = sim_with_run(SLO, target_spec(metrics=(METRIC,)))
    sim.answer = answered(value)
    status = await settle(sim)
    assert status.phase is phase, status.message
    step = status.scenarios[0].steps[1]
    assert step.source is not None
    assert step.source.query == "sum(rate(errors[30s]))"
    assert step.window is not None
    assert (step.window.end - step.window.start) == dt.timedelta(seconds=30)


async def test_metrics_that_do_not_answer_are_asked_again_and_then_inconclusive():
    sim = sim_with_run(SLO, target_spec(metrics=(METRIC,)))
    sim.answer = lambda _query: QueryAnswer(query="", window=None, error="http://prometheus refused the connection")
    status = await settle(sim)
    assert (status.phase, status.reason) == (Phase.INCONCLUSIVE, "MetricsUnavailable")
    assert len(sim.queries) > 2


async def test_a_rollout_in_the_middle_leaves_no_verdict():
    sim = sim_with_run(LLM, target_spec(selector={"app": "llm"}))
    sim.images_seen = {"web-0/server": "registry/server@sha256:aaaa"}
    await drive(KEY, sim.world)
    sim.images_seen = {"web-1/server": "registry/server@sha256:bbbb"}
    status = await settle(sim)
    assert (status.phase, status.reason) == (Phase.INCONCLUSIVE, "RevisionChanged")


async def test_a_pod_that_only_moved_keeps_the_verdict():
    sim = sim_with_run(LLM, target_spec(selector={"app": "llm"}))
    sim.images_seen = {"web-0/server": "registry/server@sha256:aaaa"}
    await drive(KEY, sim.world)
    sim.images_seen = {"web-1/server": "registry/server@sha256:aaaa"}
    assert (await settle(sim)).phase is Phase.PASSED


async def test_every_crash_point_resumes_to_the_same_verdict_without_a_second_pod():
    whole = sim_with_run(LLM)
    expected = await settle(whole)
    assert whole.effects > 20
    for die_at in range(1, whole.effects + 1):
        sim = sim_with_run(LLM)
        sim.die_at = die_at
        status = await settle(sim)
        assert (status.phase, status.summary) == (expected.phase, expected.summary), die_at
        assert sim.started == whole.started, die_at


@settings(max_examples=60, deadline=None)
@given(
    die_at=st.lists(st.integers(1, 40), max_size=4),
    fates=st.lists(st.sampled_from(["", "Evicted", "Lost", "OOMKilled", "Error", "Silent"]), min_size=9, max_size=9),
)
def test_whatever_happens_a_run_ends_and_no_attempt_has_two_pods(die_at, fates):
    sim = sim_with_run(LLM)
    sim.fate = lambda stage, attempt: fates[(int(stage[1]) - 1) * 3 + attempt - 1]

    async def live() -> None:
        deaths = list(die_at)
        for _ in range(len(deaths) + 1):
            sim.die_at = sim.effects + deaths.pop() if deaths else -1
            await settle(sim, turns=15)
        await settle(sim)

    asyncio.run(live())
    status = sim.runs[KEY.name].status
    assert status.phase.finished
    assert len(sim.started) == len(set(sim.started))
    assert not [pod for pod in sim.pods.values() if pod.phase in ("Pending", "Running", "Unknown")]
    assert status.verdict is not Verdict.FAIL


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_decide_never_leaves_a_phase_that_it_cannot_leave(data):
    sim = sim_with_run(LLM)
    asyncio.run(settle(sim, turns=data.draw(st.integers(0, 25))))
    run = sim.runs[KEY.name]
    states = st.sampled_from(["Pending", "Running", "Succeeded", "Failed", "Unknown"])
    names = [each.pod for each in run.status.stages if each.pod] + ["stranger"]
    pods = {
        name: PodView(name=name, uid=name, phase=data.draw(states), created=NOW, reason=data.draw(st.text(max_size=5)))
        for name in data.draw(st.sets(st.sampled_from(names)))
    }
    run = attrs.evolve(run, spec=run.spec.replace(cancel=data.draw(st.booleans())))
    later = sim.time + dt.timedelta(seconds=data.draw(st.floats(0, 1e6)))
    first = decide_run(run, RunObservation(feature=LLM, target=target_spec(), pods=pods), later)
    again = decide_run(run, RunObservation(feature=LLM, target=target_spec(), pods=pods), later)
    assert first == again
    allowed = {
        Phase.PENDING: set(Phase),
        Phase.RUNNING: set(Phase) - {Phase.PENDING},
        Phase.RESTORING: set(Phase) - {Phase.PENDING, Phase.RUNNING},
    }
    assert first.status.phase in allowed.get(run.status.phase, {run.status.phase})
    if run.status.phase.finished:
        assert first.status == run.status
        assert not any(isinstance(each, StartPod) for each in first.actions)
    types = {each["type"]: each["status"] for each in first.status.conditions}
    assert not ("Reconciling" in types and "Stalled" in types)
