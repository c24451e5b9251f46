"""The memory program at a server: what counts as a cache hit, by whose count, and when nobody's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from server import Behaviour, Server, first, refusing, saying, streaming

from perfrun_kernels.faults import UnmeasurableError
from perfrun_kernels.memory import openai, parameters
from perfrun_kernels.memory.parameters import Served, parse
from perfrun_kernels.program import Measurement, Task
from perfrun_kernels.sampling import openai as sampling
from perfrun_kernels.servers import beside

WORK = {
    "engine": "openai", "model_name": "m", "batches": 2, "batch_size": 3, "prefix_tokens": 20, "prefixes": 2,
    "unique_tokens": 4, "num_tokens": 4, "soak_seconds": 0.3, "checkpoint_seconds": 0.1, "stall_seconds": 5,
    "server": "vllm",
}  # fmt: skip


@pytest.fixture
def serve(serve: Callable[[Behaviour], Server], monkeypatch: pytest.MonkeyPatch) -> Callable[[Behaviour], Server]:
    monkeypatch.setattr(beside, "SETTLING_SECONDS", 0.0)
    monkeypatch.setattr(parameters, "LEAST_SECONDS", 0.1)
    monkeypatch.setattr(sampling, "FIRST_PAUSE_SECONDS", 0.01)
    return serve


def measure(at: Server, kept: list[Measurement] | None = None, **changes: Any) -> Measurement:
    asked = parse(WORK | {"url": at.url} | changes)
    assert isinstance(asked, Served)
    partial = kept if kept is not None else []
    return openai.measure(asked, Task(parameters={}, budget_seconds=9.0, progress=str, checkpoint=partial.append))


def counters(requests_more: int = 0, hits_each: int = 18) -> Callable[[Server], str]:
    """Return what vLLM shows after this server's requests, and so many of others."""

    def show(server: Server) -> str:
        count = len(server.requests)
        others = requests_more if count else 0
        return "\n".join(
            [
                f'vllm:request_success_total{{model_name="m"}} {7 + count + others}',
                f'vllm:prefix_cache_queries_total{{model_name="m"}} {100 + 24 * count}',
                f'vllm:prefix_cache_hits_total{{model_name="m"}} {50 + hits_each * count}',
                "",
            ]
        )

    return show


def prefix(measured: Measurement) -> Sequence[float | None]:
    return [measured.scalars[f"prefix.{name}"].value for name in ("queries", "hits", "ideal")]


def test_hits_are_what_the_server_counted_meanwhile(serve: Any) -> None:
    server = serve(streaming())
    server.metrics = counters()
    kept: list[Measurement] = []
    measured = measure(server, kept)
    count = len(server.requests)
    queries, hits, ideal = prefix(measured)
    assert (queries, hits) == (24 * count, 18 * count)
    # All but the first time of each of two prefixes of 20 words.
    assert ideal == pytest.approx(20 * (count - 2), abs=1)
    assert (measured.facts["prefix_counted_by"], measured.facts["served"]) == ("metrics", count)
    assert server.most_open == 6
    assert measured.scalars["leak"].reason == measured.scalars["fragmentation.worst"].reason == openai.NOT_VISIBLE
    # Until a pod is lost, what it handed in last was true of what it had done by then.
    assert kept
    served = [int(each.facts["served"]) for each in kept]
    assert served == sorted(served)
    assert [prefix(each)[0] for each in kept] == [24 * each for each in served]


def test_prompts_share_prefixes_and_are_new_in_every_run(serve: Any) -> None:
    server = serve(streaming())
    measure(server)
    first_run = {each["messages"][0]["content"] for each in server.requests}
    starts = {" ".join(each.split()[:20]) for each in first_run}
    assert len(starts) == 2
    measure(server)
    both = [" ".join(each["messages"][0]["content"].split()[:20]) for each in server.requests]
    assert len(set(both)) == 4


@pytest.mark.parametrize(
    ("more", "sentence"),
    [(5, "others used it"), (-1, "its metrics are those of only some of its replicas")],
)
def test_counters_that_are_not_of_this_client_alone_count_for_nothing(serve: Any, more: int, sentence: str) -> None:
    server = serve(streaming())
    server.metrics = counters(more)
    measured = measure(server)
    assert prefix(measured) == [None, None, None]
    assert sentence in measured.scalars["prefix.queries"].reason


@pytest.mark.parametrize("metrics", [counters(5), None])
def test_what_the_server_says_in_each_answer_counts_where_its_counters_do_not(serve: Any, metrics: Any) -> None:
    server = serve(streaming(cached=4))
    server.metrics = metrics
    measured = measure(server)
    count = len(server.requests)
    queries, hits, _ = prefix(measured)
    assert (queries, hits, measured.facts["prefix_counted_by"]) == (5 * count, 4 * count, "usage")


@pytest.mark.parametrize(
    ("server_kind", "shown", "sentence"),
    [
        ("", None, "does not say what the server is"),
        ("vllm", None, "cannot be read"),
        ("tgi", "tgi_queue_size 0\n", "Text Generation Inference shows no metric of its prefix cache"),
    ],
)
def test_without_a_count_there_is_no_rate_and_the_reason_is_told(
    serve: Any, server_kind: str, shown: str | None, sentence: str
) -> None:
    server = serve(streaming())
    server.metrics = None if shown is None else lambda _: shown
    measured = measure(server, server=server_kind)
    reason = measured.scalars["prefix.hits"].reason
    assert sentence in reason
    assert "usage.prompt_tokens_details.cached_tokens" in reason


def test_streams_turned_away_are_asked_for_again_and_alone(serve: Any) -> None:
    server = serve(first(2, refusing(429), streaming(cached=4)))
    measured = measure(server, server="")
    assert (measured.facts["faults_RateLimited"], measured.facts["served"]) == (2, len(server.requests) - 2)


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (refusing(500), "ServerError"),
        (refusing(429), "RateLimited"),
        (refusing(404), "NotFound"),
        (saying(b"data: {oops\n\n"), "MalformedStream"),
        (saying(then="cut"), "ConnectionDropped"),
        (saying(then="hang"), "Stalled"),
    ],
)
def test_a_server_that_does_not_answer_as_it_should_ends_it(serve: Any, behaviour: Behaviour, reason: str) -> None:
    with pytest.raises(UnmeasurableError) as caught:
        measure(serve(behaviour), stall_seconds=0.3, max_failed_rounds=2)
    assert caught.value.reason == reason
