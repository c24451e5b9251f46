from collections.abc import Callable
from typing import Any

import attrs
import pytest
from server import Behaviour, Server, chunk, first, refusing, saying, streaming

from perfrun_kernels.faults import UnmeasurableError
from perfrun_kernels.program import Measurement
from perfrun_kernels.sampling import openai
from perfrun_kernels.sampling.asking import random_words
from perfrun_kernels.sampling.parameters import Look, OpenAIParameters, parse

TOKENS = 6
STREAMS = 3


def quiet(_: str) -> None:
    """Swallow progress."""


@pytest.fixture
def serve(serve: Callable[[Behaviour], Server], monkeypatch: pytest.MonkeyPatch) -> Callable[[Behaviour], Server]:
    monkeypatch.setattr(openai, "FIRST_PAUSE_SECONDS", 0.01)
    return serve


def parameters(url: str, **changes: Any) -> OpenAIParameters:
    data: dict[str, Any] = {
        "engine": "openai", "url": url, "model_name": "m", "batch_size": STREAMS, "prompt_tokens": 5,
        "num_tokens": TOKENS, "min_samples": 20, "stall_seconds": 20, "sampling": {"seed": 3},
    }  # fmt: skip
    found = parse(data | changes)
    assert isinstance(found, OpenAIParameters)
    return found


def measure(server: Server, budget: float = 60.0, **changes: Any) -> Measurement:
    return openai.measure(parameters(server.url, **changes), budget, quiet)


def refused(server: Server, budget: float = 60.0, **changes: Any) -> UnmeasurableError:
    with pytest.raises(UnmeasurableError) as caught:
        measure(server, budget, **changes)
    return caught.value


def test_streams_are_timed_token_by_token(serve: Any) -> None:
    server = serve(streaming())
    measured = measure(server)
    gaps, streams, rounds = TOKENS - 1, 2 * STREAMS, 2
    series = {name: each.values for name, each in measured.series.items()}
    assert {name: len(values) for name, values in series.items()} == {
        "step_seconds": streams * gaps, "ttft_seconds": streams, "tpot_seconds": streams, "e2e_seconds": streams,
        "round_tokens_per_second": rounds,
    }  # fmt: skip
    assert measured.series["step_seconds"].starts == list(range(0, streams * gaps, gaps))
    for index in range(streams):
        ttft, tpot, e2e = (series[name][index] for name in ("ttft_seconds", "tpot_seconds", "e2e_seconds"))
        assert 0 < ttft < e2e
        assert tpot == pytest.approx((e2e - ttft) / (TOKENS - 1), abs=1e-8)
        assert sum(series["step_seconds"][index * gaps : (index + 1) * gaps]) == pytest.approx(e2e - ttft, abs=1e-7)
    assert (server.most_open, len(server.requests)) == (STREAMS, streams)
    facts = measured.facts
    assert (facts["streams_complete"], facts["streams_failed"], facts["rounds"]) == (streams, 0, rounds)
    assert (facts["tokens_counted_by"], facts["tokens_per_chunk"], facts["stop_reason"]) == ("usage", 1.0, "samples")
    assert facts["prompt_tokens_counted"] == 5 * streams
    memory = measured.scalars["gpu_memory_peak"]
    assert (memory.value, memory.reason) == (None, "the server's GPU memory is not visible to its client")
    assert measured.scalars["throughput"].value is not None
    assert measured.scalars["harness_overhead_per_step"].value is not None


@pytest.mark.parametrize(("api", "path"), [("chat", "/v1/chat/completions"), ("completions", "/v1/completions")])
def test_both_interfaces_are_spoken(serve: Any, api: str, path: str) -> None:
    server = serve(streaming())
    measure(server, api=api)
    assert set(server.paths) == {path}
    body = server.requests[0]
    assert (body["model"], body["max_tokens"], body["stream"], body["temperature"]) == ("m", TOKENS, True, 1.0)
    assert body["stream_options"] == {"include_usage": True}
    prompt = body["messages"][0]["content"] if api == "chat" else body["prompt"]
    assert len(prompt.split()) == 5
    assert body["presence_penalty"] == 0.0
    assert "top_k" not in body


