"""Forecasts for tests: what a run's result holds, what is kept of it, and how it went."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Sequence
from typing import Any

from perfrun.api.kept import Backtest, ForecastSpec, ForecastStatus, Foreseen
from perfrun.lifecycle.values import Kept, Meta
from perfrun_kernels.contract import Result, Scalar, Table

MADE = dt.datetime(2026, 1, 5, 12, 0, tzinfo=dt.UTC)
STEP = dt.timedelta(minutes=5)
QUERY = "sum(rate(requests_total[5m]))"


def points(means: Sequence[float] = (100.0, 110.0, 90.0, 100.0), spread: float = 20.0) -> tuple[Foreseen, ...]:
    return tuple(
        Foreseen(at=MADE + (i + 1) * STEP, mean=mean, lower=mean - spread, upper=mean + spread)
        for i, mean in enumerate(means)
    )


def kept(name: str = "throughput-1", status: ForecastStatus | None = None, deleting: bool = False, **spec: Any) -> Kept:
    given: dict[str, Any] = {
        "target_ref": "llm", "run": "llm-1", "metric": "Throughput", "key": "throughput", "query": QUERY, "unit": "1/s",
        "model": "AutoETS", "made_at": MADE, "step": "5m", "horizon": "20m", "points": points(),
        "backtest": Backtest(wape=8.0, naive=12.0, coverage=94.0, nominal=95.0),
    }  # fmt: skip
    meta = Meta(name, "team", f"uid-{name}", created=MADE, deleting=deleting)
    return Kept(meta, ForecastSpec(**given | spec), status or ForecastStatus())


def scored(
    name: str, error: float, actual: float, covered: int = 4, naive: float | None = None, after: int = 0, **spec: Any
) -> Kept:
    """Return one that was scored; it was made so many minutes after the others."""
    later = dt.timedelta(minutes=after)
    moved = tuple(each.replace(at=each.at + later) for each in points())
    status = ForecastStatus(
        state="Scored", scored_at=MADE + later, wape=100 * error / actual, coverage=25.0 * covered, points=4,
        covered=covered, absolute_error=error, absolute_actual=actual, absolute_naive_error=naive,
    )  # fmt: skip
    return kept(name, status, made_at=MADE + later, points=moved, **spec)


def result(
    stage: str, metrics: Sequence[dict[str, Any]], finished: dt.datetime = MADE, naive: bool = False, **changes: Any
) -> Result:
    """Return what a forecast program hands in about metrics with the given parameters."""
    tables, facts, scalars = {}, {}, {}
    for metric in metrics:
        key, step = metric["key"], metric["horizon_s"] / 12
        grid = finished.timestamp() // step * step
        rows = [[grid + (i + 1) * step, 100.0 + i, 90.0 + i, 110.0 + i] + [99.0] * naive for i in range(12)]
        tables[f"{key}.forecast"] = Table(["at", "mean", "lower", "upper"] + ["naive"] * naive, rows)
        facts |= {f"{key}.query": f"query of {key}", f"{key}.model": "Theta"}
        scalars |= {
            f"{key}.{name}": Scalar("%", value)
            for name, value in (("wape", 8.0), ("naive", 12.0), ("coverage", 94.0), ("nominal", 95.0))
        }
    handed_in = Result(
        run="llm-1", stage=stage, attempt=1, outcome="Completed", started=finished.timestamp() - 10,
        finished=finished.timestamp(), tables=tables, facts=facts, scalars=scalars,
    )  # fmt: skip
    return dataclasses.replace(handed_in, **changes)
