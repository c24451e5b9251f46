"""Which metric of which server, in which of its versions, tells what.

Each entry was taken from where its source says. Servers rename their metrics, so that one figure has several names,
newest first; the first that a server shows is read. A figure that a server has no metric of is not in its table.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

import attrs

Kind = Literal["counter", "level", "share", "times"]
"""counter: only grows, its series are added. level: goes up and down, its series are added. share: from 0 to 1, the
greatest of its series counts. times: a histogram, of which sum and count are read."""

KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "requests": "counter", "prompt_tokens": "counter", "generated_tokens": "counter", "prefix_queries": "counter",
        "prefix_hits": "counter", "preemptions": "counter", "running": "level", "waiting": "level",
        "cache_used": "share", "ttft": "times", "itl": "times", "e2e": "times",
    }
)  # fmt: skip
"""The figures, in tokens, requests, shares and seconds. ``prefix_queries`` are the prompt tokens that a prefix cache
was asked for, ``prefix_hits`` those that it had."""


@attrs.frozen
class Name:
    """One name of one figure, with ``labels`` that its series have and ``scale`` to the figure's unit.

    ``versions`` that have it are those in which it was looked up; between and after them it is taken to be there.
    """

    name: str
    versions: str
    labels: Mapping[str, str] = MappingProxyType({})
    scale: float = 1.0


@attrs.frozen
class Server:
    """What one server shows, where its address is derived from that of its API, and where the names come from."""

    title: str
    figures: Mapping[str, tuple[Name, ...]]
    source: str
    port: int | None = None
    switch: str = ""
    """What must be said to the server so that it shows its metrics, where it must."""


_VLLM: Final[Mapping[str, tuple[Name, ...]]] = {
    "requests": (Name("vllm:request_success_total", "0.5.3 to 0.32"),),
    "prompt_tokens": (Name("vllm:prompt_tokens_total", "0.5.3 to 0.32"),),
    "generated_tokens": (Name("vllm:generation_tokens_total", "0.5.3 to 0.32"),),
    "prefix_queries": (
        Name("vllm:prefix_cache_queries_total", "0.9.2 to 0.32"),
        Name("vllm:gpu_prefix_cache_queries_total", "0.8 to 0.9.1, engine V1"),
    ),
    "prefix_hits": (
        Name("vllm:prefix_cache_hits_total", "0.9.2 to 0.32"),
        Name("vllm:gpu_prefix_cache_hits_total", "0.8 to 0.9.1, engine V1"),
    ),
    "preemptions": (Name("vllm:num_preemptions_total", "0.5.3 to 0.32"),),
    "running": (Name("vllm:num_requests_running", "0.5.3 to 0.32"),),
    "waiting": (Name("vllm:num_requests_waiting", "0.5.3 to 0.32"),),
    "cache_used": (
        Name("vllm:kv_cache_usage_perc", "0.9.2 to 0.32"),
        Name("vllm:gpu_cache_usage_perc", "0.5.3 to 0.11"),
    ),
    "ttft": (Name("vllm:time_to_first_token_seconds", "0.5.3 to 0.32"),),
    "itl": (
        Name("vllm:inter_token_latency_seconds", "0.10.2 to 0.32"),
        Name("vllm:time_per_output_token_seconds", "0.5.3 to 0.10.1"),
    ),
    "e2e": (Name("vllm:e2e_request_latency_seconds", "0.5.3 to 0.32"),),
}

_SGLANG: Final[Mapping[str, tuple[Name, ...]]] = {
    "requests": (Name("sglang:num_requests_total", "0.4.6 to 0.5.23"),),
    "prompt_tokens": (Name("sglang:prompt_tokens_total", "0.4.0 to 0.5.23"),),
    "generated_tokens": (Name("sglang:generation_tokens_total", "0.4.0 to 0.5.23"),),
    "prefix_queries": (Name("sglang:prompt_tokens_total", "0.4.0 to 0.5.23"),),
    "prefix_hits": (Name("sglang:cached_tokens_total", "0.4.6 to 0.5.23, by cache_source from 0.5.9"),),
    "preemptions": (Name("sglang:num_retracted_requests_total", "0.5.9 to 0.5.23"),),
    "running": (Name("sglang:num_running_reqs", "0.4.0 to 0.5.23"),),
    "waiting": (Name("sglang:num_queue_reqs", "0.4.0 to 0.5.23"),),
    "cache_used": (Name("sglang:token_usage", "0.4.0 to 0.5.23"),),
    "ttft": (Name("sglang:time_to_first_token_seconds", "0.4.0 to 0.5.23"),),
    "itl": (
        Name("sglang:inter_token_latency_seconds", "0.4.6 to 0.5.23"),
        Name("sglang:time_per_output_token_seconds", "0.4.0"),
    ),
    "e2e": (Name("sglang:e2e_request_latency_seconds", "0.4.0 to 0.5.23"),),
}

_TGI: Final[Mapping[str, tuple[Name, ...]]] = {
    "requests": (Name("tgi_request_success", "3.3"),),
    "prompt_tokens": (Name("tgi_request_input_length_sum", "3.3"),),
    "generated_tokens": (Name("tgi_request_generated_tokens_sum", "3.3"),),
    "running": (Name("tgi_batch_current_size", "3.3"),),
    "waiting": (Name("tgi_queue_size", "3.3"),),
    "e2e": (Name("tgi_request_duration", "3.3"),),
}

_LLAMACPP: Final[Mapping[str, tuple[Name, ...]]] = {
    "prompt_tokens": (Name("llamacpp:prompt_tokens_total", "2024 to 2026; without those that its cache had"),),
    "generated_tokens": (Name("llamacpp:tokens_predicted_total", "2024 to 2026"),),
    "running": (Name("llamacpp:requests_processing", "2024 to 2026"),),
    "waiting": (Name("llamacpp:requests_deferred", "2024 to 2026"),),
    "cache_used": (Name("llamacpp:kv_cache_usage_ratio", "2024 to May 2025"),),
}

_TRITON: Final[Mapping[str, tuple[Name, ...]]] = {
    **_VLLM,
    "requests": (*_VLLM["requests"], Name("nv_inference_request_success", "2.30 and later")),
    "running": (
        *_VLLM["running"],
        Name("nv_trt_llm_request_metrics", "TensorRT-LLM backend", {"request_type": "scheduled"}),
    ),
    "waiting": (
        *_VLLM["waiting"],
        Name("nv_trt_llm_request_metrics", "TensorRT-LLM backend", {"request_type": "waiting"}),
        Name("nv_inference_pending_request_count", "documented, since when was not looked up"),
    ),
    "cache_used": (
        *_VLLM["cache_used"],
        Name("nv_trt_llm_kv_cache_block_metrics", "TensorRT-LLM backend", {"kv_cache_block_type": "fraction"}),
    ),
    "ttft": (
        *_VLLM["ttft"],
        Name(
            "nv_inference_first_response_histogram_ms",
            "documented; needs --metrics-config histogram_latencies=true",
            scale=1e-3,
        ),
    ),
}

SERVERS: Final[Mapping[str, Server]] = MappingProxyType(
    {
        "vllm": Server("vLLM", _VLLM, "vllm/v1/metrics/loggers.py, docs.vllm.ai usage/metrics"),
        "sglang": Server(
            "SGLang", _SGLANG, "sglang/srt/observability/metrics_collector.py, docs.sglang.io production_metrics",
            switch="--enable-metrics",
        ),
        "tgi": Server("Text Generation Inference", _TGI, "docs/source/reference/metrics.md"),
        "llamacpp": Server("llama.cpp server", _LLAMACPP, "tools/server/README.md", switch="--metrics"),
        "triton": Server(
            "Triton Inference Server", _TRITON, "docs/user_guide/metrics.md; vllm_backend and tensorrtllm_backend",
            port=8002,
        ),
    }
)  # fmt: skip
"""The servers by the word that a target has for them."""
