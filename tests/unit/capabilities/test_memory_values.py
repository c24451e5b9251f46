"""Fragmentation, cache hits and leaks, judged from what pods hand in, lost ones included."""

from __future__ import annotations

import random
from typing import Any

import pytest

from perfrun.api.feature import Policy
from perfrun.api.plan import Claim
from perfrun.api.target import LLM, EngineModel, Pods, TargetSpec
from perfrun.api.verdicts import Verdict
from perfrun.capabilities.base import Evidence, Measured, PlanError, Unproven
from perfrun.capabilities.memory import Memory
from perfrun.capabilities.memory_values import measure
from perfrun.judging.judge import Judgement, judge
from perfrun.planning.compile import plan
from perfrun_kernels.contract import Outcome, Result, Scalar, Table
from perfrun_kernels.memory.parameters import parse

FEATURE = """Feature: f
  Scenario: s
    Given an active inference pipeline
    When processing multiple batches concurrently
    Then there should be no memory leaks over 24 hours
"""
DAY = 86400.0
SCALARS = {
    "fragmentation.worst": 0.05, "pool.fragmentation": 0.02, "allocator.retries": 0.0, "allocator.ooms": 0.0,
    "allocator.hits": 0.99, "prefix.queries": 100_000.0, "prefix.hits": 96_000.0, "prefix.ideal": 97_000.0,
}  # fmt: skip
CLAIMS = {
    "fragmentation": Claim(
        subject="memory.fragmentation", label="memory fragmentation", comparator="<", limit=10, unit="%", stage="s1"
    ),
    "cache_hit_rate": Claim(
        subject="memory.cache_hit_rate", label="cache hit rate", comparator=">", limit=90, unit="%", stage="s1"
    ),
    "leak": Claim(
        subject="memory.leak", label="memory leaked", comparator="<=", limit=64, unit="MB", stage="s1",
        parameters={"period_s": DAY},
    ),
}  # fmt: skip


def result(
    hours: float = 24.0, leak_per_day: float = 0.0, *, gpu: bool = True, base: float = 1e9, begin: float = 0.0,
    outcome: Outcome = "Completed", **scalars: float | None,
) -> Result:  # fmt: skip
    """Return what an attempt hands in: samples with noise of 0.1 MB, and a leak of host memory in bytes a day."""
    chance = random.Random(int(base + hours))
    length = hours * 3600
    at = [begin + length * each / 200 for each in range(200)]
    rows = [[t, base + leak_per_day * (t - begin) / DAY + chance.gauss(0, 1e5)] for t in at]
    columns = ["at", "rss"]
    if gpu:
        rows = [[*row, 5e8, 8e8, 9e8] for row in rows]
        columns += ["allocated", "reserved", "nvml"]
    numbers: dict[str, Any] = SCALARS | {name.replace("__", "."): each for name, each in scalars.items()}
    if not gpu:
        numbers |= {"fragmentation.worst": None}
    return Result(
        run="r", stage="s1", attempt=1, outcome=outcome, started=begin, finished=begin + length,
        scalars={name: Scalar("1", each, "no GPU here" if each is None else "") for name, each in numbers.items()},
        tables={"memory": Table(columns, rows)}, facts={"device": "cuda" if gpu else "cpu"},
        reason="" if outcome == "Completed" else "OutOfMemory", message="memory ran out",
    )  # fmt: skip


def judged(key: str, found: Evidence, *, projected: bool = False) -> Judgement:
    claim = CLAIMS[key]
    return judge(claim, measure(claim, found, 0.99), Policy(accept_projected=projected), 0.99)


def test_what_neither_wastes_nor_leaks_nor_forgets_passes() -> None:
    found = Evidence(result=result(), pod="pod-1")
    assert {judged(key, found).verdict for key in CLAIMS} == {Verdict.PASS}
    assert "96000 of 100000 tokens, at best 97.0% of this workload" in judged("cache_hit_rate", found).message
    leak = measure(CLAIMS["leak"], found, 0.99)
    assert isinstance(leak, Measured)
    assert leak.basis == "Observed"
    assert leak.facts["pool_fragmentation"] == 0.02


