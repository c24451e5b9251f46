"""How long a forecast of a day takes, how much memory, and how far it is off on real series of public demand.

Every history is in a real Prometheus. Accuracy is of the rolling-origin backtest that verdicts go by: 20 windows of a
day, each a day after the one before. Beside it stand seasonal naive, AutoETS and AutoARIMA on the same windows. Which
series, and which stretch of each, was settled before anything was foretold: the last eight weeks of every source.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import attrs
import numpy as np
from historybed import beside, program, public, world
from historybed.program import Ran
from historybed.series import DAY, HOUR, WEEK
from historybed.server import Server, serving

from perfrun_kernels.contract import Result

Row = tuple[str, float, float, float, float]

WINDOWS: Final = 20
WEEKS: Final = 8
TURNS: Final = 3
WITHIN: Final = 10.0
"""Prediction error (WAPE, %) that the feature states."""

SECONDS: Final = 20.0
MEMORY_MIB: Final = 1024.0
POINTS: Final = 11_000.0
"""The most points that Prometheus gives for one series of a range query."""

MEBIBYTE: Final = 2**20
BESIDE: Final = ("AutoETS", "AutoARIMA")
HISTORIES: Final = (
    ("response time, 1 h", HOUR, "s",
     "sum(rate(http_request_duration_seconds_sum[$window])) / sum(rate(http_request_duration_seconds_count[$window]))"),
    ("CPU, 6 h", 6 * HOUR, "cores", 'sum(rate(node_cpu_seconds_total{mode!="idle"}[$window]))'),
    ("throughput, 24 h", DAY, "1/s", "sum(rate(http_requests_total[$window]))"),
)  # fmt: skip
"""What the feature foretells, of a cluster that was made up: name, horizon, unit and query."""


@attrs.frozen
class Accuracy:
    """One series' prediction errors (WAPE, %) over all windows, and the share (%) that its intervals held."""

    name: str
    model: str
    wape: float
    upper: float
    naive: float
    ratio_upper: float
    coverage: float
    nominal: float
    beside: dict[str, float]


def run(turns: int = TURNS, say: Callable[[str], None] = print) -> list[Row]:
    """Return rows of name, median, least, most and the promised limit; ``say`` takes the accuracy table's lines.

    Raises:
        RuntimeError: the program did not measure, or the public series could not be had.
    """
    end = np.floor(time.time() / HOUR) * HOUR
    made = world.World(end, 35 * DAY, troubles=world.TROUBLED)
    with serving(world.build(made)) as server:
        name, horizon, unit, query = HISTORIES[-1]
        timed = [_foretold(server, [_metric("a", name, query, unit, horizon)]) for _ in range(turns)]
        generated = [_accuracy(server, *each) for each in HISTORIES]
        asked = server.asked()
    with serving(public.load(end, WEEKS)) as server:
        real = [_accuracy(server, source, DAY, "", _public(source)) for source in public.SOURCES]
        asked += server.asked()
    say(_table("made up, with a deployment, an incident, a restart and a gap", generated))
    say(_table(f"public series, a day ahead, {WINDOWS} windows", real))
    what = f"a day ahead with {WINDOWS} windows, one series"
    return [
        _row(f"{what}: s", [each.seconds for each in timed], SECONDS),
        _row(f"{what}: memory, MiB", [each.peak_bytes / MEBIBYTE for each in timed], MEMORY_MIB),
        _row("most points asked for in one query", [max(_points(each) for each in asked)], POINTS),
        _row(f"{len(real)} public series: WAPE, %", [each.wape for each in real], 0),
        _row(f"{len(real)} public series: seasonal naive's WAPE, %", [each.naive for each in real], 0),
        _row(f"{len(real)} public series: within {WITHIN:g} %, % of them", [_share(real, _within)], 0),
        _row(f"{len(real)} public series: better than naive, % of them", [_share(real, _better)], 0),
        _row(f"{len(real)} public series: covered by intervals, %", [each.coverage for each in real], 0),
    ]


def _within(each: Accuracy) -> bool:
    return each.wape <= WITHIN


def _better(each: Accuracy) -> bool:
    return each.ratio_upper < 1


def _share(found: list[Accuracy], kept: Callable[[Accuracy], bool]) -> float:
    return 100 * sum(kept(each) for each in found) / len(found)


