"""The client against a server that others wrote: ``transformers serve`` with a tiny decoder, on this CPU."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from serverbed import serving, tiny

from perfrun_kernels.faults import UnmeasurableError
from perfrun_kernels.memory import openai as memory
from perfrun_kernels.memory import parameters as asked_of_memory
from perfrun_kernels.program import Task
from perfrun_kernels.sampling import openai
from perfrun_kernels.sampling.parameters import OpenAIParameters, parse

TOKENS = 12
STREAMS = 2
PROMPT = 20


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Return the URL of a server, and its model's name there."""
    folder = tmp_path_factory.mktemp("tiny")
    tiny.save(folder / "model")
    with serving.serving(folder / "model", folder / "log") as url:
        yield url, str(folder / "model")


def parameters(served: tuple[str, str], **changes: Any) -> OpenAIParameters:
    data: dict[str, Any] = {
        "engine": "openai", "url": served[0], "model_name": served[1], "batch_size": STREAMS, "prompt_tokens": PROMPT,
        "num_tokens": TOKENS, "min_samples": 30, "sampling": {"seed": 3},
    }  # fmt: skip
    found = parse(data | changes)
    assert isinstance(found, OpenAIParameters)
    return found


@pytest.mark.parametrize("api", ["chat", "completions"])
def test_a_server_of_others_is_timed_token_by_token(served: tuple[str, str], api: str) -> None:
    measured = openai.measure(parameters(served, api=api), 60.0, lambda _: None)
    facts = measured.facts
    assert (facts["tokens_counted_by"], facts["streams_failed"], facts["stop_reason"]) == ("usage", 0, "samples")
    streams = int(facts["streams_complete"])
    assert (facts["tokens"], facts["prompt_tokens_counted"]) == (streams * TOKENS, streams * PROMPT)
    assert len(measured.series["ttft_seconds"].values) == streams
    assert all(each > 0 for each in measured.series["ttft_seconds"].values)
    assert measured.scalars["throughput"].value is not None


def test_a_model_that_the_server_has_not_is_said(served: tuple[str, str]) -> None:
    with pytest.raises(UnmeasurableError) as caught:
        openai.measure(parameters((served[0], "nobody/nothing")), 30.0, lambda _: None)
    assert caught.value.reason == "BadRequest"
    assert "Server is pinned to" in str(caught.value)


def test_a_server_without_metrics_gives_no_cache_hits(served: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asked_of_memory, "LEAST_SECONDS", 0.5)
    work = {
        "engine": "openai", "url": served[0], "model_name": served[1], "batches": 2, "batch_size": 1,
        "prefix_tokens": 20, "prefixes": 2, "unique_tokens": 4, "num_tokens": 4, "soak_seconds": 0.5, "server": "vllm",
    }  # fmt: skip
    found = asked_of_memory.parse(work)
    assert isinstance(found, asked_of_memory.Served)
    measured = memory.measure(found, Task(parameters={}, budget_seconds=30.0, progress=str))
    assert measured.facts["served"]
    assert measured.scalars["prefix.hits"].value is None
    assert "cannot be read: HTTP Error 404" in measured.scalars["prefix.hits"].reason
