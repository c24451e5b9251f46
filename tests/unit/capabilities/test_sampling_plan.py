"""What a sampling scenario asks of its pod: the work, and when it may stop."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from perfrun.api.plan import Comparator
from perfrun.api.target import LLM, EngineModel, ModelSize, TargetSpec
from perfrun.capabilities.base import PlanError, ScenarioPlan, Settings
from perfrun.capabilities.sampling import Sampling
from perfrun.language.model import Location, Meaning, Quantity, Role, Scenario, Step
from perfrun.language.vocabulary import meaning

TINY = ModelSize(hidden_size=64, intermediate_size=128, layers=2, heads=4, kv_heads=2, vocab_size=256)
ROWS = (
    {"model_size": "small", "batch_size": 32, "sequence_length": 128},
    {"model_size": "tiny", "batch_size": 4, "sequence_length": 16},
)


def step(said: Meaning) -> Step:
    role: Role = "outcome" if said.comparator else "context"
    return Step(keyword="*", role=role, text=said.key, location=Location(1), meaning=said)


def latency(key: str = "p99_latency", percentile: float = 0.99, comparator: Comparator = "<") -> Meaning:
    said = meaning("sampling", key, percentile=percentile)
    return attrs.evolve(said, comparator=comparator, limit=Quantity(0.01, "s"), label="p99 latency")


def scenario(*claims: Meaning, size: str = "small", tokens: int = 1000, batch: int | None = None) -> Scenario:
    said = [
        meaning("sampling", "model_configurations", rows=ROWS),
        meaning("sampling", "model_size", size=size),
        meaning("sampling", "sample_tokens", count=tokens),
        *claims,
    ]
    if batch is not None:
        said.append(meaning("sampling", "batch_size", value=batch))
    return Scenario(name="S", location=Location(1), tags=(), steps=tuple(map(step, said)), capability="sampling")


def planned(what: Scenario, llm: LLM | None = None, confidence: float = 0.99) -> ScenarioPlan:
    return Sampling().plan(what, TargetSpec(llm=llm or LLM()), Settings(index=1, confidence=confidence))


def parameters(what: Scenario, llm: LLM | None = None) -> dict[str, Any]:
    return planned(what, llm).stages[0].parameters


def test_what_the_scenario_leaves_out_comes_from_the_row_of_its_model_size() -> None:
    found = parameters(scenario(latency(), size="tiny"), LLM(models={"tiny": EngineModel(config=TINY)}))
    assert (found["batch_size"], found["sequence_length"], found["num_tokens"]) == (4, 16, 1000)
    assert found["model"]["config"] == TINY.model_dump()
    assert parameters(scenario(latency(), batch=7))["batch_size"] == 7


def test_the_limit_is_converted_for_people_and_for_the_pod() -> None:
    what = planned(scenario(latency()))
    (claim,) = what.claims.values()
    assert (claim.limit, claim.unit, claim.stage) == (10.0, "ms", "s2-sampling")
    assert what.stages[0].parameters["limit_seconds"] == 0.01


def test_looks_pay_for_correlation_and_for_each_other() -> None:
    found = parameters(scenario(latency()))
    # 597 independent steps without one over the limit are needed at each of four looks (0.99 to the power of 597
    # is below a quarter of a hundredth), times three for correlation; a quarter of that can only reject.
    assert [look["samples"] for look in found["looks"]] == [448, 1791, 3582, 7164]
    assert [look["accept_at_most"] for look in found["looks"]][:2] == [-1, 0]
    assert all(look["accept_at_most"] < look["reject_at_least"] <= look["samples"] for look in found["looks"])
    assert found["min_samples"] == 7164 + found["looks_skip"]
    assert found["max_rounds"] * 999 >= found["min_samples"]


@pytest.mark.parametrize("claims", [(), (latency(comparator=">"),), (latency(), latency("ttft"))])
def test_without_an_upper_limit_on_step_times_alone_nothing_is_looked_at_early(claims: tuple[Meaning, ...]) -> None:
    what = planned(scenario(*claims))
    assert "looks" not in what.stages[0].parameters
    assert all(claim.parameters["looks"] == 0 for claim in what.claims.values())


def test_claims_about_whole_rounds_ask_for_as_many_rounds_as_prove_them() -> None:
    assert parameters(scenario(latency("ttft")))["max_rounds"] == 459
    assert parameters(scenario(latency("e2e", percentile=0.5)))["max_rounds"] == 7


def test_a_server_is_streamed_from_and_its_streams_count_as_one() -> None:
    llm = LLM(
        engine="openai", url="http://vllm:8000/v1", api_key_secret="key",  # noqa: S106 -- a Secret's name
        models={"small": EngineModel(name="org/model")},
    )  # fmt: skip
    what = planned(scenario(latency()), llm)
    found = what.stages[0].parameters
    assert (found["url"], found["model_name"], found["prompt_tokens"]) == ("http://vllm:8000/v1", "org/model", 128)
    assert found["api_key_env"] == "PERFRUN_API_KEY"
    assert "model" not in found
    assert found["looks"][1]["samples"] == 1791 * 32
    assert next(iter(what.claims.values())).parameters["streams"] == 32


@pytest.mark.parametrize(
    ("what", "llm", "said"),
    [
        (scenario(latency(), tokens=1), LLM(), "sample at least 2 tokens"),
        (scenario(latency(), size="tiny"), LLM(), r"describe it under spec\.llm\.models\.tiny"),
        (scenario(latency(), size="tiny"), LLM(models={"tiny": EngineModel(name="x")}), "neither config nor path"),
        (scenario(latency(), size="huge"), LLM(), "no table of model configurations has a row for model size 'huge'"),
        (attrs.evolve(scenario(), steps=()), LLM(), "does not state its model size"),
    ],
)
def test_what_cannot_be_planned_is_a_sentence(what: Scenario, llm: LLM, said: str) -> None:
    with pytest.raises(PlanError, match=said):
        planned(what, llm)


def test_weights_from_a_path_replace_the_architecture() -> None:
    found = parameters(scenario(latency()), LLM(models={"small": EngineModel(path="/models/a")}, dtype="bfloat16"))
    assert found["model"] == {"size": "small", "dtype": "bfloat16", "seed": 0, "path": "/models/a"}


def test_the_program_accepts_what_is_planned() -> None:
    program = pytest.importorskip("perfrun_kernels.sampling.parameters")
    openai = LLM(engine="openai", url="http://v/v1", models={"small": EngineModel(name="m")})
    tiny = LLM(models={"tiny": EngineModel(config=TINY)})
    for what, llm in (
        (scenario(latency()), LLM()), (scenario(latency("ttft")), LLM()), (scenario(latency()), openai),
        (scenario(latency(), size="tiny", tokens=2), tiny),
    ):  # fmt: skip
        assert program.parse(parameters(what, llm)).num_tokens in (1000, 2)
