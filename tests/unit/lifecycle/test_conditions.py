"""Conditions as kstatus reads them, in the order in which its readers apply the rules."""

from __future__ import annotations

import datetime as dt

import pytest
from world import NOW

from perfrun.api.run import Phase
from perfrun.lifecycle.conditions import Condition, merged, run_conditions


def kstatus(conditions: list[dict]) -> str:
    """What Flux, kpt and Argo CD's generic health make of an object whose observedGeneration is current."""
    by_type = {each["type"]: each["status"] for each in conditions}
    if by_type.get("Reconciling") == "True":
        return "InProgress"
    if by_type.get("Stalled") == "True":
        return "Failed"
    return {"True": "Current"}.get(by_type.get("Ready", "True"), "InProgress")


@pytest.mark.parametrize(
    ("phase", "read", "finished"),
    [
        (Phase.PENDING, "InProgress", "False"),
        (Phase.RUNNING, "InProgress", "False"),
        (Phase.RESTORING, "InProgress", "False"),
        (Phase.PASSED, "Current", "True"),
        (Phase.FAILED, "Failed", "True"),
        (Phase.INCONCLUSIVE, "Failed", "True"),
        (Phase.ERROR, "Failed", "True"),
        (Phase.CANCELLED, "Failed", "True"),
    ],
)
def test_a_run_in_each_phase(phase, read, finished):
    stored = merged((), run_conditions(phase, "Because", "m"), 3, NOW)
    assert kstatus(list(stored)) == read
    assert {each["type"]: each["status"] for each in stored}["Finished"] == finished
    assert all(each["observedGeneration"] == 3 for each in stored)


def test_the_transition_time_moves_only_with_the_status():
    later = NOW + dt.timedelta(minutes=1)
    first = merged((), [Condition("Ready", "Unknown", "A")], 1, NOW)
    same = merged(first, [Condition("Ready", "Unknown", "B", "news")], 2, later)
    moved = merged(same, [Condition("Ready", "True", "B")], 2, later)
    assert same[0]["lastTransitionTime"] == first[0]["lastTransitionTime"]
    assert same[0]["reason"] == "B"
    assert moved[0]["lastTransitionTime"] != first[0]["lastTransitionTime"]


def test_what_no_longer_holds_is_removed():
    first = merged((), run_conditions(Phase.RUNNING, "", ""), 1, NOW)
    assert "Reconciling" not in {each["type"] for each in merged(first, run_conditions(Phase.PASSED, "", ""), 1, NOW)}
