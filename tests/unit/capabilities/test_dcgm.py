"""What DCGM knows of a card stands beside what the pod saw, and an error of the driver spoils the figures."""

from __future__ import annotations

import datetime as dt
import math

import pytest

from perfrun.api.plan import Stage
from perfrun.api.run import TimeWindow
from perfrun.api.target import TargetSpec
from perfrun.capabilities.base import QueryAnswer
from perfrun.capabilities.dcgm import QUERY, XID_CHANGES, beside, told
from perfrun.capabilities.gpu import spoilt
from perfrun.measuring import promql
from perfrun_kernels.contract import Result

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
POD = Stage(id="s1-sampling", scenario=0, kind="pod", program="sampling", gpus=1, seconds=30, timeout=60)
TARGET = TargetSpec.from_wire({"prometheus": {"url": "http://prometheus", "timeout": "9s"}})


def answer(**series: float) -> QueryAnswer:
    found = {f'{{UUID="{card}", what="{name}"}}': ((1.0, value),) for (card, name), value in _pairs(series).items()}
    return QueryAnswer(QUERY, TimeWindow(start=NOW, end=NOW), series=found)


def _pairs(series: dict[str, float]) -> dict[tuple[str, str], float]:
    return {("GPU-other" if name.startswith("other_") else "GPU-1", name.removeprefix("other_")): value
            for name, value in series.items()}  # fmt: skip


def result() -> Result:
    return Result("run", "stage", 1, "Completed", 0.0, 60.0, facts={"device": "cuda", "gpu_uuid": "GPU-1"})


def test_the_cards_of_a_pod_are_asked_about_over_its_window() -> None:
    [stage] = beside(POD, TARGET)
    assert (stage.id, stage.kind, stage.scenario, stage.timeout) == ("s1-sampling-dcgm", "query", 0, 9)
    assert (stage.parameters["query"], stage.parameters["after"]) == (QUERY, POD.id)


def test_nothing_is_asked_without_a_gpu_or_a_prometheus() -> None:
    assert beside(POD.replace(gpus=0), TARGET) == ()
    assert beside(POD, TargetSpec()) == ()


def test_the_query_is_one_that_the_operator_can_render() -> None:
    promql.check(QUERY, frozenset())
    assert "$" not in promql.with_window(promql.render(QUERY, {}, window=None), 30.0, 5.0)


def test_only_what_is_said_of_the_pods_own_card_is_told() -> None:
    seen = told(result(), answer(dcgm_clock_mhz=1980.0, dcgm_power_watts=math.nan, other_dcgm_temperature_celsius=90.0))
    assert seen.facts == {"device": "cuda", "gpu_uuid": "GPU-1", "dcgm_clock_mhz": 1980.0}


@pytest.mark.parametrize("nothing", [None, answer(), QueryAnswer("", TimeWindow(start=NOW, end=NOW), error="down")])
def test_without_the_exporter_nothing_is_said_and_nothing_is_lost(nothing: QueryAnswer | None) -> None:
    assert told(result(), nothing) == result()


@pytest.mark.parametrize(("changes", "reason"), [(0.0, None), (2.0, "GPUErrors")])
def test_an_error_that_the_driver_reported_spoils_the_figures(changes: float, reason: str | None) -> None:
    found = spoilt(told(result(), answer(**{XID_CHANGES: changes})))
    assert (found[0] if found is not None else None) == reason
