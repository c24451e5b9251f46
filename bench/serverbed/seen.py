"""What a client of a server saw in one turn, in the same few figures whichever client it was."""

from __future__ import annotations

import statistics
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MILLISECONDS: Final = 1e3
PERCENT: Final = 100.0


@attrs.frozen
class Asked:
    """What every client is asked for: ``at_once`` streams at a time, ``requests`` in all, of so many tokens."""

    url: str
    model: str
    at_once: int
    requests: int
    prompt_tokens: int
    tokens: int
    seed: int


@attrs.frozen
class Seen:
    """Milliseconds, tokens per second and percent.

    ``ttft`` and ``itl`` are medians over requests, ``itl`` of each one's mean gap; ``itl_p99`` is the 99th percentile
    of those means, ``gap_p99`` that of all gaps between chunks. ``rate`` is all tokens over the whole turn,
    ``throughput`` what the client reports as tokens per second. ``busy`` is the share of the turn in which a stream
    was under way, as a mean over the ``at_once`` places for streams.
    """

    ttft: float
    itl: float
    itl_p99: float
    gap_p99: float
    rate: float
    throughput: float
    busy: float


@attrs.frozen
class Timed:
    """What was timed in a turn, in seconds: one of each for a request, but ``gaps`` for all chunks."""

    ttft: Sequence[float]
    itl: Sequence[float]
    gaps: Sequence[float]
    e2e: Sequence[float]
    seconds: float


def timed(streams: Sequence[tuple[float, Sequence[float]]], tokens: int) -> Timed:
    """Return the times of streams of so many tokens, of which each is when it was sent, and when its chunks arrived."""
    return Timed(
        ttft=[arrivals[0] - sent for sent, arrivals in streams],
        itl=[(arrivals[-1] - arrivals[0]) / (tokens - 1) for _, arrivals in streams],
        gaps=[later - earlier for _, arrivals in streams for earlier, later in pairwise(arrivals)],
        e2e=[arrivals[-1] - sent for sent, arrivals in streams],
        seconds=max(arrivals[-1] for _, arrivals in streams) - min(sent for sent, _ in streams),
    )


def of_timed(found: Timed, asked: Asked, throughput: float | None = None) -> Seen:
    """Return the figures of what was timed; percentiles lie between two values as aiperf's do, linearly.

    Raises:
        ValueError: it was not as many requests as were asked for.
    """
    if len(found.ttft) != asked.requests:
        raise ValueError(f"{len(found.ttft)} requests were timed; expected {asked.requests}")
    rate = asked.requests * asked.tokens / found.seconds
    return Seen(
        ttft=MILLISECONDS * statistics.median(found.ttft),
        itl=MILLISECONDS * statistics.median(found.itl),
        itl_p99=MILLISECONDS * _p99(found.itl),
        gap_p99=MILLISECONDS * _p99(found.gaps),
        rate=rate,
        throughput=rate if throughput is None else throughput,
        busy=PERCENT * sum(found.e2e) / (asked.at_once * found.seconds),
    )


def of_aiperf(exported: Mapping[str, Any], asked: Asked) -> Seen:
    """Return the figures of what aiperf exported as JSON.

    Raises:
        ValueError: one is missing, or in another unit than it was in 0.13.0, or not all requests were answered in full.
    """
    tokens = _figure(exported, "total_osl", "avg", "tokens")
    if tokens != asked.requests * asked.tokens:
        raise ValueError(f"aiperf saw {tokens:g} tokens; expected {asked.requests * asked.tokens}")
    seconds = _figure(exported, "benchmark_duration", "avg", "sec")
    e2e = asked.requests * _figure(exported, "request_latency", "avg", "ms") / MILLISECONDS
    return Seen(
        ttft=_figure(exported, "time_to_first_token", "p50", "ms"),
        itl=_figure(exported, "inter_token_latency", "p50", "ms"),
        itl_p99=_figure(exported, "inter_token_latency", "p99", "ms"),
        gap_p99=_figure(exported, "inter_chunk_latency", "p99", "ms"),
        rate=tokens / seconds,
        throughput=_figure(exported, "output_token_throughput", "avg", "tokens/sec"),
        busy=PERCENT * e2e / (asked.at_once * seconds),
    )


def _p99(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[-1]


def _figure(exported: Mapping[str, Any], name: str, which: str, unit: str) -> float:
    found = exported.get(name, {})
    if found.get("unit") != unit or which not in found:
        raise ValueError(f"aiperf's export has {name}: {found or 'nothing'}; expected {which} in {unit}")
    return float(found[which])
