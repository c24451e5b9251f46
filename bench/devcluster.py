"""How long the development cluster takes to come up and to go: what everyone waits for who tests against it.

The programs are built before the clock starts; "Ready" is when every node is, and the row after it counts until DNS,
Services and Prometheus answer too.
"""

from __future__ import annotations

import os
import statistics
import time

from perfrun.devcluster import cluster, tools

# Each size of cluster, how often it is brought up, and the promised limit for Ready nodes, in milliseconds.
SIZES = ((3, 5, 10_000), (20, 3, 20_000))
DOWN_LIMIT_MS = 3_000

Row = tuple[str, float, float, float, float]


def run() -> list[Row]:
    """Return rows: name, median, least, most, and the promised limit, in milliseconds (0: none was promised).

    Raises:
        perfrun.devcluster.errors.DevClusterError: a cluster does not come up.
    """
    tools.ensure()
    return [row for nodes, runs, limit in SIZES for row in _measure(nodes, runs, limit)]


def _measure(nodes: int, runs: int, limit: float) -> list[Row]:
    ready, up, down = zip(*(_once(nodes) for _ in range(runs)), strict=True)
    return [
        _row(f"dev up, {nodes} nodes Ready ({runs} runs)", ready, limit),
        _row(f"dev up, {nodes} nodes, DNS and Prometheus too", up, 0),
        _row(f"dev down, {nodes} nodes", down, DOWN_LIMIT_MS),
    ]


def _once(nodes: int) -> tuple[float, float, float]:
    """Bring one cluster up and down; milliseconds to Ready nodes, to everything, and to nothing."""
    name = f"bench-{os.getpid()}"
    moments: dict[str, float] = {}

    def note(text: str) -> None:
        if text.endswith("nodes Ready"):
            moments["ready"] = time.perf_counter()

    begun = time.perf_counter()
    try:
        cluster.up(name, nodes, note)
        all_up = time.perf_counter()
    finally:
        ending = time.perf_counter()
        cluster.down(name)
    gone = time.perf_counter()
    return (moments["ready"] - begun) * 1000, (all_up - begun) * 1000, (gone - ending) * 1000


def _row(name: str, took: tuple[float, ...], limit: float) -> Row:
    return name, statistics.median(took), min(took), max(took), limit


if __name__ == "__main__":
    for name, median, least, most, limit in run():
        promised = f" (promised: < {limit:.0f} ms)" if limit else ""
        print(f"{name}: median {median:.0f} ms, min {least:.0f}, max {most:.0f}{promised}")
