"""Runs that break nodes under load: nothing is broken in vain, and nothing stays broken."""

from __future__ import annotations

import asyncio
import datetime as dt
from functools import partial

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loaded import CHAOS, Wish, Witness, sim_loaded
from world import KEY, Sim, settle

from perfrun.adapters.drive import drive
from perfrun.adapters.observe import observe_run
from perfrun.api.faults import FINALIZER
from perfrun.api.run import Phase, RunStatus
from perfrun.api.verdicts import Verdict
from perfrun.lifecycle.decide_run import decide_run
from perfrun.lifecycle.values import Hold, Missing, RunObservation, StartAgent, StartLoad

HALF = 0.5
"""Seconds between looks while something is broken."""

ISOLATE = Wish(fail=1, ids=True)

KINDS = (
    ("freeze", "native"),
    ("drain", "native"),
    ("pod-kill", "native"),
    ("isolate", "chaos-mesh"),
    ("pod-kill", "chaos-mesh"),
    ("freeze", "litmus"),
)


@pytest.fixture(autouse=True)
def witness(monkeypatch) -> Witness:
    shown = Witness()
    monkeypatch.setattr("perfrun.judging.scenario.capability", lambda _name: shown)
    return shown


async def go_on_until(sim: Sim, told) -> RunStatus:
    """Drive the run until something is so."""
    for _ in range(400):
        await drive(KEY, sim.world)
        if told():
            return sim.runs[KEY.name].status
        sim.tick(HALF)
    raise AssertionError(sim.runs[KEY.name].status)


async def test_a_fault_that_outlasts_its_load_is_judged_with_what_the_generators_handed_in(witness):
    sim = sim_loaded(Wish(fail=1, offset=8.0, seconds=6.0))
    status = await settle(sim, seconds=HALF)
    assert status.phase is Phase.PASSED, status.message
    assert len(witness.shown[0].shards) == 1
    assert "s1-load-0" in {each.name for each in status.artifacts}


async def test_a_node_fails_under_load_and_is_proven_to_be_back(witness):
    sim = sim_loaded(ISOLATE)
    status = await settle(sim, seconds=HALF)
    assert (status.phase, status.summary) == (Phase.PASSED, "1/1"), status.message
    (fault,) = status.faults
    (node,) = fault.nodes
    load = status.stages[0]
    assert [name for name, _ in sim.broken] == [node.node]
    assert (fault.state, fault.reason) == ("Undone", "")
    assert load.start_at + dt.timedelta(seconds=4) == fault.starts_at
    assert fault.starts_at <= node.injected_at <= node.not_ready_at <= node.clean_at
    assert node.undone_at >= fault.ends_at
    assert node.proof
    (evidence,) = witness.shown
    assert evidence.fault == fault
    assert evidence.ids is not None
    assert evidence.ids.ids == ("a-1",)
    assert sim.left() == []


async def test_both_intents_are_written_at_once_and_the_run_is_held_before_anything_begins():
    sim = sim_loaded(ISOLATE)
    await go_on_until(sim, lambda: sim.jobs)
    status = sim.runs[KEY.name].status
    assert {each.id: each.state for each in status.stages} == {
        "s1-load": "Starting", "s1-fault": "Starting", "s1-ids": "Waiting",
    }  # fmt: skip
    assert status.faults[0].state == "Intended"
    kinds = [type(each) for each in sim.changes]
    assert kinds.index(Hold) < min(kinds.index(StartAgent), kinds.index(StartLoad))
    assert FINALIZER in sim.runs[KEY.name].meta.finalizers
    failing = {each.node for each in status.faults[0].nodes}
    (load,) = [each for each in sim.changes if isinstance(each, StartLoad)]
    assert set(load.avoid) == failing


