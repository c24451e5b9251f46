"""A status always fits into an object, and what is left out of it is the least telling."""

from __future__ import annotations

import pytest

from perfrun.api.faults import ServingNode
from perfrun.api.run import RunStatus, ScenarioStatus, StageStatus, StepStatus
from perfrun.api.verdicts import Verdict
from perfrun.lifecycle.sizing import LIMIT, fitted, size, slimmed

STEP = StepStatus(keyword="Then", text="x" * 300, verdict=Verdict.PASS, reason="LimitMet", message="y" * 400)


def scenario(verdict: Verdict) -> ScenarioStatus:
    return ScenarioStatus(name="s", line=1, verdict=verdict, message="m", steps=(STEP,) * 6)


def test_a_small_status_is_left_alone():
    status = RunStatus(scenarios=(scenario(Verdict.PASS),) * 3)
    assert fitted(status) is status or fitted(status) == status


@pytest.mark.parametrize("count", [60, 200])
def test_two_hundred_scenarios_fit_and_the_failed_one_keeps_its_evidence(count):
    scenarios = [scenario(Verdict.PASS)] * count
    scenarios[count // 2] = scenario(Verdict.FAIL)
    status = RunStatus(scenarios=tuple(scenarios))
    assert size(status) > LIMIT
    small = fitted(status)
    assert size(small) <= LIMIT
    assert len(small.scenarios) == count
    assert small.scenarios[count // 2].steps == (STEP,) * 6
    assert "report" in small.scenarios[0].message
    assert small.scenarios[-1].steps == (STEP,) * 6


def test_no_more_is_left_out_than_must_be():
    status = RunStatus(scenarios=(scenario(Verdict.PASS),) * 60)
    kept = [each for each in fitted(status).scenarios if each.steps]
    one = size(RunStatus(scenarios=(scenario(Verdict.PASS),))) - size(RunStatus())
    assert size(fitted(status)) + one > LIMIT
    assert kept


def served(count: int) -> RunStatus:
    nodes = tuple(ServingNode(node=f"node-{i}", pods=(f"web-{i}",), cpu=4) for i in range(20))
    done = tuple(StageStatus(id=f"s{i}-load", state="Done", serving=nodes) for i in range(count))
    return RunStatus(stages=(*done, StageStatus(id="last", state="Running", serving=nodes)))


def test_who_served_is_kept_while_there_is_room():
    status = served(3)
    assert slimmed(status) == status


def test_who_served_under_loads_that_are_over_gives_way_before_there_is_a_report():
    status = served(250)
    assert size(status) > LIMIT
    small = slimmed(status)
    assert size(small) < LIMIT // 2
    assert [each.id for each in small.stages if each.serving] == ["last"]
