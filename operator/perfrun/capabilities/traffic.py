"""Traffic to the target's Service as stages of a plan: shared by everything that needs load.

What a load stage is told is what the generator takes, apart from what only a run knows: its namespace, which stands as
``$namespace`` in the URL, the prefix of request ids, and when all shards begin.
"""

from __future__ import annotations

import math
from typing import Final, Literal

import attrs

from perfrun.api.base import JSON
from perfrun.api.durations import seconds
from perfrun.api.plan import Stage
from perfrun.api.service import Load, RequestSize, Service
from perfrun.api.target import TargetSpec
from perfrun.capabilities.base import PlanError
from perfrun.language.model import Scenario
from perfrun_kernels.contract import GRACE_SECONDS

Size = Literal["small", "medium", "large"]

NAMESPACE: Final = "$namespace"
"""Stands in a planned URL for the namespace of the run, which plans do not know."""

PEAK_LATENCY: Final = "peak_latency_seconds"
"""Parameter of a load that finds a peak: the p99 up to which a step of it counts as answered well."""

OPERATORS: Final = ("lead_seconds", PEAK_LATENCY)
"""Parameters of a load stage that are for the operator, and that no generator is told."""

LATENESS_SHARE: Final = 0.05
"""How late a generator may be, as a share of the limit on latency that is judged."""

_BACKLOG: Final = 0.05
"""Seconds of lateness that tell a backlog, which grows with time, from a hiccup of the machine that makes the load."""

_IDS_TIMEOUT: Final = 60.0
_NEVER: Final = 1e9
_ROOM_DEVIATIONS: Final = 4.0


@attrs.frozen
class Segment:
    """A stretch of a schedule: its length in seconds and the requests per second of all shards together."""

    seconds: float
    rate: float


def service_of(scenario: Scenario, target: TargetSpec) -> Service:
    """Return the Service under load.

    Raises:
        PlanError: the target names none.
    """
    if target.service is None:
        msg = (
            f"scenario {scenario.name!r} sends requests, but the target names no Service; "
            "add spec.service.name to the PerfTarget"
        )
        raise PlanError(msg)
    return target.service


def load_stage(
    name: str, index: int, service: Service, target: TargetSpec, segments: tuple[Segment, ...], size: Size,
    latency_limit: float | None = None,
) -> Stage:  # fmt: skip
    """Return the stage that sends requests of a size by a schedule; ``latency_limit`` is the one judged, in seconds."""
    load = target.load
    request = service.sizes.get(size, RequestSize())
    deadline = seconds(load.deadline)
    parameters: dict[str, JSON] = {
        "url": _url(service, request.path),
        "method": request.method,
        "body_bytes": request.body_bytes,
        "headers": [{"name": name, "value": value} for name, value in sorted(service.headers.items())],
        "http": service.http,
        "insecure": service.insecure,
        "served_by_header": service.served_by_header,
        "schedule": [{"seconds": each.seconds, "rate": each.rate} for each in segments],
        "arrivals": load.arrivals,
        "seed": load.seed,
        "connection": load.connection,
        "connections": load.connections,
        "requests_per_connection": load.requests_per_connection,
        "deadline_seconds": deadline,
        "attempt_seconds": seconds(load.attempt_timeout),
        "retries": load.retries,
        "retry_budget": load.retry_budget,
        "backoff_seconds": seconds(load.backoff),
        "window_seconds": seconds(load.window),
        "loops": load.loops,
        "probe": True,
        "lead_seconds": seconds(load.lead),
    }
    # What is proven beforehand is the rate. How late requests may be is judged on the load itself, whose p99 says more
    # than that of half a second.
    parameters["probe_lateness_seconds"] = max(_BACKLOG, LATENESS_SHARE * (latency_limit or 0.0))
    length = sum(each.seconds for each in segments)
    attempts = target.pods.attempts
    return Stage(
        id=name,
        scenario=index,
        kind="load",
        program="load",
        shards=load.shards,
        parameters=parameters,
        seconds=length,
        # Each attempt has a longer lead than the one before, and a pod that is not there by then is late.
        start_timeout=seconds(load.lead) * attempts,
        timeout=length + deadline + GRACE_SECONDS,
        attempts=attempts,
    )


def ids_stage(name: str, index: int, load: str) -> Stage:
    """Return the stage that reads from the servers' logs which requests of a load they answered."""
    return Stage(id=name, scenario=index, kind="ids", parameters={"after": load}, timeout=_IDS_TIMEOUT)


def seconds_for(requests: float, rate: float) -> float:
    """Return how long a load lasts, in whole seconds, that has so many requests even if chance has it send fewer."""
    return float(math.ceil((requests + _ROOM_DEVIATIONS * math.sqrt(requests)) / rate))


def connection_clusters(load: Load) -> float:
    """Return how many requests go to a server together where connections, not requests, are spread."""
    # Connections that are never closed are spread once: no length of a load makes chance smaller then.
    return float(load.requests_per_connection or _NEVER) if load.connection == "keep-alive" else 1.0


def _url(service: Service, path: str) -> str:
    return f"{service.scheme}://{service.name}.{service.namespace or NAMESPACE}.svc:{service.port}{path}"