async def test_the_next_scenario_begins_only_when_the_fault_before_is_settled():
    sim = sim_loaded(ISOLATE, attrs.evolve(ISOLATE, fail=2))
    status = await settle(sim, seconds=HALF)
    assert status.phase is Phase.PASSED, status.message
    first, second = status.faults
    assert len(second.nodes) == 2
    loads = {each.stage.id: each.start_at for each in sim.changes if isinstance(each, StartLoad)}
    assert loads["s2-load"] - dt.timedelta(seconds=6) >= max(each.clean_at for each in first.nodes)
    assert sim.left() == []


@pytest.mark.parametrize(
    ("changes", "world", "reason"),
    [
        ({"chaos": CHAOS.replace(allowed=False)}, {}, "ChaosNotAllowed"),
        ({"chaos": CHAOS.replace(max_nodes=0)}, {}, "ExceedsMaxNodes"),
        ({}, {"foreign": ("team/other",)}, "AnotherFault"),
        ({}, {"spared": {f"node-{i}": "the operator" for i in range(5)}}, "NoCandidates"),
    ],
)
async def test_a_fault_that_may_not_be_is_refused_before_any_load_begins(changes, world, reason):
    sim = attrs.evolve(sim_loaded(ISOLATE, **changes), **world)
    status = await settle(sim, seconds=10)
    assert (status.phase, status.reason) == (Phase.INCONCLUSIVE, reason), status.message
    assert sim.changes == []
    assert {each.state for each in status.stages} == {"Lost"}
    assert [each.state for each in status.faults] == ["Refused"]


async def test_what_speaks_against_a_fault_is_looked_for_after_the_servers_were_scaled():
    sim = sim_loaded(attrs.evolve(ISOLATE, scale=3), replicas=2)
    sim.foreign = ("team/other",)
    status = await settle(sim, seconds=10)
    assert (status.phase, status.reason) == (Phase.INCONCLUSIVE, "AnotherFault"), status.message
    assert (sim.replicas, sim.left(), sim.broken) == (2, [], [])


async def test_an_unhealthy_cluster_is_waited_for_and_said():
    sim = sim_loaded(ISOLATE)
    sim.machines["node-4"].down, sim.machines["node-4"].ready = True, False
    await go_on_until(sim, lambda: "node-4" in sim.runs[KEY.name].status.message)
    assert sim.changes == []
    sim.machines["node-4"].down, sim.machines["node-4"].ready = False, True
    assert (await settle(sim, seconds=HALF)).phase is Phase.PASSED


@pytest.mark.parametrize("fate", ["GeneratorSaturated", "OOMKilled", "Nonsense", "Unschedulable", "LateStart"])
async def test_a_load_that_ends_before_the_fault_calls_it_off(fate):
    sim = sim_loaded(attrs.evolve(ISOLATE, attempts=1))
    sim.fate = lambda _stage, _attempt: fate
    status = await settle(sim, seconds=HALF)
    assert status.verdict in (Verdict.INCONCLUSIVE, Verdict.ERROR)
    assert sim.broken == []
    assert sim.left() == []


async def test_a_load_that_is_late_is_tried_again_with_its_fault_on_the_same_node():
    sim = sim_loaded(ISOLATE)
    sim.fate = lambda _stage, attempt: "LateStart" if attempt == 1 else ""
    status = await settle(sim, seconds=HALF)
    assert status.phase is Phase.PASSED, status.message
    assert status.stages[0].attempt == 2
    ordered = {each.node for each in sim.changes if isinstance(each, StartAgent)}
    assert ordered == {name for name, _ in sim.broken}
    assert len(sim.broken) == 1
    assert sim.left() == []


async def test_a_generator_that_dies_once_nodes_are_broken_is_not_tried_again():
    sim = sim_loaded(ISOLATE)
    sim.fate = lambda _stage, _attempt: "Dies"
    status = await settle(sim, seconds=HALF)
    assert (status.phase, status.stages[0].reason) == (Phase.INCONCLUSIVE, "PodEvicted"), status.message
    assert (status.stages[0].attempt, len(sim.broken), sim.left()) == (1, 1, [])


