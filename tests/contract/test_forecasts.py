"""Forecasts on a real API server, scored by what a real Prometheus recorded, whoever was away meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from historybed import series as made
from historybed.server import Server, serving
from workbench import Bench, watching_by_kopf

from perfrun.adapters.api import Refused, load_configuration
from perfrun.adapters.clock import SystemClock
from perfrun.adapters.drive import World, drive
from perfrun.adapters.paths import object_path
from perfrun.adapters.prometheus import PrometheusMetrics
from perfrun.api import API_VERSION
from perfrun.api.kept import Backtest, ForecastSpec, ForecastStatus, Foreseen
from perfrun.api.run import RunSpec, RunStatus
from perfrun.controller import handlers
from perfrun.controller.hub import Hub
from perfrun.controller.queue import WakeQueue
from perfrun.controller.telemetry import Telemetry
from perfrun.controller.watches import Watches
from perfrun.lifecycle.values import Keep, Kept, Key, Meta, Run
from perfrun.ports import Conflict

pytestmark = pytest.mark.contract

STEP = dt.timedelta(minutes=5)
HOUR = dt.timedelta(hours=1)
WATCH_SECONDS = 10
QUERY = "sum(rate(requests_total[5m]))"
RATE = 50.0
NOW = dt.datetime.now(dt.UTC).replace(second=0, microsecond=0)


def forecast(name: str, made_at: dt.datetime = NOW - 2 * HOUR, mean: float = 55.0, **spec: Any) -> Keep:
    """Return an hour's forecast, made two hours ago if nothing else is said."""
    points = tuple(
        Foreseen(at=made_at + (i + 1) * STEP, mean=mean, lower=mean - 10, upper=mean + 10) for i in range(12)
    )
    given: dict[str, Any] = {
        "target_ref": "target", "run": "run", "metric": "Throughput", "key": "throughput", "query": QUERY,
        "unit": "1/s", "model": "Theta", "made_at": made_at, "step": "5m", "horizon": "1h", "points": points,
        "backtest": Backtest(wape=8.25, nominal=95.0),
    }  # fmt: skip
    return Keep(name, ForecastSpec(**given | spec))


@pytest.fixture(scope="module")
def recorded() -> Iterator[Server]:
    """A Prometheus that counted 50 requests a second for three hours."""
    times = made.grid((NOW - 3 * HOUR).timestamp(), NOW.timestamp() + 60, 15.0, np.random.default_rng(1))
    with serving([made.counter({"__name__": "requests_total", "job": "web"}, times, RATE)]) as server:
        yield server


async def target(bench: Bench, **spec: Any) -> dict[str, Any]:
    body = {"apiVersion": API_VERSION, "kind": "PerfTarget", "metadata": {"name": "target"}, "spec": spec}
    return await bench.make(object_path("PerfTarget", bench.namespace), body)


def run_in(bench: Bench) -> Run:
    return Run(Meta("run", bench.namespace, "uid"), RunSpec(feature="x", target_ref="target"), RunStatus())


async def keep(bench: Bench, action: Keep) -> None:
    assert await bench.cluster.keep(run_in(bench), action) == ""


async def read(bench: Bench, name: str) -> Kept:
    found = await bench.cluster.forecast(Key("PerfForecast", bench.namespace, name))
    assert found is not None
    return found


async def until(true: Callable[[], Awaitable[bool]], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not await true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)


async def test_a_forecast_is_made_once_read_back_whole_and_goes_with_its_target(bench: Bench) -> None:
    owner = await target(bench)
    action = forecast("throughput-1")
    await keep(bench, action)
    first = await read(bench, "throughput-1")
    await keep(bench, attrs.evolve(action, spec=action.spec.replace(model="another")))
    assert await read(bench, "throughput-1") == first
    assert (first.spec, first.status) == (action.spec, ForecastStatus())
    assert await bench.cluster.forecasts_of(bench.namespace, "target") == (first,)
    assert await bench.cluster.forecasts_of(bench.namespace, "another") == ()
    stored = await bench.api.get(object_path("PerfForecast", bench.namespace, "throughput-1"))
    assert [each["uid"] for each in stored["metadata"]["ownerReferences"]] == [owner["metadata"]["uid"]]
    assert stored["metadata"].get("finalizers") is None
    await bench.api.delete(object_path("PerfTarget", bench.namespace, "target"))

    async def gone() -> bool:
        return await bench.cluster.forecasts_of(bench.namespace, "target") == ()

    await until(gone)


async def test_a_status_is_read_back_whole_and_whoever_was_overtaken_writes_nothing(bench: Bench) -> None:
    await target(bench)
    await keep(bench, forecast("throughput-1"))
    kept = await read(bench, "throughput-1")
    status = ForecastStatus(
        observed_generation=1, state="Scored", message="WAPE 9.09 %", scored_at=NOW, wape=9.09, coverage=100.0,
        points=12, covered=12, absolute_error=60.0, absolute_actual=660.0,
    )  # fmt: skip
    written = await bench.cluster.save_forecast(kept, status)
    assert await read(bench, "throughput-1") == written
    assert written.status == status
    with pytest.raises(Conflict):
        await bench.cluster.save_forecast(kept, ForecastStatus(message="late"))
    await bench.cluster.discard(bench.namespace, "throughput-1")
    await bench.cluster.discard(bench.namespace, "throughput-1")
    with pytest.raises(Conflict):
        await bench.cluster.save_forecast(written, status)


