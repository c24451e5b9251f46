"""Whose turn it is to disturb a target."""

from __future__ import annotations

import datetime as dt

import pytest

from perfrun.api.run import RunSpec, RunStatus
from perfrun.lifecycle.exclusive import SETTLING, blocked_by, may_disturb_at
from perfrun.lifecycle.values import Meta, OtherRun, Run

NOW = dt.datetime(2026, 1, 5, 12, 0, tzinfo=dt.UTC)


def run(created: dt.datetime | None = NOW) -> Run:
    return Run(Meta("m", "team", "uid", created=created), RunSpec(feature="", target_ref="t"), RunStatus())


def other(name: str, seconds: float, *, disturbs: bool = True) -> OtherRun:
    return OtherRun(name, NOW + dt.timedelta(seconds=seconds), running=True, disturbs=disturbs)


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ((), None),
        ((other("z", -1),), "z"),
        ((other("a", 1),), None),
        ((other("a", 0),), "a"),
        ((other("z", 0),), None),
        ((other("z", -1, disturbs=False),), None),
        ((other("y", -1), other("z", -2)), "z"),
    ],
    ids=["alone", "older", "younger", "same age, name before", "same age, name after", "only measures", "oldest first"],
)
def test_the_oldest_run_that_disturbs_goes_first(others, expected):
    assert blocked_by(run(), others) == expected


def test_of_two_runs_exactly_one_waits():
    for seconds in (-1, 0, 1):
        them = other("k", seconds)
        theirs = Run(Meta("k", "team", "uid", created=them.created), RunSpec(feature="", target_ref="t"), RunStatus())
        me = OtherRun("m", NOW, running=True, disturbs=True)
        assert (blocked_by(run(), (them,)) is None) != (blocked_by(theirs, (me,)) is None)


def test_a_run_that_no_server_stores_lets_all_others_go_first():
    assert blocked_by(run(None), (other("z", 5),)) == "z"
    assert may_disturb_at(run(None), NOW) == NOW


def test_a_run_waits_until_no_other_of_its_second_can_appear():
    assert may_disturb_at(run(), NOW) == NOW + SETTLING