def test_a_leak_over_the_budget_fails_and_names_the_memory() -> None:
    found = judged("leak", Evidence(result=result(leak_per_day=500e6)))
    assert (found.verdict, found.reason) == (Verdict.FAIL, "LimitExceeded")
    assert "host memory grows most, watched for 24 h" in found.message


def test_a_shorter_time_is_projected_and_passes_only_where_that_is_accepted() -> None:
    found = Evidence(result=result(hours=6))
    assert judged("leak", found).reason == "Projected"
    assert judged("leak", found, projected=True).verdict is Verdict.PASS


def test_what_has_outgrown_the_budget_already_needs_no_projection() -> None:
    assert judged("leak", Evidence(result=result(hours=1, leak_per_day=24 * 200e6))).verdict is Verdict.FAIL


def test_a_short_time_bounds_nothing_worth_a_day() -> None:
    found = judged("leak", Evidence(result=result(hours=0.03)), projected=True)
    assert (found.verdict, found.reason) == (Verdict.INCONCLUSIVE, "IntervalSpansLimit")


def test_attempts_add_up_and_a_new_process_begins_where_it_likes() -> None:
    first = result(hours=14, base=1e9)
    second = result(hours=10, base=1.3e9, begin=15 * 3600)
    found = measure(CLAIMS["leak"], Evidence(result=second, earlier=(first,)), 0.99)
    assert isinstance(found, Measured)
    assert found.basis == "Observed"
    assert found.upper < 64
    assert "in 2 attempts" in found.note
    hits = measure(CLAIMS["cache_hit_rate"], Evidence(result=second, earlier=(first,)), 0.99)
    assert isinstance(hits, Measured)
    assert hits.samples == 200_000


def test_what_a_lost_pod_left_may_break_a_promise_and_keeps_none() -> None:
    lost = Evidence(earlier=(result(hours=20),), lost_reason="PodLost", lost_message="pod x is gone")
    assert (judged("leak", lost).verdict, judged("leak", lost).reason) == (Verdict.INCONCLUSIVE, "PodLost")
    assert isinstance(measure(CLAIMS["fragmentation"], lost, 0.99), Unproven)
    leaking = Evidence(earlier=(result(leak_per_day=500e6),), lost_reason="OOMKilled", lost_message="pod x was killed")
    assert judged("leak", leaking).verdict is Verdict.FAIL


def test_a_run_that_broke_is_an_error_whatever_came_before() -> None:
    broken = Evidence(earlier=(result(),), result=result(outcome="Failed"))
    assert judged("leak", broken).verdict is Verdict.ERROR
    assert judged("leak", Evidence(lost_reason="PodLost", lost_message="gone")).reason == "PodLost"


def test_without_a_gpu_its_memory_is_not_judged_and_the_rest_is() -> None:
    cpu = Evidence(result=result(gpu=False))
    assert (judged("fragmentation", cpu).verdict, judged("fragmentation", cpu).reason) == (
        Verdict.INCONCLUSIVE,
        "NoGPU",
    )
    assert judged("cache_hit_rate", cpu).verdict is Verdict.PASS
    assert judged("leak", cpu).verdict is Verdict.PASS


def test_an_allocator_that_ran_out_is_no_pass_however_it_looks() -> None:
    found = judged("fragmentation", Evidence(result=result(allocator__retries=3.0)))
    assert (found.verdict, found.reason) == (Verdict.FAIL, "AllocatorRetried")
    assert "freed its cache to go on 3 times" in found.message


def test_memory_of_a_gpu_that_others_used_is_not_judged_and_counts_are() -> None:
    shared = Evidence(result=result(), earlier=(result(gpu__readings=100.0, gpu__throttled=0.0, gpu__others=2.0),))
    assert judged("fragmentation", shared).reason == "GPUShared"
    assert judged("leak", shared).reason == "GPUShared"
    assert judged("cache_hit_rate", shared).verdict is Verdict.PASS


def test_fragmentation_is_the_worst_of_all_attempts() -> None:
    found = Evidence(result=result(), earlier=(result(fragmentation__worst=0.3),))
    assert judged("fragmentation", found).verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("key", "lacking"), [("fragmentation", "fragmentation__worst"), ("cache_hit_rate", "prefix__queries")]
)
def test_what_was_not_handed_in_is_never_a_pass(key: str, lacking: str) -> None:
    found = judged(key, Evidence(result=result(**{lacking: None})))
    assert (found.verdict, found.reason) == (Verdict.INCONCLUSIVE, "NoReading")
    assert "no GPU here" in found.message


