"""The history of a small cluster as its Prometheus would have it: nodes, pods, requests, and what went wrong.

Everything is made from one seed. Names are those of node_exporter, the blackbox exporter and the usual HTTP metrics.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs
import numpy as np
from historybed.series import DAY, HOUR, Floats, Series, Shape, counter, follow, gauge, grid, reset, scaled, without

CORES: Final = 4.0
MEMORY_BYTES: Final = 16 * 2**30
SECONDS_A_REQUEST: Final = 0.02
"""Response time without any load."""


@attrs.frozen
class Troubles:
    """What goes wrong, all of it by seconds before the end; None: does not."""

    deployment: float | None = None
    incident: float | None = None
    restart: float | None = None
    gap: float | None = None


TROUBLED: Final = Troubles(deployment=9 * DAY, incident=5 * DAY + 7 * HOUR, restart=3 * DAY, gap=2 * DAY + 3 * HOUR)


@attrs.frozen
class World:
    """How long, how often, and of what there is history."""

    end: float
    seconds: float
    interval: float = 60.0
    nodes: tuple[str, ...] = ("node-1", "node-2", "node-3")
    pods: tuple[str, ...] = ("web-0", "web-1")
    noise: float = 0.03
    troubles: Troubles = Troubles()
    seed: int = 1


def build(world: World) -> list[Series]:
    """Return all series; utilisation follows throughput, and response time follows utilisation."""
    rng = np.random.default_rng(world.seed)
    times = grid(world.end - world.seconds, world.end, world.interval, rng, jitter=0.02)
    shape = Shape(level=300.0, daily=0.5, weekly=0.2, trend=0.01, noise=world.noise)
    throughput = _befallen(world, follow(shape, times, rng), times, factor=1.3)
    utilization = np.minimum(0.08 + throughput / 1000, 0.97)
    slow = np.exp(rng.normal(0, world.noise, times.size))
    response = _befallen(world, SECONDS_A_REQUEST / (1 - utilization) * slow, times, factor=1.15)
    found = [*_pods(world, times, throughput, response), *_nodes(world, times, utilization, rng)]
    return [_interrupted(world, each) for each in found]


def _pods(world: World, times: Floats, throughput: Floats, response: Floats) -> Iterator[Series]:
    for place, pod in enumerate(world.pods):
        labels = {"pod": pod, "namespace": "shop", "node": world.nodes[place % len(world.nodes)]}
        share = throughput / len(world.pods)
        yield counter({"__name__": "http_requests_total", "code": "200", **labels}, times, 0.998 * share)
        yield counter({"__name__": "http_requests_total", "code": "500", **labels}, times, 0.002 * share)
        yield counter({"__name__": "http_request_duration_seconds_count", **labels}, times, share)
        yield counter({"__name__": "http_request_duration_seconds_sum", **labels}, times, share * response)


def _nodes(world: World, times: Floats, utilization: Floats, rng: np.random.Generator) -> Iterator[Series]:
    for node in world.nodes:
        labels = {"node": node, "instance": f"{node}:9100", "job": "node"}
        busy = np.clip(utilization * np.exp(rng.normal(0, 0.01, times.size)), 0, 1)
        for mode, share in (("user", 0.8 * busy), ("system", 0.2 * busy), ("idle", 1 - busy)):
            yield counter({"__name__": "node_cpu_seconds_total", "cpu": "0", "mode": mode, **labels}, times, share)
        used = Shape(level=0.5 * MEMORY_BYTES, daily=0.1, weekly=0.02, trend=0.01, noise=0.005)
        free = MEMORY_BYTES - follow(used, times, rng)
        yield Series({"__name__": "node_memory_MemAvailable_bytes", **labels}, times, free)
        total = np.full_like(times, MEMORY_BYTES)
        yield Series({"__name__": "node_memory_MemTotal_bytes", **labels}, times, total)
        yield gauge({"__name__": "probe_duration_seconds", **labels, "job": "blackbox"}, times, Shape(0.002), rng)


def _befallen(world: World, values: Floats, times: Floats, factor: float) -> Floats:
    """Put the deployment and the incident into a quantity from which others follow."""
    found, troubles = Series({}, times, values), world.troubles
    if troubles.deployment is not None:
        found = scaled(found, world.end - troubles.deployment, np.inf, factor)
    if troubles.incident is not None:
        begin = world.end - troubles.incident
        found = scaled(found, begin, begin + 1.5 * HOUR, 2.0)
    return found.values


def _interrupted(world: World, series: Series) -> Series:
    """Restart the counters, and lose some hours of everything."""
    troubles = world.troubles
    if troubles.restart is not None and series.labels["__name__"].endswith(("_total", "_count", "_sum")):
        series = reset(series, world.end - troubles.restart)
    if troubles.gap is not None:
        begin = world.end - troubles.gap
        series = without(series, begin, begin + 2 * HOUR)
    return series
