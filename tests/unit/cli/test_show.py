"""One status in four forms: each tells the same verdicts, and none can be broken by what a feature says."""

from __future__ import annotations

import datetime as dt
import json
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from perfrun.api.faults import FaultStatus, NodeFault, Scaling
from perfrun.api.plan import Plan, PlannedScenario, PlannedStep, Stage
from perfrun.api.run import (
    ArtifactLink,
    Frozen,
    Phase,
    RunStatus,
    ScenarioStatus,
    StageStatus,
    StepStatus,
    TimeWindow,
)
from perfrun.api.target import TargetSpec
from perfrun.api.verdicts import Verdict
from perfrun.cli import show

WINDOW = TimeWindow(start=dt.datetime(2026, 1, 1, tzinfo=dt.UTC), end=dt.datetime(2026, 1, 2, tzinfo=dt.UTC))


def step(verdict=Verdict.PASS, text="p99 latency should be below 10 ms", message="p99 latency 4 ms < 10 ms"):
    measured = {} if verdict is Verdict.INCONCLUSIVE else {"value": 4.0, "lower": 3.5, "upper": 4.5, "samples": 900}
    return StepStatus(
        keyword="Then", text=text, verdict=verdict, reason="Because", message=message, unit="ms", limit=10.0,
        comparator="<", window=WINDOW, facts={"device": "cpu", "parameters": 3}, **measured,
    )  # fmt: skip


def status(*steps, verdict=Verdict.FAIL):
    given_step = StepStatus(keyword="Given", text="a model", verdict=Verdict.PASS, reason="Set")
    scenario = ScenarioStatus(name="Fast", line=3, verdict=verdict, message="why", steps=(given_step, *steps))
    return RunStatus(phase=Phase.FAILED, verdict=verdict, summary="0/1", message="why", scenarios=(scenario,))


MIXED = show.Evidence("f", status(step(), step(Verdict.FAIL), step(Verdict.INCONCLUSIVE), step(Verdict.SKIPPED)))


def xml(text):
    return ET.fromstring(text)  # noqa: S314 -- our own output


def printed(evidence, form, width=80):
    console = Console(width=width, record=True, force_terminal=False, highlight=False)
    with console.capture() as captured:
        show.render(evidence, form, console)
    return captured.get()


def test_junit_takes_no_doubt_for_a_pass():
    root = xml(printed(MIXED, show.Format.JUNIT))
    assert root.attrib == {"name": "f", "tests": "4", "failures": "1", "errors": "1"}
    outcomes = [[child.tag for child in case] for case in root]
    assert outcomes == [["system-out"], ["failure"], ["error"], ["skipped"]]


def test_junit_of_a_run_that_judged_nothing_is_an_error():
    evidence = show.Evidence(
        "f", RunStatus(phase=Phase.ERROR, verdict=Verdict.ERROR, reason="InvalidFeature", message="1:1: no")
    )
    root = xml(show.junit(evidence))
    assert root.attrib["errors"] == "1"
    assert root[0][0].attrib == {"type": "InvalidFeature", "message": "1:1: no"}


def test_junit_keeps_a_scenario_whose_steps_were_left_out():
    scenario = ScenarioStatus(name="Big", line=3, verdict=Verdict.FAIL, message="p99 too high")
    root = xml(
        show.junit(show.Evidence("f", RunStatus(phase=Phase.FAILED, verdict=Verdict.FAIL, scenarios=(scenario,))))
    )
    assert root[0].attrib["name"] == "Big"
    assert root[0][0].tag == "failure"


def test_json_is_the_status_as_the_cluster_stores_it():
    assert json.loads(printed(MIXED, show.Format.JSON)) == {"name": "f", "status": MIXED.status.to_wire()}


@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_table_tells_every_promise_and_its_number(width):
    told = " ".join(printed(MIXED, show.Format.TABLE, width).split())
    assert "f: Fail 0/1 scenarios passed" in told
    assert told.count("p99 latency should be below 10 ms") == 4
    assert "p99 latency 4 ms < 10 ms" in told
    assert "a model" not in told
    assert "on device cpu, parameters 3" in told


def test_html_is_one_page_that_loads_nothing():
    page = printed(MIXED, show.Format.HTML)
    assert page.count("<h2>") == 1
    for loading in ("<script", "<link", "src=", "@import", "url("):
        assert loading not in page