def test_too_few_samples_tell_nothing_of_leaks() -> None:
    found = result()
    found.tables["memory"].rows[:] = found.tables["memory"].rows[:10]
    assert judged("leak", Evidence(result=found)).reason == "TooFewSamples"
    found.tables.clear()
    assert judged("leak", Evidence(result=found)).reason == "TooFewSamples"


def test_a_servers_cache_is_judged_by_its_count_and_its_memory_not_at_all() -> None:
    unseen = Scalar("bytes", None, "the server's memory is not visible to its client")
    counts = {"queries": 5000.0, "hits": 4700.0, "ideal": 4850.0}
    scalars = {f"prefix.{name}": Scalar("1", each) for name, each in counts.items()}
    served = Result(
        run="r", stage="s1", attempt=1, outcome="Completed", started=0.0, finished=120.0,
        scalars=scalars | {"leak": unseen, "fragmentation.worst": unseen}, facts={"engine": "openai"},
    )  # fmt: skip
    found = {key: judged(key, Evidence(result=served, pod="pod-1")) for key in CLAIMS}
    assert found["cache_hit_rate"].verdict == Verdict.PASS
    for key in ("leak", "fragmentation"):
        assert (found[key].verdict, found[key].reason) == (Verdict.INCONCLUSIVE, "NoReading")
        assert "not visible to its client" in found[key].message


def test_the_target_says_what_is_under_way_and_for_how_long() -> None:
    target = TargetSpec(llm=LLM(), pods=Pods(gpus=1)).replace(memory={"soak": "1h", "leak_budget": "1Gi"})
    made = plan(FEATURE, target)
    (stage,) = made.stages
    assert (stage.program, stage.gpus, stage.seconds, stage.resumes) == ("memory", 1, 3600.0, True)
    assert stage.parameters["checkpoint_seconds"] == 60.0
    assert stage.parameters["model"] == {"size": "small", "dtype": "auto", "seed": 0}
    (claim,) = [step.claim for step in made.scenarios[0].steps if step.claim is not None]
    assert (claim.limit, claim.unit, claim.parameters) == (1024.0, "MiB", {"period_s": DAY})


def test_a_server_is_asked_and_its_pod_needs_no_gpu() -> None:
    llm = LLM(
        engine="openai", url="http://vllm/v1", models={"small": EngineModel(name="m")}, server="vllm",
        metrics_url="http://vllm/metrics",
    )  # fmt: skip
    (stage,) = plan(FEATURE, TargetSpec(llm=llm, pods=Pods(gpus=1))).stages
    assert stage.gpus == 0
    told = {name: stage.parameters[name] for name in ("engine", "url", "model_name", "server", "metrics_url")}
    assert told == {
        "engine": "openai", "url": "http://vllm/v1", "model_name": "m", "server": "vllm",
        "metrics_url": "http://vllm/metrics",
    }  # fmt: skip
    assert "blocks" not in stage.parameters


@pytest.mark.parametrize(
    "llm",
    [
        LLM(),
        LLM(engine="openai", url="http://v/v1", models={"small": EngineModel(name="m")}, api_key_secret="s"),  # noqa: S106 -- a name
        LLM(
            engine="openai", url="http://v/v1", models={"small": EngineModel(name="m")}, server="sglang",
            metrics_url="http://v/metrics",
        ),
    ],
)  # fmt: skip
def test_the_program_accepts_what_is_planned(llm: LLM) -> None:
    (stage,) = plan(FEATURE, TargetSpec(llm=llm)).stages
    found = parse(stage.parameters | {"done_seconds": 100.0, "segments": 1})
    assert (found.work.batches, found.work.left_seconds, found.work.segments) == (4, 20.0, 1)


def test_a_target_without_a_model_has_no_pipeline() -> None:
    with pytest.raises(PlanError, match="watches the memory of a language model, but the target names none"):
        plan(FEATURE, TargetSpec())
    assert Memory().vocabulary(None).capability == Memory.name
