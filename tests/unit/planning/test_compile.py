"""Features compiled to plans: the verbatim ones, and everything that a target or a feature can lack."""

from __future__ import annotations

from pathlib import Path

import pytest

from perfrun.api.feature import Policy
from perfrun.api.plan import Plan, Stage
from perfrun.api.service import Service
from perfrun.api.target import LLM, EngineModel, Metric, Pods, Prometheus, TargetSpec
from perfrun.capabilities.base import PlanError
from perfrun.planning.compile import MAX_SCENARIOS, plan
from perfrun.planning.cost import Cost, cost, longest

FEATURES = Path(__file__).parents[3] / "features"
TARGET = TargetSpec(
    llm=LLM(budget="30s"),
    prometheus=Prometheus(url="http://prometheus:9090"),
    metrics=(
        Metric(name="checkout error ratio", query='sum(rate(errors{job="shop"}[$window]))', unit="ratio"),
        Metric(
            name="error ratio of {service}", query='sum(rate(e{s="$service"}[$window]))', unit="ratio", window="10m"
        ),
    ),
    pods=Pods(gpus=1, start_timeout="100s", attempts=2),
    service=Service(name="checkout"),
)
SAMPLING = (FEATURES / "llm_sampling_performance.feature").read_text(encoding="utf-8")


def named(*steps: str) -> str:
    return "\n".join(("Feature: F", "  Scenario: S", *(f"    {step}" for step in steps)))


@pytest.mark.parametrize(
    "name",
    [
        "llm_sampling_performance", "fault_tolerance", "gpu_kernel_optimization", "load_balancing",
        "network_performance", "system_performance",
    ],
)  # fmt: skip
def test_the_six_features_compile(name: str) -> None:
    compiled = plan((FEATURES / f"{name}.feature").read_text(encoding="utf-8"), TARGET)
    assert compiled.stages
    for scenario in compiled.scenarios:
        assert scenario.not_implemented == ""
        assert any(step.claim is not None for step in scenario.steps if step.keyword == "Then")


def test_every_row_of_a_table_of_promises_is_a_step_of_its_own() -> None:
    text = (FEATURES / "network_performance.feature").read_text(encoding="utf-8")
    [spikes] = plan(text, TARGET, "@debugging").scenarios
    promised = [(step.line, step.text, step.claim.subject) for step in spikes.steps if step.claim is not None]
    assert promised == [
        (20, "the monitoring system should: Detect the spike (5ms)", "spikes.detect"),
        (21, "the monitoring system should: Identify the container (10s)", "spikes.identify"),
        (22, "the monitoring system should: Locate the kernel issue (30s)", "spikes.locate"),
        (23, "the monitoring system should: Generate trace data (60s)", "spikes.trace"),
    ]
    assert [step.text for step in spikes.steps if step.claim is None] == [
        "system metrics collection is enabled", "a latency spike occurs",
    ]  # fmt: skip


def test_a_row_is_one_pod_that_answers_all_its_claims() -> None:
    compiled = plan(SAMPLING, TARGET, policy=Policy(confidence=0.95))
    pods = [stage for stage in compiled.stages if stage.kind == "pod"]
    assert [stage.id for stage in pods] == ["s1-sampling", "s2-sampling", "s3-sampling"]
    assert [stage.id for stage in compiled.stages if stage not in pods] == [f"{pod.id}-dcgm" for pod in pods]
    medium = compiled.scenarios[1]
    assert medium.name == "Low-Latency Token Sampling (medium | 16 | 500 | 20 | 500 | 16)"
    assert compiled.confidence == 0.95
    claims = [step.claim for step in medium.steps if step.claim is not None]
    assert [(claim.subject, claim.comparator, claim.limit, claim.unit, claim.stage) for claim in claims] == [
        ("sampling.p99_latency", "<", 20, "ms", "s2-sampling"),
        ("sampling.throughput", ">", 500, "tokens/s", "s2-sampling"),
        ("sampling.gpu_memory", "<=", 16, "GB", "s2-sampling"),
    ]
    assert [step.keyword for step in medium.steps] == ["Given"] * 5 + ["When"] + ["Then"] * 3
    stage = pods[1]
    assert (stage.gpus, stage.attempts, stage.seconds) == (1, 2, 30)


def test_the_same_text_and_target_give_the_same_digest_and_survive_the_wire() -> None:
    one, two = plan(SAMPLING, TARGET), plan(SAMPLING, TARGET)
    assert one.digest() == two.digest()
    assert Plan.from_wire(one.to_wire()).digest() == one.digest()
    assert plan(SAMPLING, TARGET.replace(llm=LLM(budget="31s"))).digest() != one.digest()


def test_tags_select_scenarios() -> None:
    assert len(plan(SAMPLING, TARGET, tags="@latency and not @gpu").scenarios) == 3


def test_a_scenario_with_a_named_metric_only_is_a_query_over_the_metrics_own_window() -> None:
    compiled = plan(named("Then checkout error ratio should stay below 0.1%"), TARGET)
    (stage,) = compiled.stages
    assert (stage.id, stage.kind) == ("s1-query-1", "query")
    assert stage.parameters == {
        "query": 'sum(rate(errors{job="shop"}[$window]))', "sustained": True, "lookback": 300.0, "after": "",
        "min_samples": 1,
    }  # fmt: skip
    assert compiled.prometheus == {"url": "http://prometheus:9090", "timeout": "10s", "step": "5s"}


