"""What is read of the world for a look, and what is not."""

from __future__ import annotations

import attrs
import pytest
from alongside import NAMES, paths
from loaded import Wish, sim_loaded
from world import KEY

from perfrun.api.plan import Stage
from perfrun.api.run import Phase, StageStatus
from perfrun.lifecycle.needs import Needs, needs


def at(states: dict[str, str], *wishes: Wish, **changes):
    """Return the run with its stages in these states; those that began have made one attempt."""
    run = sim_loaded(*wishes).runs[KEY.name]
    stages = tuple(
        each.replace(state=states.get(each.id, "Waiting"), attempt=int(each.id in states)) for each in run.status.stages
    )
    return attrs.evolve(run, status=run.status.replace(stages=stages, **changes))


def wanted(run) -> set[str]:
    return {name for name, value in attrs.asdict(needs(run), recurse=False).items() if value} - {"begins"}


FAULT = Wish(scale=3, fail=1, ids=True)


@pytest.mark.parametrize(
    ("states", "wish", "expected"),
    [
        ({}, Wish(), {"rights", "others", "endpoints", "jobs"}),
        ({}, FAULT, {"rights", "others", "endpoints", "workload"}),
        ({"s1-scale": "Starting"}, FAULT, {"endpoints", "workload"}),
        ({"s1-scale": "Done"}, FAULT, {"rights", "endpoints", "jobs", "agents", "dangers"}),
        ({"s1-load": "Running"}, Wish(cpu=True), {"jobs", "shards"}),
        (
            {"s1-scale": "Done", "s1-load": "Running", "s1-fault": "Running"},
            FAULT,
            {"jobs", "shards", "endpoints", "agents"},
        ),
        ({"s1-scale": "Done", "s1-load": "Done", "s1-fault": "Running"}, FAULT, {"endpoints", "agents"}),
        ({"s1-scale": "Done", "s1-load": "Done", "s1-fault": "Done", "s1-ids": "Running"}, FAULT, {"shards", "ids"}),
    ],
    ids=["load begins", "scale begins", "scaling", "fault begins", "load runs", "fault runs", "undoing", "asking"],
)
def test_only_what_the_next_decision_looks_at_is_read(states, wish, expected):
    assert wanted(at(states, wish)) == expected


def test_nothing_is_read_for_a_restoring_run_that_did_nothing():
    assert needs(at({}, FAULT, phase=Phase.RESTORING)) == Needs()


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ({"s1-peak": "Done"}, {"endpoints", "jobs", "rights"}),
        ({"s1-peak": "Done", "s1-load": "Running"}, {"jobs", "shards"}),
        ({"s1-peak": "Done", "s1-load": "Done", "s1-server": "Done", "s1-other": "Running"}, set()),
        (dict.fromkeys(("s1-peak", "s1-load", *(f"s1-{name}" for name in NAMES)), "Done"), {"shards"}),
    ],
    ids=["load begins", "pods measure", "pods outlast the load", "judging"],
)
def test_pods_alongside_a_load_need_no_more_than_the_load_itself(states, expected):
    run = paths().runs[KEY.name]
    stages = tuple(
        each.replace(state=states.get(each.id, "Waiting"), attempt=int(each.id in states)) for each in run.status.stages
    )
    assert wanted(attrs.evolve(run, status=run.status.replace(stages=stages))) == expected


def test_a_fault_that_outlasts_its_load_is_seen_to_whatever_pods_do_meanwhile():
    run = at({"s1-load": "Done", "s1-fault": "Running", "s1-pod": "Running"}, Wish(fail=1))
    pod = Stage(id="s1-pod", scenario=0, kind="pod", alongside="s1-load")
    frozen = run.status.frozen
    load, fault = frozen.plan.stages
    plan = frozen.plan.replace(stages=(load, pod, fault))
    states = (*run.status.stages, StageStatus(id="s1-pod", state="Running", attempt=1))
    status = run.status.replace(frozen=frozen.replace(plan=plan), stages=states)
    assert wanted(attrs.evolve(run, status=status)) == {"endpoints", "agents"}


def test_another_tool_is_asked_only_where_it_carries_the_faults_out():
    external = Wish(fail=1, backend="chaos-mesh")
    assert "external" in wanted(at({"s1-load": "Running", "s1-fault": "Running"}, external))
    assert "external" not in wanted(
        at({"s1-load": "Running", "s1-fault": "Running"}, attrs.evolve(external, backend="native"))
    )
