"""What the forecast program hands in is kept as it is, and scored by the very query that it was made of."""

from __future__ import annotations

import datetime as dt
import time

import numpy as np
import pytest
from historybed import series as made
from historybed.series import DAY, HOUR, Series
from historybed.server import serving

from perfrun.adapters.prometheus import PrometheusMetrics
from perfrun.api.kept import ForecastSpec, ForecastStatus
from perfrun.api.plan import Stage
from perfrun.api.run import ArtifactLink, RunSpec, RunStatus, StageStatus, TimeWindow
from perfrun.api.target import Prometheus, TargetSpec
from perfrun.lifecycle.decide_forecast import decide_forecast, due
from perfrun.lifecycle.keeping import keeps
from perfrun.lifecycle.values import (
    Decision,
    ForecastObservation,
    HandedIn,
    Keep,
    Kept,
    Meta,
    Run,
    RunObservation,
)

DAYS = 4
METRIC = {
    "key": "throughput", "name": "Throughput", "query": "sum(rate(requests_total[$window]))", "unit": "1/s",
    "horizon_s": HOUR,
}  # fmt: skip
LINK = ArtifactLink(name="x", url="memory:///x", digest="sha256:0", bytes=1)


def counted(start: float, end: float, since: float, factor: float = 1.0) -> Series:
    """Return requests at a rate that goes up and down each day, and another from ``since`` on."""
    times = made.grid(start, end, 60.0)
    noise = np.random.default_rng(7).normal(1, 0.1, times.size)
    rates = (100 + 30 * np.sin(2 * np.pi * times / DAY)) * noise * np.where(times > since, factor, 1.0)
    return made.counter({"__name__": "requests_total"}, times, rates)


@pytest.fixture
def spec(prometheus, measure) -> ForecastSpec:
    """What is kept of a forecast that the program made."""
    now = time.time()
    server = prometheus(counted(now - DAYS * DAY, now, now))
    parameters = {
        "prometheus": {"url": server.url, "timeout_s": 30.0}, "metrics": [METRIC], "lookback_s": DAYS * DAY,
        "windows": 5, "confidence": 0.99, "deployments": "", "resources": {}, "throughput": "", "latency": "",
        "concurrency": "",
    }  # fmt: skip
    stage = Stage(id="forecast", scenario=0, kind="pod", program="forecast", parameters=parameters)
    status = RunStatus(stages=(StageStatus(id=stage.id, state="Done", attempt=1),))
    run = Run(Meta("run", "team", "uid"), RunSpec(feature="x", target_ref="target"), status)
    result = measure("forecast", parameters)
    (action,) = keeps(run, [stage], status, RunObservation(results={stage.id: HandedIn(LINK, result)}))
    assert isinstance(action, Keep), action
    return action.spec


async def scored(spec: ForecastSpec, url: str) -> Decision[ForecastStatus]:
    target = TargetSpec(prometheus=Prometheus(url=url, step=spec.step))
    assert target.prometheus is not None
    window = TimeWindow(start=spec.points[0].at, end=spec.points[-1].at)
    answer = await PrometheusMetrics().range(target.prometheus, spec.query, window)
    kept = Kept(Meta("forecast", "team", "uid"), spec, ForecastStatus())
    return decide_forecast(kept, ForecastObservation(target, answer), due(spec))


async def test_a_forecast_of_the_program_is_scored_by_what_then_happened(spec):
    assert (spec.horizon, spec.unit, spec.target_ref) == ("1h", "1/s", "target")
    assert "$window" not in spec.query
    assert spec.points[-1].at - spec.made_at < dt.timedelta(hours=1, minutes=5)
    assert spec.backtest.wape is not None
    assert all(each.naive is not None for each in spec.points)
    begun, ended = (each.at.timestamp() for each in (spec.points[0], spec.points[-1]))
    for factor, wape in ((1.0, 0.0), (2.0, 50.0)):
        with serving([counted(begun - DAY, ended + 120, begun - 300, factor)]) as server:
            status = (await scored(spec, server.url)).status
        assert (status.state, status.points) == ("Scored", len(spec.points))
        assert status.wape == pytest.approx(wape, abs=8)
        # Yesterday's noise comes on top of today's, and how much of it, depends on the hour.
        assert status.naive_wape == pytest.approx(wape, abs=16)
        assert (status.coverage > 50) == (factor == 1.0)