async def test_what_was_foretold_cannot_be_changed_afterwards(bench: Bench) -> None:
    await target(bench)
    await keep(bench, forecast("throughput-1"))
    with pytest.raises(Refused, match="a forecast that was made cannot change"):
        await bench.api.merge(
            object_path("PerfForecast", bench.namespace, "throughput-1"), {"spec": {"model": "Hindsight"}}
        )


async def test_a_forecast_without_its_target_or_against_the_server_is_told_of(bench: Bench) -> None:
    told = await bench.cluster.keep(run_in(bench), forecast("throughput-1"))
    assert told == "PerfTarget target is gone, and a forecast goes with its target"
    await target(bench)
    too_long = forecast("Throughput 1")
    assert "the API server refuses it: " in await bench.cluster.keep(run_in(bench), too_long)
    assert "Invalid value" in await bench.cluster.keep(run_in(bench), too_long)


async def test_kubectl_shows_what_was_foretold_and_how_it_did(bench: Bench, kubectl: Callable[..., str]) -> None:
    await target(bench)
    await keep(bench, forecast("throughput-1"))
    status = ForecastStatus(
        observed_generation=1, state="Scored", scored_at=NOW, wape=9.09, coverage=91.67,
        conditions=(
            {"type": "Scored", "status": "True", "reason": "Scored", "message": "well", "observedGeneration": 1,
             "lastTransitionTime": "2026-01-01T00:00:00Z"},
        ),
    )  # fmt: skip
    await bench.cluster.save_forecast(await read(bench, "throughput-1"), status)
    head, row = (await asyncio.to_thread(kubectl, "get", "pfc", "--namespace", bench.namespace)).strip().splitlines()
    assert head.split() == [
        "NAME", "TARGET", "METRIC", "HORIZON", "DUE", "WAPE", "COVERAGE", "SCORED", "AGE",
    ]  # fmt: skip
    due = (NOW - HOUR).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert row.split()[:-1] == ["throughput-1", "target", "Throughput", "1h", due, "9.09", "91.67", "True"]


@contextlib.asynccontextmanager
async def operating(bench: Bench, kubeconfig: Path) -> AsyncIterator[Hub]:
    """Watch and work as the operator does, for as long as the block lasts."""
    loop, clock = asyncio.get_running_loop(), SystemClock()
    world = World(bench.cluster, PrometheusMetrics(), bench.artifacts, clock)
    queue = WakeQueue(lambda key: drive(key, world), clock)
    paths = handlers.watched_paths((bench.namespace,))
    watches = Watches(paths.values(), time.monotonic, WATCH_SECONDS)
    hub = Hub(lambda key: loop.call_soon_threadsafe(queue.wake, key) and None, lambda _: None, Telemetry())
    working = asyncio.create_task(queue.run())
    try:
        async with watching_by_kopf(
            bench.namespace, lambda: load_configuration(str(kubeconfig)), hub, watches, paths, WATCH_SECONDS
        ):
            yield hub
    finally:
        working.cancel()
        await queue.drain(5)


async def test_what_became_due_while_no_operator_was_there_is_scored_once(
    bench: Bench, kubeconfig: Path, recorded: Server
) -> None:
    await target(bench, prometheus={"url": recorded.url})
    await keep(bench, forecast("due"))
    await keep(bench, forecast("not-due", made_at=NOW))
    await keep(bench, forecast("unknown", key="errors", query="sum(rate(errors_total[5m]))"))

    def looked(name: str) -> Callable[[], Awaitable[bool]]:
        async def look() -> bool:
            return bool((await read(bench, name)).status.conditions)

        return look

    async with operating(bench, kubeconfig) as hub:
        for name in ("due", "not-due", "unknown"):
            await until(looked(name))
        due, waiting, unknown = [await read(bench, name) for name in ("due", "not-due", "unknown")]
        # 50 a second came where 55 were foretold, give or take 10.
        assert due.status.wape == pytest.approx(10.0, abs=0.2)
        assert (due.status.state, due.status.coverage, due.status.points) == ("Scored", 100.0, 12)
        assert due.status.absolute_actual == pytest.approx(12 * RATE, rel=0.01)
        assert (waiting.status.state, waiting.status.conditions[0]["reason"]) == ("Waiting", "NotDue")
        assert (unknown.status.state, unknown.status.conditions[0]["reason"]) == ("Waiting", "TooLittleData")
        metric = (bench.namespace, "target", "throughput", "1h")
        assert hub.forecasts.present(dt.datetime.now(dt.UTC))[(*metric, "upper")] == 65.0
        assert hub.forecasts.horizons()[metric] == 3600.0
        await until(lambda: _told(hub, metric))
    assert [each["query"] for each in recorded.asked()].count(QUERY) == 1
    async with operating(bench, kubeconfig) as hub:
        await until(lambda: _told(hub, metric))
        assert await read(bench, "due") == due
    assert [each["query"] for each in recorded.asked()].count(QUERY) == 1


async def _told(hub: Hub, metric: tuple[str, ...]) -> bool:
    return hub.forecasts.last_scored("wape").get(metric, 0) == pytest.approx(0.1, abs=0.002)


async def test_a_target_keeps_the_newest_that_is_over(bench: Bench, kubeconfig: Path, recorded: Server) -> None:
    await target(bench, prometheus={"url": recorded.url}, forecast={"keep": 1})
    for minutes in range(3):
        await keep(bench, forecast(f"f{minutes}", made_at=NOW - 2 * HOUR + dt.timedelta(minutes=minutes)))

    async def settled() -> bool:
        found = await bench.cluster.forecasts_of(bench.namespace, "target")
        return {(each.meta.name, each.status.state) for each in found} == {("f2", "Scored")}

    async with operating(bench, kubeconfig):
        await until(settled)
