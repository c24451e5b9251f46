"""How long the telemetry program takes for a week of 15 s data of 50 series, and what it asks of the server for that.

The data are in a real Prometheus, backfilled by promtool.
"""

from __future__ import annotations

import statistics
import sys
import time
from typing import Any, Final

import numpy as np
from historybed import program
from historybed.series import DAY, WEEK, Series, Shape, gauge, grid, without
from historybed.server import Server, serving

Row = tuple[str, float, float, float, float]

SERIES: Final = 50
INTERVAL: Final = 15.0
TURNS: Final = 5
GAPS: Final = 3
"""Series that have one, so that there is something to be found."""

SECONDS: Final = 10.0
POINTS: Final = 11_000.0
"""The most points that Prometheus gives for one series of a range query."""

MEBIBYTE: Final = 2**20


def run(turns: int = TURNS, nodes: int = SERIES, seconds: float = WEEK) -> list[Row]:
    """Return rows of name, median, least, most and the promised limit.

    Raises:
        RuntimeError: the program did not measure, or did not find what is in the data.
    """
    end = time.time()
    with serving(_recorded(end, nodes, seconds), retention="30d") as server:
        found = [_judged(server, nodes, seconds) for _ in range(turns)]
        asked = server.asked()
    points = max((_points(each) for each in asked), default=0.0)
    what = f"{seconds / DAY:g} days of {INTERVAL:g} s data of {nodes} series"
    return [
        _row(f"{what}: judged, s", [each.seconds for each in found], SECONDS),
        _row(f"{what}: memory, MiB", [each.peak_bytes / MEBIBYTE for each in found], 0),
        _row(f"{what}: queries", [len(asked) / turns], 0),
        _row(f"{what}: most points asked for in one query", [points], POINTS),
    ]


def _recorded(end: float, nodes: int, seconds: float) -> list[Series]:
    rng = np.random.default_rng(1)
    # More than the window, for the program begins after the data end.
    times = grid(end - seconds - 300, end + 300, INTERVAL, rng, jitter=0.05)
    made = [gauge({"__name__": "load", "node": f"node-{number}"}, times, Shape(1.0), rng) for number in range(nodes)]
    holed = [without(each, end - seconds / 2, end - seconds / 2 + 600) for each in made[:GAPS]]
    return holed + made[GAPS:]


def _judged(server: Server, nodes: int, seconds: float) -> program.Ran:
    parameters: dict[str, Any] = {
        "prometheus": {"url": server.url, "timeout_s": 60.0}, "period_s": seconds, "window": "recorded",
        "completeness": 0.99,
        "rows": [{
            "key": "cpu", "name": "CPU utilization", "series": ["load"], "per": "node", "label": "node",
            "interval_s": INTERVAL, "retention_s": seconds,
        }],
        "expected": {
            "nodes": [{"name": f"node-{number}", "since": 0.0, "gpus": 0} for number in range(nodes)], "pods": [],
        },
    }  # fmt: skip
    ran = program.run("telemetry", parameters)
    scalars = {name: each.value for name, each in ran.result.scalars.items()}
    right = {"cpu.present": nodes, "cpu.gaps": GAPS, "cpu.interval": INTERVAL}
    wrong = {name: scalars.get(name) for name, value in right.items() if scalars.get(name) != value}
    if wrong:
        raise RuntimeError(f"the program did not find what is in the data: expected {right}, found {wrong}")
    return ran


def _points(asked: dict[str, Any]) -> float:
    if not asked.get("step"):
        return 1.0
    began, ended = (np.datetime64(str(asked[name]).rstrip("Z")) for name in ("start", "end"))
    return float((ended - began) / np.timedelta64(1, "s") / float(asked["step"]) + 1)


def _row(name: str, values: list[float], limit: float) -> Row:
    return (name, statistics.median(values), min(values), max(values), limit)


if __name__ == "__main__":
    rows = run()
    for name, *values, limit in rows:
        print(f"{name:<75}" + "".join(f"{each:>10.4g}" for each in values) + f"{limit:>10.4g}")
    sys.exit(any(limit and value > limit for _, value, _, _, limit in rows))
