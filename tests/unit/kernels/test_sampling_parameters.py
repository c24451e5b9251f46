from typing import Any

import pytest

from perfrun_kernels.faults import ParametersError
from perfrun_kernels.sampling.parameters import BuiltinParameters, Look, OpenAIParameters, parse

BUILTIN: dict[str, Any] = {"batch_size": 4, "sequence_length": 8, "num_tokens": 16}
OPENAI: dict[str, Any] = {
    "engine": "openai", "url": "http://host/v1/", "model_name": "m", "batch_size": 2, "prompt_tokens": 4,
    "num_tokens": 8,
}  # fmt: skip
CONFIG = {"hidden_size": 16, "intermediate_size": 32, "layers": 2, "heads": 2, "kv_heads": 1, "vocab_size": 40}


def test_what_is_left_out_gets_the_documented_defaults() -> None:
    parameters = parse(BUILTIN)
    assert isinstance(parameters, BuiltinParameters)
    assert (parameters.size, parameters.dtype, parameters.device, parameters.threads) == ("small", "auto", "auto", None)
    sampling = parameters.sampling
    assert (sampling.temperature, sampling.top_k, sampling.top_p, sampling.min_p) == (1.0, 50, 0.95, 0.0)
    assert (sampling.repetition_penalty, sampling.presence_penalty) == (1.1, 0.0)
    assert parameters.stopping.looks == ()


def test_looks_are_read_with_sides_that_may_be_absent() -> None:
    looks = [{"samples": 459, "accept_at_most": 0}, {"samples": 1000, "reject_at_least": 20}]
    stopping = parse(BUILTIN | {"looks": looks, "limit_seconds": 0.01}).stopping
    assert stopping.looks[0].accept_at_most == 0
    assert stopping.looks[0].reject_at_least > 10**9
    assert stopping.looks[1] == Look(samples=1000, accept_at_most=-1, reject_at_least=20)


def test_the_openai_engine_takes_the_sequence_length_for_its_prompt() -> None:
    parameters = parse({**OPENAI, "prompt_tokens": None, "sequence_length": 9, "device": "auto"})
    assert isinstance(parameters, OpenAIParameters)
    assert (parameters.prompt_tokens, parameters.url) == (9, "http://host/v1")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"batch_size": 0}, "parameters.batch_size is 0; expected a whole number of at least 1"),
        ({"batch_size": None}, "parameters.batch_size is None; expected a whole number"),
        ({"batch_size": True}, "parameters.batch_size is True; expected a whole number"),
        ({"num_tokens": 0}, "parameters.num_tokens is 0; expected a whole number of at least 1"),
        ({"engine": "vllm"}, "parameters.engine is 'vllm'; expected one of builtin, openai"),
        ({"colour": 1}, "parameters.colour is not known"),
        ({"model": 3}, "parameters.model is 3; expected an object"),
        ({"model": {"size": "huge"}}, "parameters.model.size is 'huge'; expected one of small, medium, large"),
        ({"model": {"path": 7}}, "parameters.model.path is 7; expected a text"),
        ({"model": {"config": CONFIG | {"heads": 3}}}, "parameters.model.config.hidden_size is 16; expected an even"),
        ({"model": {"config": CONFIG | {"kv_heads": 3}}}, "parameters.model.config.kv_heads is 3; expected a divisor"),
        ({"model": {"config": CONFIG, "path": "/m"}}, "parameters.model.path is '/m'; expected no path beside config"),
        ({"sampling": {"top_p": 0}}, "parameters.sampling.top_p is 0; expected a number above 0 and at most 1"),
        ({"sampling": {"min_p": 1}}, "parameters.sampling.min_p is 1; expected a number at least 0 and below 1"),
        (
            {"sampling": {"presence_penalty": 3}},
            "parameters.sampling.presence_penalty is 3; expected a number at least -2",
        ),
        ({"sampling": {"temperature": float("nan")}}, "parameters.sampling.temperature is nan"),
        ({"looks": {}}, "parameters.looks is {}; expected a list of objects"),
        ({"looks": [{"samples": 5}]}, "parameters.limit_seconds is None; expected a number above 0"),
        (
            {"limit_seconds": 1, "looks": [{"samples": 5}, {"samples": 5}]},
            "parameters.looks is [5, 5]; expected samples that grow",
        ),
        (
            {"limit_seconds": 1, "looks": [{"samples": 5, "accept_at_most": 2, "reject_at_least": 2}]},
            "parameters.looks[0].reject_at_least is 2; expected more than accept_at_most (2)",
        ),
        ({"looks": [{"samples": 5, "x": 1}], "limit_seconds": 1}, "parameters.looks[0].x is not known"),
    ],
)
def test_each_problem_is_named_in_a_sentence(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ParametersError) as caught:
        parse(BUILTIN | change)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"url": "host/v1"}, "parameters.url is 'host/v1'; expected the server's base URL"),
        ({"model_name": ""}, "parameters.model_name is None"),
        ({"extensions": "yes"}, "parameters.extensions is 'yes'; expected true or false"),
        ({"num_tokens": 1}, "parameters.num_tokens is 1; expected a whole number of at least 2"),
        ({"stall_seconds": 0}, "parameters.stall_seconds is 0; expected a number above 0"),
    ],
)
def test_the_openai_engine_names_its_problems_too(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ParametersError) as caught:
        parse(OPENAI | change)
    assert sentence in str(caught.value)


def test_all_problems_come_at_once() -> None:
    with pytest.raises(ParametersError) as caught:
        parse({"batch_size": -1, "device": "tpu", "sampling": {"top_k": 1.5}})
    for place in ("batch_size", "sequence_length", "num_tokens", "device", "sampling.top_k"):
        assert f"parameters.{place} is " in str(caught.value)
