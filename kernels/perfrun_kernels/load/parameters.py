"""What the load program can be asked, checked before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs

from perfrun_kernels.arguments import Arguments

ARRIVALS: Final = ("poisson", "constant")
CONNECTIONS: Final = ("keep-alive", "new")
VERSIONS: Final = ("1.1", "2")
BODY_BYTES: Final[Mapping[str, int]] = {"small": 0, "medium": 4 * 1024, "large": 64 * 1024}
"""Bytes of a request's body by its size; a small request has none."""

MOST_STEPS: Final = 64
"""Steps of a schedule: each has histograms of its own."""

_MAX_SEED: Final = 2**63 - 1
_PLAIN: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_")
_LONGEST_NAME: Final = 63


@attrs.frozen
class LoadParameters:
    """A checked request: ``config`` is what the generator reads, ``probe`` whether to find its rate first.

    ``seconds`` is the length of the schedule and ``deadline`` a request's, so that their sum bounds the run.
    """

    config: Mapping[str, Any]
    probe: bool
    seconds: float
    deadline: float


def parse(data: Mapping[str, Any], index: int | None = None) -> LoadParameters:
    """Read the program's parameters.

    ``url``; ``run`` (the prefix of request ids); ``schedule``: a list of ``seconds`` and ``rate`` (requests per
    second of all shards); ``arrivals``: poisson (with ``seed``) or constant; ``connection``: keep-alive or new;
    ``connections``, ``max_connections``, ``requests_per_connection``; ``http``: 1.1 or 2; ``method``, ``headers``,
    ``request_size`` (small, medium, large) or ``body_bytes``; ``served_by_header``; ``deadline_seconds``,
    ``attempt_seconds``, ``retries``, ``retry_budget`` (a share of the requests), ``backoff_seconds``; ``start_at``
    (seconds since the epoch, for all shards alike), ``shard``, ``shards``; ``window_seconds``; ``loops`` (threads);
    ``records`` (a path); ``probe`` and ``probe_lateness_seconds``. ``index``, the pod's in an Indexed Job, is the
    shard there.

    Raises:
        ParametersError: something is missing, unknown or out of bounds; the message names all of it.
    """
    arguments = Arguments(data)
    url, run = arguments.text("url"), arguments.text("run")
    if url is None or not url.startswith(("http://", "https://")):
        arguments.complain("url", url, "an address such as http://checkout.shop.svc:8080/")
    if run is not None and (len(run) > _LONGEST_NAME or not _PLAIN.issuperset(run)):
        arguments.complain("run", run, "1 to 63 letters, digits, dots or dashes")
    segments = [_segment(each) for each in arguments.items("schedule")]
    if not segments:
        arguments.complain("schedule", [], "at least one {seconds, rate}")
    if len(segments) > MOST_STEPS:
        arguments.complain("schedule", f"{len(segments)} steps", f"at most {MOST_STEPS}")
    shards = arguments.integer("shards", 1, least=1, most=1000)
    shard = arguments.integer("shard", 0, least=0, most=shards - 1)
    if index is not None and index >= shards:
        arguments.complain("shards", shards, f"more than {index}, which is this pod's index in its Job")
    deadline = arguments.number("deadline_seconds", 5.0, above=0, most=600)
    retries = arguments.integer("retries", 0, least=0, most=20)
    size = arguments.choice("request_size", "small", tuple(BODY_BYTES))
    connections = arguments.integer("connections", 64, least=1, most=65_536)
    config: dict[str, Any] = {
        "url": url, "run": run or "run", "segments": segments, "shards": shards, "retries": retries,
        "shard": shard if index is None else index,
        "arrivals": arguments.choice("arrivals", "poisson", ARRIVALS),
        "seed": arguments.integer("seed", 0, least=0, most=_MAX_SEED),
        "start_at": arguments.number("start_at", 0.0, least=0),
        "method": arguments.text("method") or ("POST" if BODY_BYTES[size] else "GET"),
        "headers": _headers(arguments),
        "body_bytes": arguments.integer("body_bytes", BODY_BYTES[size], least=0, most=64 * 1024 * 1024),
        "http": arguments.choice("http", "1.1", VERSIONS),
        "connection": arguments.choice("connection", "keep-alive", CONNECTIONS),
        "connections": connections,
        "max_connections": arguments.integer("max_connections", max(8192, connections), least=connections),
        "requests_per_connection": arguments.integer("requests_per_connection", 0, least=0),
        "insecure": arguments.flag("insecure", default=False),
        "served_by_header": arguments.text("served_by_header") or "X-Served-By",
        "deadline_seconds": deadline,
        "attempt_seconds": arguments.number("attempt_seconds", deadline / (retries + 1), above=0, most=deadline),
        "retry_budget": arguments.number("retry_budget", 0.1, least=0, most=1),
        "backoff_seconds": arguments.number("backoff_seconds", 0.01, least=0, most=60),
        "window_seconds": arguments.number("window_seconds", 1.0, least=0.01, most=3600),
        "loops": arguments.integer("loops", 1, least=1, most=64),
        "records": arguments.text("records") or "",
        "probe_lateness_seconds": arguments.number("probe_lateness_seconds", 0.001, above=0, most=60),
    }  # fmt: skip
    probe = arguments.flag("probe", default=False)
    arguments.finish()
    return LoadParameters(config, probe, sum(each["seconds"] for each in segments), deadline)


def _segment(segment: Arguments) -> dict[str, float]:
    return {
        "seconds": segment.number("seconds", above=0, most=86_400),
        "rate": segment.number("rate", least=0, most=1e7),
    }


def _headers(arguments: Arguments) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in arguments.items("headers"):
        name, value = each.text("name"), each.text("value")
        if name is None:
            each.complain("name", name, "the name of a header")
        else:
            found[name] = value or ""
    return found