def _public(source: str) -> str:
    return f'avg_over_time(public{{source="{source}"}}[$window])'


def _metric(key: str, name: str, query: str, unit: str, horizon: float) -> dict[str, Any]:
    return {"key": key, "name": name, "query": query, "unit": unit, "horizon_s": horizon}


def _foretold(server: Server, metrics: list[dict[str, Any]]) -> Ran:
    return program.run("forecast", {
        "prometheus": {"url": server.url, "timeout_s": 60.0}, "metrics": metrics, "lookback_s": WEEKS * WEEK,
        "windows": WINDOWS, "confidence": 0.99, "deployments": "", "resources": {}, "throughput": "", "latency": "",
        "concurrency": "",
    })  # fmt: skip


def _accuracy(server: Server, name: str, horizon: float, unit: str, query: str) -> Accuracy:
    result = _foretold(server, [_metric("a", name, query, unit, horizon)]).result
    if result.facts.get("a.reason"):
        raise RuntimeError(f"{name} was not foretold: {result.facts['a.why']}")

    def value(scalar: str) -> float:
        found = result.scalars[f"a.{scalar}"].value
        return float("nan") if found is None else found

    return Accuracy(
        name, str(result.facts["a.model"]), value("wape"), value("wape.upper"), value("naive"), value("ratio.upper"),
        value("coverage"), value("nominal"), _models(str(result.facts["a.models"])) | _others(server, result),
    )  # fmt: skip


def _others(server: Server, result: Result) -> dict[str, float]:
    """Return the errors of AutoETS and AutoARIMA on the same windows, where a step is an hour."""
    table = np.array(result.tables["a.backtest"].rows)
    number, at, actual = (
        table[:, result.tables["a.backtest"].columns.index(each)] for each in ("window", "at", "actual")
    )
    step = float(np.diff(at).min())
    if step != HOUR:
        return {}
    times = np.arange(at[0] - 5 * WEEK, at[-1] + 1, step)
    query = str(result.facts["a.query"])
    [found] = server.ask("query_range", query=query, start=times[0], end=times[-1], step=step)["result"]
    values = np.full(times.size, np.nan)
    for moment, value in found["values"]:
        values[round((float(moment) - times[0]) / step)] = float(value)
    windows = {at[number == each].min(): actual[number == each] for each in np.unique(number)}
    return beside.errors(
        times, values, {first: each for first, each in windows.items() if each.size == DAY / step}, step
    )


def _models(told: str) -> dict[str, float]:
    """Read "AutoETS 7.1 %, Theta 8.0 %"."""
    pairs = (each.strip().rpartition(" ")[0].rpartition(" ") for each in told.split(","))
    return {name: float(error) for name, _, error in pairs if name}


def _table(title: str, found: list[Accuracy]) -> str:
    lines = [["series", "WAPE, %", "at most", "seasonal naive", *BESIDE, "ratio to naive, at most", "covered, % (of)"]]
    for each in found:
        others = [f"{each.beside[name]:.1f}" if name in each.beside else "–" for name in BESIDE]
        errors = [f"{value:.1f}" for value in (each.wape, each.upper, each.naive)]
        covered = f"{each.coverage:.0f} ({each.nominal:.0f})"
        lines.append([each.name, *errors, *others, f"{each.ratio_upper:.2f}", covered])
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    met = f"{sum(map(_within, found))} of {len(found)} within {WITHIN:g} %"
    return f"forecast: {title}: {met}, {sum(map(_better, found))} surely better than seasonal naive\n{table}"


def _points(asked: dict[str, Any]) -> float:
    if not asked["step"]:
        return 1.0
    began, ended = (np.datetime64(str(asked[name]).rstrip("Z")) for name in ("start", "end"))
    return float((ended - began) / np.timedelta64(1, "s") / float(asked["step"]) + 1)


def _row(name: str, values: list[float], limit: float) -> Row:
    return (name, statistics.median(values), min(values), max(values), limit)


def main() -> int:
    """Print the rows; return 1 where a promise is not kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=TURNS, help="how often the timed forecast is made")
    rows = run(parser.parse_args().turns)
    for name, *values, limit in rows:
        print(f"{name:<75}" + "".join(f"{each:>10.4g}" for each in values) + f"{limit:>10.4g}")
    return int(any(limit and value > limit for _, value, _, _, limit in rows))


if __name__ == "__main__":
    sys.exit(main())
