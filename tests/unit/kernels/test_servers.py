"""Servers' own metrics, in the form in which each of them writes them."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from server import Behaviour, Server, streaming

from perfrun_kernels.faults import ParametersError
from perfrun_kernels.sampling import openai
from perfrun_kernels.sampling.parameters import SERVERS as NAMED
from perfrun_kernels.sampling.parameters import OpenAIParameters, parse
from perfrun_kernels.servers import beside
from perfrun_kernels.servers.reading import MetricsError, Times, between, most, read
from perfrun_kernels.servers.tables import KINDS, SERVERS

VLLM = """# HELP vllm:prefix_cache_queries_total Prefix cache queries, in terms of number of queried tokens.
# TYPE vllm:prefix_cache_queries_total counter
vllm:prefix_cache_queries_total{engine="0",model_name="m"} 4000.0
vllm:prefix_cache_queries_total{engine="1",model_name="m"} 1000.0
vllm:prefix_cache_queries_total{engine="0",model_name="other"} 7.0
# TYPE vllm:prefix_cache_hits_total counter
vllm:prefix_cache_hits_total{engine="0",model_name="m"} 3000.0
vllm:prefix_cache_hits_total{engine="1",model_name="m"} 500.0
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.5
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 3.0
vllm:num_requests_running{engine="1",model_name="m"} 2.0
# TYPE vllm:request_success_total counter
vllm:request_success_total{engine="0",finished_reason="stop",model_name="m"} 8.0
vllm:request_success_total{engine="0",finished_reason="length",model_name="m"} 2.0
# TYPE vllm:time_to_first_token_seconds histogram
vllm:time_to_first_token_seconds_bucket{engine="0",le="0.1",model_name="m"} 9.0
vllm:time_to_first_token_seconds_bucket{engine="0",le="0.25",model_name="m"} 10.0
vllm:time_to_first_token_seconds_bucket{engine="0",le="+Inf",model_name="m"} 10.0
vllm:time_to_first_token_seconds_count{engine="0",model_name="m"} 10.0
vllm:time_to_first_token_seconds_sum{engine="0",model_name="m"} 0.8
"""
OLD_VLLM = """# TYPE vllm:gpu_prefix_cache_queries_total counter
vllm:gpu_prefix_cache_queries_total{model_name="m"} 100.0
# TYPE vllm:gpu_prefix_cache_hits_total counter
vllm:gpu_prefix_cache_hits_total{model_name="m"} 40.0
# TYPE vllm:gpu_cache_usage_perc gauge
vllm:gpu_cache_usage_perc{model_name="m"} 0.125
"""
SGLANG = """# TYPE sglang:prompt_tokens_total counter
sglang:prompt_tokens_total{model_name="m"} 1000.0
# TYPE sglang:cached_tokens_total counter
sglang:cached_tokens_total{model_name="m",cache_source="device"} 600.0
sglang:cached_tokens_total{model_name="m",cache_source="host"} 100.0
# TYPE sglang:num_requests_total counter
sglang:num_requests_total{model_name="m"} 12.0
# TYPE sglang:token_usage gauge
sglang:token_usage{model_name="m"} 0.28
"""
TGI = """# TYPE tgi_request_success counter
tgi_request_success 5
# TYPE tgi_queue_size gauge
tgi_queue_size 2
# TYPE tgi_request_duration histogram
tgi_request_duration_bucket{le="0.5"} 4
tgi_request_duration_bucket{le="+Inf"} 5
tgi_request_duration_sum 3.5
tgi_request_duration_count 5
# TYPE tgi_request_generated_tokens histogram
tgi_request_generated_tokens_sum 320
tgi_request_generated_tokens_count 5
"""
LLAMACPP = """# HELP llamacpp:prompt_tokens_total Number of prompt tokens processed.
# TYPE llamacpp:prompt_tokens_total counter
llamacpp:prompt_tokens_total 143
# TYPE llamacpp:tokens_predicted_total counter
llamacpp:tokens_predicted_total 673
# TYPE llamacpp:requests_processing gauge
llamacpp:requests_processing 1
# TYPE llamacpp:requests_deferred gauge
llamacpp:requests_deferred 4
"""
TRITON = """# TYPE nv_inference_request_success counter
nv_inference_request_success{model="m",version="1"} 161
nv_inference_request_success{model="other",version="1"} 5
# TYPE nv_trt_llm_request_metrics gauge
nv_trt_llm_request_metrics{model="m",request_type="waiting",version="1"} 3
nv_trt_llm_request_metrics{model="m",request_type="scheduled",version="1"} 8
nv_trt_llm_request_metrics{model="m",request_type="max",version="1"} 512
# TYPE nv_trt_llm_kv_cache_block_metrics gauge
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="max",model="m",version="1"} 6239
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="fraction",model="m",version="1"} 0.375
# TYPE nv_inference_first_response_histogram_ms histogram
nv_inference_first_response_histogram_ms_bucket{model="m",version="1",le="100"} 160
nv_inference_first_response_histogram_ms_bucket{model="m",version="1",le="+Inf"} 161
nv_inference_first_response_histogram_ms_sum{model="m",version="1"} 4830
nv_inference_first_response_histogram_ms_count{model="m",version="1"} 161
"""


def test_every_metric_that_is_read_is_in_the_documents() -> None:
    page = (Path(__file__).parents[3] / "docs" / "servers.md").read_text()
    names = {each.name for known in SERVERS.values() for figure in known.figures.values() for each in figure}
    assert {name for name in names if name not in page} == set()


def test_every_server_that_can_be_named_has_a_table_of_known_figures() -> None:
    assert set(SERVERS) == set(NAMED)
    for known in SERVERS.values():
        assert set(known.figures) <= set(KINDS)
        assert all(each.versions for names in known.figures.values() for each in names)


@pytest.mark.parametrize(
    ("server", "text", "numbers"),
    [
        ("vllm", VLLM, {"prefix_queries": 5000, "prefix_hits": 3500, "cache_used": 0.5, "running": 5, "requests": 10}),
        ("vllm", OLD_VLLM, {"prefix_queries": 100, "prefix_hits": 40, "cache_used": 0.125}),
        ("sglang", SGLANG, {"prompt_tokens": 1000, "prefix_queries": 1000, "prefix_hits": 700, "requests": 12,
                            "cache_used": 0.28}),
        ("tgi", TGI, {"requests": 5, "waiting": 2, "generated_tokens": 320}),
        ("llamacpp", LLAMACPP, {"prompt_tokens": 143, "generated_tokens": 673, "running": 1, "waiting": 4}),
        ("triton", TRITON, {"requests": 161, "waiting": 3, "running": 8, "cache_used": 0.375}),
        ("triton", VLLM, {"prefix_queries": 5000, "prefix_hits": 3500, "cache_used": 0.5, "running": 5,
                          "requests": 10}),
    ],
)  # fmt: skip
def test_each_server_is_read_by_its_own_names(server: str, text: str, numbers: dict[str, float]) -> None:
    assert read(text, server, "m").numbers == numbers


def test_times_are_in_seconds_whatever_the_server_counts_in() -> None:
    assert read(VLLM, "vllm", "m").times == {"ttft": Times(0.8, 10, {0.1: 9, 0.25: 10, math.inf: 10})}
    first = read(TRITON, "triton", "m").times["ttft"]
    assert (first.total, first.count, first.bound(0.99)) == (pytest.approx(4.83), 161, pytest.approx(0.1))


def test_a_bound_of_a_quantile_is_the_bucket_that_holds_it() -> None:
    times = Times(1.0, 100, {0.1: 50, 0.5: 99, math.inf: 100})
    assert [times.bound(each) for each in (0.5, 0.51, 0.99, 0.995)] == [0.1, 0.5, 0.5, math.inf]


@pytest.mark.parametrize(
    ("server", "text", "sentence"),
    [
        ("vllm", "vllm:num_requests_running{ 3", "malformed"),
        ("vllm", "<html>not found</html>", "malformed"),
        ("sglang", VLLM, "no metric that SGLang is known to have: start it with --enable-metrics"),
        ("llamacpp", "", "start it with --metrics"),
        ("tgi", "", "no metric that Text Generation Inference is known to have"),
    ],
)
def test_what_is_no_metrics_of_this_server_is_said(server: str, text: str, sentence: str) -> None:
    with pytest.raises(MetricsError, match=sentence):
        read(text, server, "m")


def test_between_two_readings_only_what_was_added_counts() -> None:
    before = read(VLLM, "vllm", "m")
    later = VLLM
    for old, new in (("4000.0", "4600.0"), ("3000.0", "3300.0"), ('"m"} 0.8', '"m"} 1.4'), ('"m"} 10.0', '"m"} 13.0')):
        later = later.replace(old, new)
    after = read(later, "vllm", "m")
    found = between(before, after)
    assert (found.numbers["prefix_queries"], found.numbers["prefix_hits"], found.numbers["requests"]) == (600, 300, 0)
    assert (found.times["ttft"].total, found.times["ttft"].count) == (pytest.approx(0.6), 3)
    assert "running" not in found.numbers
    assert most([before, attrs.evolve(before, numbers=before.numbers | {"running": 9.0})])["running"] == 9


def test_a_server_that_started_anew_is_found_out() -> None:
    with pytest.raises(MetricsError, match="started anew meanwhile: its prefix hits became fewer"):
        between(read(VLLM, "vllm", "m"), read(VLLM.replace("3000.0", "3.0"), "vllm", "m"))


def client(url: str, **changes: Any) -> OpenAIParameters:
    data: dict[str, Any] = {
        "engine": "openai", "url": url, "model_name": "m", "batch_size": 2, "prompt_tokens": 5, "num_tokens": 4,
        "min_samples": 5, "server": "vllm", "sampling": {"seed": 3},
    }  # fmt: skip
    found = parse(data | changes)
    assert isinstance(found, OpenAIParameters)
    return found


@pytest.mark.parametrize(
    ("url", "changes", "expected"),
    [
        ("http://s:8000/v1", {}, "http://s:8000/metrics"),
        ("http://s:8000/deep/v1/", {"server": "sglang"}, "http://s:8000/deep/metrics"),
        ("http://s:9000/v1", {"server": "triton"}, "http://s:8002/metrics"),
        ("http://[::1]:9000/v1", {"server": "triton"}, "http://[::1]:8002/metrics"),
        ("http://s:8000/v1", {"metrics_url": "http://s:9/m"}, "http://s:9/m"),
    ],
)
def test_metrics_are_looked_for_where_the_server_has_them(url: str, changes: Any, expected: str) -> None:
    assert beside.metrics_url(client(url, **changes)) == expected


def test_a_server_or_an_address_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ParametersError, match=r"metrics_url is 'ftp://x'.*server is 'ollama'"):
        client("http://s/v1", server="ollama", metrics_url="ftp://x")


@pytest.fixture
def serve(serve: Callable[[Behaviour], Server], monkeypatch: pytest.MonkeyPatch) -> Callable[[Behaviour], Server]:
    monkeypatch.setattr(beside, "SETTLING_SECONDS", 0.0)
    monkeypatch.setattr(openai, "LEAST_LEVELS_SECONDS", 0.005)
    return serve


def counting(server: Server) -> str:
    """Return metrics as vLLM would show them after this server's requests."""
    count = len(server.requests)
    return f"""# TYPE vllm:request_success_total counter
vllm:request_success_total{{model_name="m",finished_reason="length"}} {100 + count}
# TYPE vllm:prefix_cache_queries_total counter
vllm:prefix_cache_queries_total{{model_name="m"}} {5000 + 5 * count}
# TYPE vllm:prefix_cache_hits_total counter
vllm:prefix_cache_hits_total{{model_name="m"}} {3000 + 2 * count}
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{{model_name="m"}} {server.open}
# TYPE vllm:time_to_first_token_seconds histogram
vllm:time_to_first_token_seconds_bucket{{model_name="m",le="0.5"}} {count}
vllm:time_to_first_token_seconds_bucket{{model_name="m",le="+Inf"}} {count}
vllm:time_to_first_token_seconds_count{{model_name="m"}} {count}
vllm:time_to_first_token_seconds_sum{{model_name="m"}} {0.25 * count}
"""


