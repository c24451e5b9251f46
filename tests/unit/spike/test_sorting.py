"""Whose a spike is: the injection's that holds its pod up, or nobody's where that cannot be."""

import pytest

from perfrun_kernels.spike.incidents import Incident, Watch
from perfrun_kernels.spike.lines import Answer, Injection, Spike, Topology, Undo
from perfrun_kernels.spike.locate import Located
from perfrun_kernels.spike.sorting import sort

MINE, OTHER = "10.1.0.5", "10.1.0.6"
ORDERED, EFFECT, UNDONE = 1_000, 1_200, 6_000
LONGEST = 10_000


def watched(*incidents, kind="drop"):
    watch = Watch(solve=lambda incident, _: incident)
    watch.take(Injection(kind, 0, ORDERED, EFFECT, MINE, "c1"))
    watch.take(Undo(kind, 0, UNDONE))
    watch.incidents = {each.spike.id: each for each in incidents}
    return sort(watch, LONGEST)


def incident(number=1, *, stage="drop", start=1_300, alarm=3_000, ip=MINE, answered=None):
    spike = Spike(number, alarm, ip, 40001, 7, alarm - 2_100, alarm - 10, 10)
    answer = None if answered is None else Answer(number, answered, answered)
    return Incident(spike, Topology(0, ()), answer=answer, located=Located(stage, "", start, alarm))


def test_the_first_spike_of_its_pod_is_an_injections_answer():
    first, second = incident(1), incident(2, alarm=4_000)
    found = watched(second, first)
    assert [each for _, each in found.injections] == [first]
    assert (found.elsewhere, found.natural, found.overlaid) == ([], [], [])


def test_what_nobody_noticed_is_an_injection_without_an_answer():
    assert [each for _, each in watched().injections] == [None]


def test_a_spike_in_another_pod_meanwhile_is_elsewhere_and_one_before_or_after_nobodys():
    other, before, after = incident(1, ip=OTHER), incident(2, alarm=900), incident(3, alarm=9_000)
    found = watched(other, before, after)
    assert found.elsewhere == [other]
    assert found.natural == [before, after]


def test_what_had_an_answer_in_time_is_no_spike():
    found = watched(incident(answered=2_000))
    assert [each for _, each in found.injections] == [None]
    assert found.natural == []


@pytest.mark.parametrize(
    ("stage", "start", "overlaid"),
    [
        pytest.param("runqueue", ORDERED - 1, True, id="another stage, from before the order on"),
        pytest.param("runqueue", ORDERED, False, id="another stage, from the order on"),
        pytest.param("drop", ORDERED - 1, False, id="the injection's own stage"),
        pytest.param("unknown", ORDERED - 1, False, id="not told where"),
    ],
)
def test_an_injection_counts_not_where_its_pod_was_held_up_by_something_else_already(stage, start, overlaid):
    spike = incident(stage=stage, start=start)
    found = watched(spike)
    assert len(found.overlaid) == overlaid
    assert len(found.injections) == (not overlaid)
    assert found.natural == ([spike] if overlaid else [])