def test_prompts_differ_between_streams_and_between_measurements(serve: Any) -> None:
    assert random_words(5, 1) == random_words(5, 1)
    server = serve(streaming())
    told = [measure(server).facts["prompts"], measure(server).facts["prompts"]]
    assert told[0] != told[1]
    prompts = [each["messages"][0]["content"] for each in server.requests]
    assert len(set(prompts)) == len(prompts)
    # What the server draws from repeats, so that it may be asked for the same again.
    seeds = [each["seed"] for each in server.requests]
    assert sorted(seeds[: len(seeds) // 2]) == sorted(seeds[len(seeds) // 2 :])


def test_a_server_that_never_says_done_is_whole_when_it_says_why_it_finished(serve: Any) -> None:
    measured = measure(serve(streaming(done=False)))
    assert (measured.facts["streams_complete"], measured.facts["tokens_counted_by"]) == (2 * STREAMS, "usage")


def test_what_the_server_found_in_its_cache_is_told(serve: Any) -> None:
    measured = measure(serve(streaming(cached=4)))
    assert measured.facts["prompt_tokens_cached"] == 4 * 2 * STREAMS


def test_extensions_carry_the_rest_of_the_sampling_options(serve: Any) -> None:
    server = serve(streaming())
    measured = measure(server, extensions=True, sampling={"top_k": 7, "min_p": 0.1, "repetition_penalty": 1.2})
    body = server.requests[0]
    assert (body["top_k"], body["min_p"], body["repetition_penalty"], body["ignore_eos"]) == (7, 0.1, 1.2, True)
    assert measured.facts["sampling_sent"] == "all"


def test_chunks_with_several_tokens_are_reported_and_their_gaps_stay_whole(serve: Any) -> None:
    measured = measure(serve(streaming(per_chunk=3)), min_samples=1)
    assert (measured.facts["tokens_per_chunk"], measured.facts["tokens_counted_by"]) == (3.0, "usage")
    assert len(measured.series["step_seconds"].values) == STREAMS
    for ttft, tpot, e2e in zip(
        *(measured.series[name].values for name in ("ttft_seconds", "tpot_seconds", "e2e_seconds")), strict=True
    ):
        assert tpot == pytest.approx((e2e - ttft) / (TOKENS - 1), abs=1e-8)


def test_without_usage_chunks_are_counted_and_that_is_said(serve: Any) -> None:
    measured = measure(serve(streaming(usage=False)), min_samples=1)
    assert (measured.facts["tokens_counted_by"], measured.facts["tokens"]) == ("chunks", TOKENS * STREAMS)


def test_a_look_ends_it(serve: Any) -> None:
    wanted = parameters(serve(streaming()).url)
    rule = attrs.evolve(wanted.stopping, min_samples=10**6, looks=(Look(15, 15, 16),), limit_seconds=1e9)
    measured = openai.measure(attrs.evolve(wanted, stopping=rule), 60.0, quiet)
    assert (measured.facts["stop_reason"], measured.facts["rounds"]) == ("look-accepted", 1)


@pytest.mark.parametrize(("status", "reason"), [(429, "RateLimited"), (500, "ServerError"), (503, "ServerError")])
def test_streams_turned_away_are_tried_again_and_counted(serve: Any, status: int, reason: str) -> None:
    measured = measure(serve(first(4, refusing(status), streaming())), min_samples=1)
    assert measured.facts[f"faults_{reason}"] == 4
    assert (measured.facts["streams_failed"], measured.facts["rounds"]) == (4, 1)
    # One stream of the second round was whole, but its round was not: it counts for nothing.
    assert measured.facts["streams_complete"] == STREAMS
    assert len(measured.series["ttft_seconds"].values) == STREAMS


@pytest.mark.parametrize(("status", "reason"), [(429, "RateLimited"), (500, "ServerError")])
def test_a_server_that_always_turns_away_cannot_be_measured(serve: Any, status: int, reason: str) -> None:
    error = refused(serve(refusing(status, "busy")), max_failed_rounds=2)
    assert error.reason == reason
    assert f"status {status}: busy (3 of 3 streams, and so in 2 rounds in a row)" in str(error)
    assert error.facts[f"faults_{reason}"] == 6
    assert error.facts["streams_complete"] == 0


def test_the_servers_wish_to_wait_is_granted_within_the_budget(serve: Any) -> None:
    error = refused(serve(refusing(429, retry_after="3600")), budget=0.3)
    assert (error.reason, error.facts["faults_RateLimited"]) == ("RateLimited", STREAMS)
    assert "no round of 3 streams was whole when the budget was spent" in str(error)


@pytest.mark.parametrize(
    ("status", "reason"),
    [(400, "BadRequest"), (401, "Unauthorized"), (403, "Unauthorized"), (404, "NotFound"), (422, "BadRequest"),
     (204, "UnexpectedStatus")],
)  # fmt: skip
def test_a_request_that_is_wrong_is_sent_once(serve: Any, status: int, reason: str) -> None:
    server = serve(refusing(status, "no such model" if status != 204 else ""))
    error = refused(server)
    assert error.reason == reason
    assert f"status {status}" in str(error)
    assert len(server.requests) == STREAMS


GOOD = [chunk("a"), chunk("b"), chunk("c")]


@pytest.mark.parametrize(
    ("behaviour", "reason", "sentence"),
    [
        (saying(*GOOD, b"data: {oops\n\n", b"data: [DONE]\n\n"), "MalformedStream", "found the event '{oops'"),
        (saying(b"<html>gateway</html>"), "MalformedStream", "expected server-sent events"),
        (saying(b'{"choices": []}'), "MalformedStream", "expected server-sent events"),
        (saying(*GOOD), "ConnectionDropped", "ended after 3 chunks and was not finished"),
        (
            saying(*GOOD, chunk("d", "stop"), b'data: {"usa'),
            "ConnectionDropped",
            "ended after 4 chunks and was not fin",
        ),
        (saying(*GOOD, chunk("d", "stop"), then="cut"), "ConnectionDropped", "the connection broke off"),
        (saying(*GOOD, b'data: {"choi', then="cut"), "ConnectionDropped", "the connection broke off"),
        (saying(*GOOD, then="hang"), "Stalled", "the server sent no token for 0.3 s"),
        (saying(then="hang"), "Stalled", "the server sent no token for 0.3 s"),
        (saying(*GOOD, b'data: {"error": {"message": "died"}}\n\n'), "ServerError", "died"),
        (saying(chunk("all at once"), b"data: [DONE]\n\n"), "NotStreaming", "1 tokens in 1 chunks"),
        (saying(b"data: [DONE]\n\n"), "NotStreaming", "0 tokens in 0 chunks"),
    ],
)
def test_a_stream_that_is_not_whole_ends_the_measurement_with_its_reason(
    serve: Any, behaviour: Behaviour, reason: str, sentence: str
) -> None:
    server = serve(first(STREAMS, streaming(), behaviour))
    error = refused(server, stall_seconds=0.3)
    assert error.reason == reason
    assert sentence in str(error)
    assert (error.facts["streams_complete"], error.facts[f"faults_{reason}"]) == (STREAMS, STREAMS)


def test_keep_alives_do_not_hide_a_stall(serve: Any) -> None:
    server = serve(saying(*GOOD, *[b": ping\n\n"] * 2000, then="hang"))
    assert refused(server, stall_seconds=0.3).reason == "Stalled"


def test_nobody_there_is_said_so(serve: Any) -> None:
    server = serve(streaming())
    server.close()
    server.close = lambda: None
    error = refused(server, max_failed_rounds=2)
    assert error.reason == "Unreachable"
    assert "cannot be reached" in str(error)


def test_streams_cut_by_the_budget_count_for_nothing(serve: Any) -> None:
    server = serve(first(STREAMS, streaming(), saying(*GOOD, then="hang")))
    measured = measure(server, budget=1.0)
    facts = measured.facts
    assert (facts["stop_reason"], facts["rounds"], facts["streams_cut"]) == ("budget", 1, STREAMS)
    assert len(measured.series["step_seconds"].values) == STREAMS * (TOKENS - 1)


def test_a_budget_too_short_for_one_round_gives_no_value(serve: Any) -> None:
    error = refused(serve(saying(*GOOD, then="hang")), budget=0.3)
    assert (error.reason, error.facts["streams_cut"]) == ("BudgetSpent", STREAMS)


def test_the_key_comes_from_the_environment(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(streaming())
    monkeypatch.setenv("THE_KEY", "secret")
    measure(server, api_key_env="THE_KEY")
    assert {each["Authorization"] for each in server.headers} == {"Bearer secret"}
    monkeypatch.delenv("THE_KEY")
    error = refused(server, api_key_env="THE_KEY")
    assert error.reason == "MissingCredential"
    assert "THE_KEY" in str(error)
