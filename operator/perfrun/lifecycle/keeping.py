"""What becomes of a forecast that a run made: it is kept, tells later runs how it did, and goes when there are many."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from perfrun.api.base import JSON
from perfrun.api.durations import seconds, written
from perfrun.api.kept import MAX_POINTS, Backtest, ForecastSpec, Foreseen
from perfrun.api.plan import Stage
from perfrun.api.run import RunStatus
from perfrun.capabilities.base import LiveRecord
from perfrun.lifecycle.values import Action, Emit, Keep, Kept, Run, RunObservation
from perfrun.manifests.names import forecast_name
from perfrun.measuring.scoring import apart, percent
from perfrun_kernels.contract import Result, Table

PROGRAM: Final = "forecast"
"""The program whose results hold forecasts."""

NOT_KEPT: Final = "ForecastNotKept"
"""Reason of the Event that says why a forecast is not kept."""

_LONGEST_MODEL: Final = 128
_COLUMNS: Final = ("at", "mean", "lower", "upper")


def foretells(stage: Stage) -> bool:
    """Whether a stage's result holds forecasts."""
    return stage.kind == "pod" and stage.program == PROGRAM


def keeps(run: Run, stages: Iterable[Stage], status: RunStatus, seen: RunObservation) -> tuple[Action, ...]:
    """Return what keeps every forecast in the results of these stages, or says why one cannot be kept."""
    done = {each.id for each in status.stages if each.state == "Done"}
    actions: list[Action] = []
    for stage in stages:
        handed_in = seen.results.get(stage.id)
        if foretells(stage) and stage.id in done and handed_in is not None and isinstance(handed_in.result, Result):
            actions += [_keep(run, metric, handed_in.result) for metric in _foretold(stage, handed_in.result)]
    return tuple(actions)


def _foretold(stage: Stage, result: Result) -> list[Mapping[str, JSON]]:
    return [each for each in stage.parameters.get("metrics") or () if f"{each['key']}.forecast" in result.tables]


def _keep(run: Run, metric: Mapping[str, JSON], result: Result) -> Action:
    key, name = str(metric["key"]), str(metric["name"])
    try:
        return Keep(forecast_name(run.meta.uid, result.stage, key), _spec(run, metric, result))
    except ValueError as error:
        why = " ".join(str(error).split())
        return Emit("Warning", NOT_KEPT, f"the forecast of {name} cannot be kept: {why}")


def _spec(run: Run, metric: Mapping[str, JSON], result: Result) -> ForecastSpec:
    key = str(metric["key"])
    points = _points(result.tables[f"{key}.forecast"])
    horizon = float(metric["horizon_s"])
    step = (points[1].at - points[0].at).total_seconds() if len(points) > 1 else horizon
    return ForecastSpec(
        target_ref=run.spec.target_ref, run=run.meta.name, metric=str(metric["name"]), key=key,
        query=_query(key, result), unit=str(metric.get("unit") or ""),
        model=str(result.facts.get(f"{key}.model", ""))[:_LONGEST_MODEL],
        made_at=dt.datetime.fromtimestamp(result.finished, dt.UTC), step=written(step), horizon=written(horizon),
        points=points,
        backtest=Backtest(**{
            each: scalar.value
            for each in Backtest.model_fields
            if (scalar := result.scalars.get(f"{key}.{each}")) is not None
        }),
    )  # fmt: skip


def _query(key: str, result: Result) -> str:
    """Return the metric's query as it was asked; only this tells what happened of what was foretold."""
    return str(result.facts.get(f"{key}.query", ""))


def _points(table: Table) -> tuple[Foreseen, ...]:
    """Return the points of a table, raising ValueError where it does not hold what a forecast is."""
    if missing := [each for each in _COLUMNS if each not in table.columns]:
        msg = f"its table has no column {', '.join(missing)}; found {', '.join(map(str, table.columns))[:200]}"
        raise ValueError(msg)
    if not 1 <= len(table.rows) <= MAX_POINTS:
        msg = f"it has {len(table.rows)} points; expected 1 to {MAX_POINTS}"
        raise ValueError(msg)
    named = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    times = [row["at"] for row in named]
    steps = {later - earlier for earlier, later in itertools.pairwise(times)}
    if len(steps) > 1 or not all(step > 0 for step in steps) or any(at != int(at) for at in times):
        msg = "its points are not at whole seconds in equal steps, one after another"
        raise ValueError(msg)
    return tuple(
        Foreseen(
            at=dt.datetime.fromtimestamp(row["at"], dt.UTC), mean=row["mean"], lower=row["lower"], upper=row["upper"],
            naive=row.get("naive"),
        )
        for row in named
    )  # fmt: skip


def records(stage: Stage, result: Result | None, kept: Sequence[Kept]) -> Mapping[str, LiveRecord]:
    """Return how earlier forecasts did, by metric: those of the very query and horizon that this result is about."""
    if result is None or not foretells(stage):
        return {}
    found = {}
    for metric in stage.parameters.get("metrics") or ():
        key, horizon = str(metric["key"]), float(metric["horizon_s"])
        query = _query(key, result)
        alike = [
            each for each in kept
            if each.status.state == "Scored"
            and (each.spec.key, each.spec.query, seconds(each.spec.horizon)) == (key, query, horizon)
        ]  # fmt: skip
        if alike:
            found[key] = live_record(alike)
    return found


def live_record(scored: Sequence[Kept]) -> LiveRecord:
    """Return how scored forecasts of one metric did, over all their points together; at least one is given."""
    states = [each.status for each in scored]
    actual = sum(each.absolute_actual or 0.0 for each in states)
    points = sum(each.points or 0 for each in states)
    naive = [each.absolute_naive_error for each in states if each.absolute_naive_error is not None]
    nominal = {each.spec.backtest.nominal for each in scored}
    return LiveRecord(
        count=len(scored),
        apart=apart([span(each) for each in scored]),
        wape=percent(sum(each.absolute_error or 0.0 for each in states), actual),
        coverage=percent(sum(each.covered or 0 for each in states), points),
        since=min(each.spec.made_at for each in scored),
        nominal=nominal.pop() if len(nominal) == 1 else None,
        naive=percent(sum(naive), actual) if len(naive) == len(states) else None,
    )


def span(kept: Kept) -> tuple[float, float]:
    """Return the time that a forecast is about, from the beginning of its first step to the end of its last."""
    points = kept.spec.points
    return points[0].at.timestamp() - seconds(kept.spec.step), points[-1].at.timestamp()


def surplus(kept: Iterable[Kept], keep: int) -> tuple[str, ...]:
    """Return the names of forecasts of one target that go, where ``keep`` are kept of each metric and horizon.

    So many stay of those that are over, the newest; and as many of those that wait, which are due first, with the
    newest, which tells of the present. Were only the newest kept, runs that are more frequent than their horizon is
    long would have every forecast deleted before its time comes.
    """
    by_metric: dict[tuple[str, str], list[Kept]] = {}
    for each in sorted(kept, key=lambda each: (each.spec.made_at, each.meta.name)):
        if not each.meta.deleting:
            by_metric.setdefault((each.spec.key, each.spec.horizon), []).append(each)
    gone: list[Kept] = []
    for mine in by_metric.values():
        waiting = [each for each in mine if each.status.state == "Waiting"]
        over = [each for each in mine if each.status.state != "Waiting"]
        gone += over[: max(0, len(over) - keep)]
        gone += waiting[keep:-1]
    return tuple(each.meta.name for each in gone)