async def test_an_agent_that_is_not_armed_in_time_costs_an_attempt_and_breaks_nothing():
    sim = sim_loaded(ISOLATE)
    sim.agent_fate = lambda _node: "Slow"
    status = await settle(sim, seconds=HALF)
    assert status.verdict is Verdict.INCONCLUSIVE
    assert "AgentLate" in {each.reason for each in status.stages}, status.message
    assert status.stages[0].attempt == 2
    assert (sim.broken, sim.left()) == ([], [])


@pytest.mark.parametrize("how", ["cancel", "timeout", "delete"])
async def test_a_run_that_ends_early_while_nodes_are_broken_undoes_that_first(how):
    sim = sim_loaded(attrs.evolve(ISOLATE, scale=3), replicas=2)
    await go_on_until(sim, lambda: sim.broken)
    run = sim.runs[KEY.name]
    if how == "delete":
        sim.runs[KEY.name] = attrs.evolve(run, meta=attrs.evolve(run.meta, deleting=True))
        await go_on_until_gone(sim)
    else:
        change = {"cancel": True} if how == "cancel" else {"timeout": "1s"}
        sim.runs[KEY.name] = attrs.evolve(run, spec=run.spec.replace(**change))
        status = await settle(sim, seconds=HALF)
        assert status.phase is (Phase.CANCELLED if how == "cancel" else Phase.INCONCLUSIVE)
        assert status.faults[0].settled
    assert (sim.replicas, sim.left()) == (2, [])


async def go_on_until_gone(sim: Sim) -> None:
    for _ in range(200):
        await drive(KEY, sim.world)
        if KEY.name not in sim.runs:
            return
        sim.tick(HALF)
    raise AssertionError(sim.runs[KEY.name].status.message)


async def test_while_a_node_stays_away_the_run_is_not_over_and_says_for_what_it_waits():
    sim = sim_loaded(ISOLATE)
    await go_on_until(sim, lambda: sim.broken)
    run = sim.runs[KEY.name]
    sim.runs[KEY.name] = attrs.evolve(run, spec=run.spec.replace(cancel=True))
    (broken,) = {name for name, _ in sim.broken}
    for _ in range(600):
        await drive(KEY, sim.world)
        sim.tick(HALF)
        sim.machines[broken].ready = False
    status = sim.runs[KEY.name].status
    assert status.phase is Phase.RESTORING
    assert broken in status.message
    assert FINALIZER in sim.runs[KEY.name].meta.finalizers
    assert (await settle(sim, seconds=HALF)).phase is Phase.CANCELLED
    assert sim.left() == []


@pytest.mark.parametrize(("kind", "backend"), KINDS)
async def test_every_kind_of_fault_is_done_and_undone(kind, backend):
    sim = kind_of(kind, backend)
    status = await settle(sim, seconds=HALF)
    assert status.phase is Phase.PASSED, (status.message, status.faults)
    assert status.faults[0].state == "Undone"
    assert len(status.faults[0].nodes) == 1
    assert sim.left() == []


async def test_the_message_says_what_goes_on_and_is_written_only_when_that_changes():
    sim = sim_loaded(attrs.evolve(ISOLATE, scale=3), replicas=2)
    told = []
    while not sim.runs[KEY.name].status.phase.finished:
        await drive(KEY, sim.world)
        message = sim.runs[KEY.name].status.message
        if not told or told[-1] != message:
            told.append(message)
        sim.tick(HALF)
    text = "\n".join(told)
    for words in (
        "scaling StatefulSet web",
        "getting ready",
        "normal traffic",
        "isolated since",
        "proven undone",
        "taking back",
    ):
        assert words in text, text
    assert int(sim.runs[KEY.name].meta.resource_version) < 30, text


def scenario() -> Sim:
    return sim_loaded(attrs.evolve(ISOLATE, scale=3), Wish(fail=1, shards=2), replicas=4)