def test_the_servers_own_figures_stand_beside_what_the_client_saw(serve: Any) -> None:
    server = serve(streaming())
    server.metrics = counting
    facts = openai.measure(client(server.url, min_samples=60), 0.2, lambda _: None).facts
    assert facts["server_metrics"] == "read before and after"
    assert facts["server_requests"] == facts["streams_complete"] == len(server.requests)
    assert facts["server_prefix_hit_rate"] == 0.4
    assert (facts["server_ttft_mean_seconds"], facts["server_ttft_p99_at_most_seconds"]) == (0.25, 0.5)
    assert 0 <= int(facts["server_running_most"]) <= 2


@pytest.mark.parametrize(
    ("metrics", "sentence"),
    [(None, "cannot be read: HTTP Error 404"), (lambda _: "{", "malformed"), (lambda _: TGI, "no metric that vLLM")],
)
def test_metrics_that_cannot_be_read_are_told_and_disturb_nothing(serve: Any, metrics: Any, sentence: str) -> None:
    server = serve(streaming())
    server.metrics = metrics
    measured = openai.measure(client(server.url), 20.0, lambda _: None)
    assert sentence in str(measured.facts["server_metrics"])
    assert measured.series["ttft_seconds"].values


def test_a_key_goes_to_no_other_host_than_the_apis() -> None:
    headers = {"Authorization": "Bearer secret"}
    assert beside.Beside(client("http://a:1/v1"), headers)._headers == headers
    assert beside.Beside(client("http://a:1/v1", metrics_url="http://b:1/metrics"), headers)._headers == {}


def test_nothing_is_read_where_nobody_says_what_the_server_is(serve: Any) -> None:
    server = serve(streaming())
    server.metrics = counting
    assert "server_metrics" not in openai.measure(client(server.url, server=""), 20.0, lambda _: None).facts