@given(text=st.text(min_size=1))
def test_no_text_of_a_feature_breaks_a_form(text):
    evidence = show.Evidence("f", status(step(Verdict.FAIL, text, text)))
    assert len(xml(show.junit(evidence))) == 1
    page = show.html(evidence)
    assert page.count("<h1>") == 1
    printed(evidence, show.Format.TABLE)


def test_markup_in_a_feature_stays_text():
    assert "[bold]x" in printed(show.Evidence("f", status(step(text="[bold]x"))), show.Format.TABLE)
    assert "<b>x" not in show.html(show.Evidence("f", status(step(text="<b>x</b>"))))


def test_what_ending_early_saved_is_told_of_the_run_and_of_each_stage():
    scenario = PlannedScenario(name="a", line=1, steps=(PlannedStep(keyword="Then", text="x", line=2),))
    stage = Stage(id="s1-sampling", scenario=0, kind="pod", seconds=60.0, gpus=2)
    frozen = Frozen(
        feature="f", feature_digest="d", target=TargetSpec(), target_digest="d", plan_digest="d",
        plan=Plan(scenarios=(scenario,), stages=(stage,)),
    )  # fmt: skip
    found = status(step()).replace(
        frozen=frozen, stages=(StageStatus(id=stage.id, state="Done", saved_seconds=48.0),), saved="48.0s"
    )
    for form in (show.Format.TABLE, show.Format.HTML):
        told = printed(show.Evidence("f", found), form, 200)
        assert "48.0s saved" in told
        assert "saved: s1-sampling needed 12.0s of its 1m00s, 48.0s, 96 GPU-seconds less than planned" in told


def broken(scenarios):
    """Return a run of two scenarios whose faults are the first's and the second's, with so many of them judged."""
    planned = tuple(
        PlannedScenario(name=name, line=1, steps=(PlannedStep(keyword="Then", text="x", line=2),)) for name in "ab"
    )
    stages = tuple(Stage(id=f"s{index + 1}-fault", scenario=index, kind="fault") for index in (0, 1))
    frozen = Frozen(
        feature="f", feature_digest="d", target=TargetSpec(), target_digest="d", plan_digest="d",
        plan=Plan(scenarios=planned, stages=stages),
    )  # fmt: skip
    faults = tuple(
        FaultStatus(
            id=stage.id, kind="isolate", backend="native", seed=7, state="Undone", starts_at=WINDOW.start,
            ends_at=WINDOW.end,
            nodes=(
                NodeFault(
                    node=f"node-{stage.scenario}", injected_at=WINDOW.start, undone_at=WINDOW.end, clean_at=WINDOW.end,
                    proof="no table is listed",
                ),
            ),
        )
        for stage in stages
    )  # fmt: skip
    scaling = Scaling(kind="Deployment", namespace="shop", name="web", before=3, now=5, restored=True)
    return status(step()).replace(
        frozen=frozen, faults=faults, scaling=scaling, scenarios=(status(step()).scenarios[0],) * scenarios
    )


@pytest.mark.parametrize("judged", [0, 1, 2])
def test_each_fault_is_told_once_and_a_judged_scenario_has_its_own(judged):
    told = printed(show.Evidence("f", broken(judged)), show.Format.TABLE, width=200)
    parts = told.split("Fast")
    for index in (0, 1):
        line = f"fault: 1 node (node-{index}) isolated"
        assert told.count(line) == 1
        if index < judged:
            assert line in parts[index + 1]
    assert told.count("scaling: Deployment shop/web has its 3 replicas again") == 1


def test_traces_and_pictures_are_told_with_their_scenario_and_their_place():
    trace = ArtifactLink(name="s2-fault.trace", url="https://op/artifacts/x.pftrace", digest="sha256:0", bytes=7)
    report = trace.replace(name="report", url="https://op/artifacts/report.json")
    evidence = show.Evidence("f", broken(2).replace(artifacts=(trace, report)))
    told = printed(evidence, show.Format.TABLE, width=200)
    assert "file: s2-fault.trace (7 bytes) https://op/artifacts/x.pftrace" in told.split("Fast")[2]
    assert told.count("file: ") == 1
    page = printed(evidence, show.Format.HTML)
    assert '<a href="https://op/artifacts/x.pftrace">' in page
    assert '<a href="https://op/artifacts/report.json">' in page


def test_the_page_has_the_proof_for_every_node():
    page = printed(show.Evidence("f", broken(1)), show.Format.HTML)
    assert page.count("<td>no table is listed</td>") == 2
    assert page.count("isolated 00:00:00–00:00:00 UTC") == 2
