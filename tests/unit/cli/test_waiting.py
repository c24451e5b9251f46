"""What a gate makes of a stored status: a pass only where it is of this generation, finished and young enough."""

from __future__ import annotations

import copy
import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfrun.api.run import Phase
from perfrun.api.verdicts import Verdict
from perfrun.cli.waiting import standing

NOW = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)


def condition(kind, status="True", generation=2):
    return {"type": kind, "status": status, "observedGeneration": generation, "message": f"{kind} said so"}


def feature(*conditions, verdict="Pass", observed=2, finished="2026-01-01T11:59:00Z", **spec):
    status = {"observedGeneration": observed, "conditions": list(conditions), "lastRun": {"name": "f-1"}}
    if verdict:
        status["verdict"] = verdict
    if finished:
        status["lastRun"]["finishedAt"] = finished
    return {
        "kind": "PerfFeature", "metadata": {"name": "f", "generation": 2}, "spec": {"targetRef": "t", **spec},
        "status": status,
    }  # fmt: skip


def run(phase, verdict=None, observed=2):
    status = {"observedGeneration": observed, "phase": phase, "message": "said"}
    return {
        "kind": "PerfRun", "metadata": {"name": "r", "generation": 2}, "spec": {},
        "status": status | ({"verdict": verdict} if verdict else {}),
    }  # fmt: skip


READY = condition("Ready")
NOT_READY = condition("Ready", "False")
UNKNOWN = condition("Ready", "Unknown")
STALLED = condition("Stalled")
RECONCILING = condition("Reconciling")


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (feature(READY), Verdict.PASS),
        (feature(READY, condition("Running")), Verdict.PASS),
        (feature(NOT_READY, STALLED, verdict="Fail"), Verdict.FAIL),
        (feature(NOT_READY, STALLED, verdict="Inconclusive"), Verdict.INCONCLUSIVE),
        (feature(NOT_READY, STALLED, verdict="Error"), Verdict.ERROR),
        (feature(NOT_READY, STALLED, verdict=None), Verdict.ERROR),
        (feature(NOT_READY, STALLED, verdict="Pass"), Verdict.ERROR),
        (feature(READY, verdict=None), Verdict.ERROR),
        (feature(READY, observed=1), None),
        (feature(READY, observed=-1), None),
        (feature(UNKNOWN, RECONCILING), None),
        (feature(UNKNOWN), None),
        (feature(NOT_READY), None),
        (feature(), None),
        (feature(condition("Ready", generation=1)), None),
        (feature(UNKNOWN, condition("Stalled", generation=1)), None),
        (feature(READY, maxAge="30s"), None),
        (feature(READY, maxAge="2m"), Verdict.PASS),
        (feature(READY, maxAge="2m", finished=None), None),
        (run("Pending"), None),
        (run("Running"), None),
        (run("Restoring", "Fail"), None),
        (run("Passed", "Pass"), Verdict.PASS),
        (run("Passed", "Pass", observed=1), None),
        (run("Failed", "Fail"), Verdict.FAIL),
        (run("Inconclusive", "Inconclusive"), Verdict.INCONCLUSIVE),
        (run("Error", "Error"), Verdict.ERROR),
        (run("Error"), Verdict.ERROR),
        (run("Cancelled", "Pass"), Verdict.INCONCLUSIVE),
    ],
)
def test_verdict_that_counts(stored, expected):
    assert standing(stored, NOW).verdict is expected


def test_an_object_without_status_is_waited_for():
    stored = feature()
    del stored["status"]
    assert standing(stored, NOW).verdict is None


def test_an_object_that_is_being_deleted_is_never_a_pass():
    stored = feature(READY)
    stored["metadata"]["deletionTimestamp"] = "2026-01-01T11:00:00Z"
    assert standing(stored, NOW).verdict is Verdict.ERROR


def test_a_suspended_feature_says_why_it_waits():
    assert "suspended" in standing(feature(UNKNOWN, suspend=True), NOW).message


@given(
    phase=st.sampled_from([phase.value for phase in Phase]),
    verdict=st.sampled_from([None, *(each.value for each in Verdict)]),
    observed=st.integers(-1, 3),
)
def test_a_run_passes_only_when_it_passed_in_this_generation(phase, verdict, observed):
    stored = run(phase, verdict, observed)
    before = copy.deepcopy(stored)
    passed = standing(stored, NOW).verdict is Verdict.PASS
    assert not passed or (verdict == "Pass" and observed == 2 and Phase(phase).finished)
    assert stored == before