def test_observing_comes_before_the_queries_which_take_its_window() -> None:
    compiled = plan(
        named(
            "When observing for 2 minutes",
            "Then checkout error ratio should be below 0.1%",
            'And error ratio of "a\\"b" should be at most 1%',
        ),
        TARGET,
    )
    assert [(stage.id, stage.kind) for stage in compiled.stages] == [
        ("s1-observe", "observe"), ("s1-query-1", "query"), ("s1-query-2", "query"),
    ]  # fmt: skip
    assert [stage.parameters.get("after") for stage in compiled.stages] == [None, "s1-observe", "s1-observe"]
    assert compiled.stages[0].seconds == 120


def test_a_named_metric_joins_a_scenario_of_another_capability_and_takes_its_window() -> None:
    text = SAMPLING.replace(
        "    And GPU memory usage should not exceed <max_memory> GB",
        "    And GPU memory usage should not exceed <max_memory> GB\n"
        "    And checkout error ratio should stay below 0.1%",
    )
    compiled = plan(text, TARGET)
    assert [stage.id for stage in compiled.stages[:3]] == ["s1-sampling", "s1-sampling-dcgm", "s1-query-1"]
    assert compiled.stages[2].parameters["after"] == "s1-sampling"
    assert [step.claim is not None for step in compiled.scenarios[0].steps[-4:]] == [True] * 4


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (TargetSpec(), "add spec.llm to the PerfTarget"),
        (TargetSpec(llm=LLM(engine="openai")), "spec.llm.url is missing"),
        (TargetSpec(llm=LLM(engine="openai", url="http://vllm/v1")), "add spec.llm.models.small.name"),
        (
            TargetSpec(llm=LLM(engine="openai", url="http://v/v1", models={"small": EngineModel(name="a")})),
            "add spec.llm.models.medium.name",
        ),
    ],
)
def test_what_a_target_lacks_is_a_sentence_with_the_line(target: TargetSpec, said: str) -> None:
    with pytest.raises(PlanError) as caught:
        plan(SAMPLING, target)
    assert said in str(caught.value)
    assert str(caught.value).startswith("line ")


def test_a_named_metric_needs_a_prometheus() -> None:
    with pytest.raises(PlanError, match=r"add spec\.prometheus\.url"):
        plan(named("Then checkout error ratio should be below 1%"), TARGET.replace(prometheus=None))


def test_a_query_that_is_no_template_is_a_sentence() -> None:
    broken = Metric(name="latency of {service}", query="latency{s=$service}", unit="ms")
    with pytest.raises(PlanError, match=r"'latency of \{service\}' in the PerfTarget cannot be used: \$service"):
        plan(named('Then latency of "a" should be below 1 ms'), TARGET.replace(metrics=(broken,)))


def test_a_size_of_the_targets_own_needs_an_architecture() -> None:
    text = SAMPLING.replace("small ", "tiny  ")
    with pytest.raises(PlanError, match=r"describe it under spec\.llm\.models\.tiny"):
        plan(text, TARGET)


def test_too_many_scenarios_are_refused_with_the_count() -> None:
    rows = "\n".join(f"      | {limit} |" for limit in range(1, MAX_SCENARIOS + 2))
    text = (
        "Feature: F\n  Scenario Outline: S\n    Then checkout error ratio should be below <limit>%\n"
        f"    Examples:\n      | limit |\n{rows}\n"
    )
    with pytest.raises(PlanError, match=f"selects {MAX_SCENARIOS + 1} scenarios and one run takes at most"):
        plan(text, TARGET)


def test_the_cost_of_a_plan_adds_up() -> None:
    found = cost(plan(SAMPLING, TARGET))
    assert (found.pods, found.pods_at_most, found.gpus, found.queries) == (3, 6, 1, 3)
    assert (found.seconds, found.gpu_seconds) == (3 * (30 + 10), 3 * 30)
    assert found.seconds_at_most == found.gpu_seconds_at_most + 3 * 3 * 10
    assert found.seconds_at_most > 2 * 3 * (100 + 30)


@pytest.mark.parametrize(
    ("timeout", "stages", "expected"),
    [
        (None, (), 3600),
        (None, (1000, 800), 3600),
        (None, (3720, 480), 8400),
        ("10m", (3720,), 600),
        ("1d", (1,), 86400),
    ],
    ids=["usual", "within the usual", "long", "stated", "stated for long"],
)
def test_a_run_may_take_twice_what_its_plan_expects(
    timeout: str | None, stages: tuple[float, ...], expected: float
) -> None:
    planned = tuple(
        Stage(id=f"s{index}", scenario=index, kind="pod", seconds=length) for index, length in enumerate(stages)
    )
    assert longest(timeout, Plan(scenarios=(), stages=planned)) == expected


def test_a_plan_without_stages_costs_nothing() -> None:
    assert cost(Plan(scenarios=())) == Cost(0, 0, 0, 0, 0, 0, 0, 0)


def test_waiting_and_asking_cost_time_but_no_pods() -> None:
    stages = (
        Stage(id="o", scenario=0, kind="observe", seconds=60, timeout=60),
        Stage(id="q", scenario=0, kind="query", seconds=10, timeout=10, attempts=3),
    )
    found = cost(Plan(scenarios=(), stages=stages))
    assert (found.pods, found.queries, found.seconds, found.seconds_at_most) == (0, 1, 70, 90)
