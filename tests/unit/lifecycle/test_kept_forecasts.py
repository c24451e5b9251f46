"""From a run's result to a score, turn by turn, in a world where the operator dies at every point."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import attrs
import pytest
from foretold import result
from world import KEY, Killed, Sim, settle, sim_with_run, target_spec

from perfrun.adapters.drive import drive
from perfrun.api.run import RunStatus, TimeWindow
from perfrun.api.target import TargetSpec
from perfrun.capabilities.base import QueryAnswer
from perfrun.lifecycle import work
from perfrun.lifecycle.decide_forecast import AGAIN, SETTLING
from perfrun.lifecycle.evidence import by_stage
from perfrun.lifecycle.values import Key

ROOT = Path(__file__).parents[3]
FEATURE = (ROOT / "features" / "system_performance.feature").read_text()
FORETOLD = {"Response time", "Resource usage", "Throughput"}
TARGET = Key("PerfTarget", "team", "llm")


@attrs.define
class Foretelling(Sim):
    """A world whose pods foretell; ``ranges`` are the steps and windows that the metrics store was asked for."""

    ranges: list[tuple[str, TimeWindow]] = attrs.field(factory=list)

    async def range(self, server, query, window):
        self.ranges.append((server.step, window))
        return await self.instant(server, query, window)

    def result(self, stage, attempt):
        (run,) = self.runs.values()
        assert run.status.frozen is not None
        parameters = next(each.parameters for each in run.status.frozen.plan.stages if each.id == stage)
        return result(stage, parameters["metrics"], self.time, attempt=attempt)


def world(target: TargetSpec | None = None, **changes) -> Foretelling:
    sim = sim_with_run(FEATURE, target, tags="@performance-model")
    return Foretelling(targets=sim.targets, runs=sim.runs, **changes)


def keys(sim: Sim) -> list[Key]:
    return [Key("PerfForecast", "team", name) for name in sim.forecasts]


async def turn(sim: Sim, key: Key):
    """Make one turn; an operator that dies makes it again."""
    while True:
        try:
            return await drive(key, sim.world)
        except Killed:
            continue


async def test_every_forecast_of_a_run_is_kept_and_named():
    sim = world()
    status = await settle(sim)
    assert {each.spec.metric for each in sim.forecasts.values()} == FORETOLD
    assert {each.name for each in status.forecasts} == set(sim.forecasts)
    for each in status.forecasts:
        assert each.due_at == sim.forecasts[each.name].spec.points[-1].at
    assert {each.spec.horizon for each in sim.forecasts.values()} == {"1h", "6h", "24h"}


async def test_wherever_the_operator_dies_every_forecast_is_kept_once_and_named():
    whole = world()
    expected = await settle(whole)
    for die_at in range(1, whole.effects + 1):
        sim = world(die_at=die_at)
        status = await settle(sim)
        assert (status.phase, status.forecasts) == (expected.phase, expected.forecasts), die_at
        assert set(sim.forecasts) == set(whole.forecasts), die_at


async def test_a_forecast_that_is_refused_holds_no_verdict_back():
    whole, sim = world(), world(unkept="the API server refuses it: exceeded quota")
    expected, status = await settle(whole), await settle(sim)
    assert (status.phase, status.forecasts) == (expected.phase, ())
    told = [message for reason, message in sim.events if reason == "ForecastNotKept"]
    assert len(told) == len(FORETOLD)
    assert all(each.endswith("is not kept: the API server refuses it: exceeded quota") for each in told)


async def test_a_pod_that_is_lost_leaves_nothing_to_keep():
    sim = world(fate=lambda _stage, _attempt: "Error")
    status = await settle(sim)
    assert (sim.forecasts, status.forecasts) == ({}, ())


def truth(sim: Sim, off: float):
    """Let Prometheus say that everything turned out to be so much more than was foretold."""
    every = {each.spec.query: each.spec for each in sim.forecasts.values()}

    def answer(query: str) -> QueryAnswer:
        series = {"{}": tuple((each.at.timestamp(), each.mean + off) for each in every[query].points)}
        return QueryAnswer(query, window=None, series=series)  # type: ignore[arg-type]  -- the world sets it

    return answer


@pytest.mark.parametrize("die_at", [-1, *range(1, 5)])
async def test_a_forecast_is_scored_when_its_time_has_come_and_no_sooner(die_at):
    sim = world()
    await settle(sim)
    sim.answer = truth(sim, 5.0)
    sim.queries.clear()
    looks = {key: await turn(sim, key) for key in keys(sim)}
    assert sim.queries == []
    sim.die_at = sim.effects + die_at if die_at > 0 else -1
    for key, look_at in sorted(looks.items(), key=lambda each: each[1]):
        kept = sim.forecasts[key.name]
        assert look_at == kept.spec.points[-1].at + SETTLING
        sim.time = look_at
        assert await turn(sim, key) is None
        found = sim.forecasts[key.name].status
        assert (found.state, found.coverage, found.absolute_error) == ("Scored", 100.0, 60.0)
        assert await turn(sim, key) is None
    asked = [sim.forecasts[each.name].spec.query for each in sorted(looks, key=looks.__getitem__)]
    # Whoever died before the score was written asks once more.
    assert list(dict.fromkeys(sim.queries)) == asked
    assert len(sim.queries) == len(asked) + (die_at in (1, 4))


async def test_what_happened_is_asked_for_at_the_very_points_that_were_foretold():
    sim = world()
    await settle(sim)
    sim.answer = lambda query: QueryAnswer(query, window=None, error="not now")  # type: ignore[arg-type]  -- as above
    for key in keys(sim):
        spec = sim.forecasts[key.name].spec
        sim.time = spec.points[-1].at + SETTLING
        assert await turn(sim, key) == sim.time + AGAIN
        assert sim.ranges[-1] == (spec.step, TimeWindow(start=spec.points[0].at, end=spec.points[-1].at))


async def test_a_later_run_hears_how_earlier_forecasts_did(monkeypatch):
    sim = world()
    await settle(sim)
    sim.answer = truth(sim, 5.0)
    sim.time += dt.timedelta(hours=25)
    for key in keys(sim):
        await turn(sim, key)
    first, reads, heard = sim.runs.pop(KEY.name), sim.reads.count("forecasts"), []
    meta = attrs.evolve(first.meta, name="llm-2", uid="uid-2")
    sim.runs["llm-2"] = attrs.evolve(first, meta=meta, status=RunStatus())
    sim.pods.clear()
    sim.files.clear()

    def listening(*arguments):
        evidence = by_stage(*arguments)
        heard.extend(each.kept for each in evidence.values() if each.kept)
        return evidence

    monkeypatch.setattr(work, "by_stage", listening)
    await settle(sim, Key("PerfRun", "team", "llm-2"))
    assert len(sim.forecasts) == 2 * len(FORETOLD)
    (records,) = heard
    assert set(records) == {"response_time", "resource_usage", "throughput"}
    # Off by 5 at each point, from 105 to 116.
    for each in records.values():
        assert (each.count, each.apart, each.coverage, each.nominal) == (1, 1, 100.0, 95.0)
        assert each.wape == pytest.approx(100 * 60 / sum(range(105, 117)))
    # They are read in the one look that judges, not in every look at the run.
    assert sim.reads.count("forecasts") - reads == 1


async def test_a_target_lets_surplus_go():
    sim = world(target_spec().replace(forecast={"keep": 1}))
    await settle(sim)
    (name, first) = next(iter(sim.forecasts.items()))
    for index in range(5):
        made = first.spec.made_at + dt.timedelta(minutes=1 + index)
        meta = attrs.evolve(first.meta, name=f"{name}-{index}")
        sim.forecasts[meta.name] = attrs.evolve(first, meta=meta, spec=first.spec.replace(made_at=made))
    await turn(sim, TARGET)
    assert {each for each in sim.forecasts if each.startswith(name)} == {name, f"{name}-4"}
    assert {each.spec.metric for each in sim.forecasts.values()} == FORETOLD