def kind_of(kind: str, backend: str) -> Sim:
    chaos = CHAOS.replace(kind=kind, backend=backend, service_account_name="litmus")
    return sim_loaded(Wish(fail=1, kind=kind, backend=backend), chaos=chaos, replicas=4)


@pytest.mark.parametrize(
    "begin",
    [scenario, *(partial(kind_of, *each) for each in KINDS)],
    ids=["two scenarios", *("-".join(each) for each in KINDS)],
)
async def test_every_crash_point_of_a_fault_gives_the_same_verdict_and_leaves_nothing(begin):
    whole = begin()
    expected = await settle(whole)
    assert expected.phase is Phase.PASSED, expected.message
    for die_at in range(1, whole.effects + 1):
        sim = begin()
        sim.die_at = die_at
        status = await settle(sim)
        assert (status.phase, status.summary) == (expected.phase, expected.summary), (die_at, status.message)
        assert (sim.replicas, sim.left()) == (4, []), die_at
        assert [name for name, _ in sim.broken] == [name for name, _ in whole.broken], die_at


@settings(max_examples=40, deadline=None)
@given(
    deaths=st.lists(st.tuples(st.integers(1, 40), st.sampled_from([0, 0, 2, 10, 40])), max_size=4),
    fates=st.lists(
        st.sampled_from(["", "Evicted", "LateStart", "GeneratorSaturated", "Error"]), min_size=4, max_size=4
    ),
    slow=st.sets(st.integers(0, 4)),
    cancel_after=st.integers(1, 120),
)
def test_whatever_happens_a_run_that_breaks_nodes_leaves_nothing(deaths, fates, slow, cancel_after):
    sim = scenario()
    sim.fate = lambda stage, attempt: fates[(int(stage[1]) - 1) * 2 + attempt - 1]
    sim.agent_fate = lambda node: "Slow" if int(node[-1]) in slow else ""

    async def live() -> None:
        for effects, away in deaths:
            sim.die_at = sim.effects + effects
            await settle(sim, turns=cancel_after // len(deaths) + 1)
            for _ in range(away):
                sim.tick()
        run = sim.runs[KEY.name]
        sim.runs[KEY.name] = attrs.evolve(run, spec=run.spec.replace(cancel=cancel_after < 60))
        await settle(sim)

    asyncio.run(live())
    status = sim.runs[KEY.name].status
    assert status.phase.finished, status.message
    assert status.verdict is not Verdict.FAIL
    assert (sim.replicas, sim.left()) == (4, [])


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_every_look_has_a_decision_whatever_is_missing_from_it(data):
    sim = scenario()
    asyncio.run(settle(sim, turns=data.draw(st.integers(0, 90))))
    run = sim.runs[KEY.name]
    seen = asyncio.run(observe_run(run, sim.world))
    blanks = {"serving": Missing("ServiceNotFound", "gone"), "workload": Missing("WorkloadNotFound", "gone")}
    names = ["pods", "shards", "nodes", "jobs", "agents", "serving", "workload", "ids", "answers"]
    lacking = data.draw(st.sets(st.sampled_from(names)))
    empty = RunObservation()
    seen = attrs.evolve(seen, **{name: blanks.get(name, getattr(empty, name)) for name in lacking})
    run = attrs.evolve(run, spec=run.spec.replace(cancel=data.draw(st.booleans())))
    later = sim.time + dt.timedelta(seconds=data.draw(st.floats(0, 1e5)))
    first, again = decide_run(run, seen, later), decide_run(run, seen, later)
    assert first == again
    if run.status.phase is Phase.RESTORING:
        assert first.status.phase is Phase.RESTORING or first.status.phase.finished
    if first.status.phase.finished and not run.status.phase.finished:
        assert all(each.settled for each in first.status.faults)
        assert first.status.scaling is None or first.status.scaling.restored
        assert FINALIZER not in run.meta.finalizers
