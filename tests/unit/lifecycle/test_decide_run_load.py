"""Runs that load a Service, from beginning to end, and through every misfortune."""

from __future__ import annotations

import datetime as dt

import attrs
import pytest
from loaded import Wish, Witness, sim_loaded
from world import KEY, NOW, settle

from perfrun.adapters.drive import drive
from perfrun.api.run import Phase
from perfrun.api.verdicts import Verdict
from perfrun.capabilities.base import QueryAnswer, ServedIds
from perfrun.lifecycle.values import OtherRun, Scale, StartLoad, StopLoad


@pytest.fixture(autouse=True)
def witness(monkeypatch) -> Witness:
    shown = Witness()
    monkeypatch.setattr("perfrun.judging.scenario.capability", lambda _name: shown)
    return shown


async def test_a_load_begins_together_and_its_evidence_holds_what_every_generator_handed_in(witness):
    sim = sim_loaded(Wish(shards=3))
    status = await settle(sim)
    assert (status.phase, status.summary) == (Phase.PASSED, "1/1"), status.message
    (load,) = status.stages
    (evidence,) = witness.shown
    assert load.start_at is not None
    assert evidence.start_at == load.start_at.timestamp()
    assert [each.facts["shard"] for each in evidence.shards] == [0, 1, 2]
    assert [each.node for each in evidence.serving] == [f"node-{i}" for i in range(5)]
    assert evidence.serving[0].pods
    assert evidence.serving[0].cpu == 4.0
    assert {each.name for each in status.artifacts} == {"s1-load-0", "s1-load-1", "s1-load-2", "report"}
    assert sim.left() == []


async def test_generators_rather_run_where_nobody_serves():
    sim = sim_loaded(Wish())
    await settle(sim)
    (begun,) = [each for each in sim.changes if isinstance(each, StartLoad)]
    assert (begun.avoid, begun.rather_not) == ((), tuple(f"node-{i}" for i in range(5)))
    assert begun.start_at > sim.runs[KEY.name].status.started_at


@pytest.mark.parametrize(
    ("fate", "reason", "verdict", "attempts"),
    [
        ("LateStart", "LateStart", Verdict.INCONCLUSIVE, 2),
        ("Slow", "PodNotStarted", Verdict.INCONCLUSIVE, 2),
        ("Unschedulable", "Unschedulable", Verdict.INCONCLUSIVE, 2),
        ("ImagePullBackOff", "ImagePullFailed", Verdict.INCONCLUSIVE, 1),
        ("Evicted", "PodEvicted", Verdict.INCONCLUSIVE, 2),
        ("OOMKilled", "OOMKilled", Verdict.INCONCLUSIVE, 1),
        ("Hang", "PodTimedOut", Verdict.INCONCLUSIVE, 1),
        ("GeneratorSaturated", "GeneratorSaturated", Verdict.INCONCLUSIVE, 1),
        ("Error", "PodFailed", Verdict.ERROR, 1),
        ("Silent", "NoResult", Verdict.ERROR, 1),
        ("Nonsense", "MalformedResult", Verdict.ERROR, 1),
    ],
)
async def test_a_generator_that_goes_wrong_is_told_and_never_counts_as_fail(fate, reason, verdict, attempts):
    sim = sim_loaded(Wish(shards=2))
    sim.fate = lambda _stage, _attempt: fate
    status = await settle(sim)
    assert (status.verdict, status.scenarios[0].reason) == (verdict, reason), status.message
    assert {each.attempt for each in sim.changes if isinstance(each, StartLoad)} == set(range(1, attempts + 1))
    assert sim.left() == []


async def test_a_late_start_is_tried_again_with_twice_the_lead():
    sim = sim_loaded(Wish())
    sim.fate = lambda _stage, attempt: "LateStart" if attempt == 1 else ""
    status = await settle(sim)
    assert status.phase is Phase.PASSED
    starts = [each for each in sim.changes if isinstance(each, StartLoad)]
    assert [each.attempt for each in starts] == [1, 2]
    begun = [each.start_at - NOW for each in starts]
    assert begun[0] == dt.timedelta(seconds=6)
    assert begun[1] > dt.timedelta(seconds=12)
    assert StopLoad(starts[0].name) in sim.changes


async def test_a_saturated_generator_ends_the_load_for_all():
    sim = sim_loaded(Wish(shards=2))
    sim.fate = lambda _stage, _attempt: "GeneratorSaturated"
    status = await settle(sim)
    assert status.stages[0].state == "Done"
    assert status.finished_at - NOW < dt.timedelta(seconds=10)


async def test_a_service_without_endpoints_is_waited_for_and_then_told():
    sim = sim_loaded(Wish())
    sim.replicas = 0
    sim.age()
    status = await settle(sim)
    assert (status.phase, status.reason) == (Phase.INCONCLUSIVE, "NoEndpoints")
    assert "web" in status.message
    assert not [each for each in sim.changes if isinstance(each, StartLoad)]


async def test_a_service_that_gets_endpoints_in_time_is_loaded():
    sim = sim_loaded(Wish())
    sim.replicas = 0
    sim.age()
    await drive(KEY, sim.world)
    assert "no ready endpoint" in sim.runs[KEY.name].status.message
    sim.replicas = 5
    assert (await settle(sim)).phase is Phase.PASSED


async def test_cpu_is_asked_over_the_step_alone_once_its_samples_are_there(witness):
    sim = sim_loaded(Wish(cpu=True))
    asked_at = []

    def answer(_query):
        asked_at.append(sim.time)
        return QueryAnswer(query="", window=None, series={"{}": ((NOW.timestamp(), 0.5),)})

    sim.answer = answer
    status = await settle(sim)
    assert status.phase is Phase.PASSED, status.message
    load = status.stages[0]
    window = witness.shown[1].answer.window
    assert window.start == load.start_at + dt.timedelta(seconds=5)
    assert window.end == load.start_at + dt.timedelta(seconds=15)
    assert sim.queries == ["cpu[10s]"]
    assert min(asked_at) >= window.end + dt.timedelta(seconds=10)


async def test_a_run_waits_its_turn_on_the_target_and_says_for_whom():
    sim = sim_loaded(Wish())
    sim.other_runs = (OtherRun("older", NOW - dt.timedelta(minutes=1), running=True, disturbs=True),)
    for _ in range(20):
        await drive(KEY, sim.world)
        sim.tick()
    assert "run older" in sim.runs[KEY.name].status.message
    assert sim.changes == []
    sim.other_runs = ()
    assert (await settle(sim)).phase is Phase.PASSED


async def test_missing_rights_are_told_before_anything_else_is_read():
    sim = sim_loaded(Wish(scale=3))
    sim.lacking = "the operator may not create jobs in team; grant it"
    status = await settle(sim)
    assert (status.phase, status.reason) == (Phase.INCONCLUSIVE, "MissingRights")
    assert sim.changes == []
    assert "nodes" not in sim.reads


async def test_servers_are_scaled_to_the_nodes_of_the_scenario_and_back(witness):
    sim = sim_loaded(Wish(scale=3), Wish(scale=5), replicas=2)
    status = await settle(sim)
    assert status.phase is Phase.PASSED, status.message
    assert [len(each.serving) for each in witness.shown] == [3, 5]
    assert status.scaling is not None
    assert (status.scaling.before, status.scaling.restored) == (2, True)
    assert [each.replicas for each in sim.changes if isinstance(each, Scale)] == [3, 5, 2]
    assert (sim.replicas, sim.left()) == (2, [])


async def test_a_number_of_servers_that_is_right_already_is_left_alone():
    sim = sim_loaded(Wish(scale=5))
    status = await settle(sim)
    assert status.phase is Phase.PASSED
    assert status.scaling is None
    assert not [each for each in sim.changes if not isinstance(each, (StartLoad, StopLoad))]


async def test_too_few_nodes_for_the_servers_lose_the_load_with_numbers():
    sim = sim_loaded(Wish(scale=6), replicas=2)
    status = await settle(sim)
    assert (status.phase, status.reason) == (Phase.INCONCLUSIVE, "NotEnoughNodes")
    assert "from 5 nodes that are ready" in status.message
    assert (sim.replicas, sim.left()) == (2, [])
    assert not [each for each in sim.changes if isinstance(each, StartLoad)]


async def test_a_deleted_run_that_holds_something_takes_it_back_first():
    sim = sim_loaded(Wish(scale=3), replicas=2)
    while not sim.jobs:
        await drive(KEY, sim.world)
        sim.tick()
    run = sim.runs[KEY.name]
    sim.runs[KEY.name] = attrs.evolve(run, meta=attrs.evolve(run.meta, deleting=True))
    for _ in range(20):
        await drive(KEY, sim.world)
        sim.tick()
    assert KEY.name not in sim.runs
    assert (sim.replicas, sim.left()) == (2, [])


async def test_cancelling_stops_the_generators_and_judges_what_was_under_way():
    sim = sim_loaded(Wish(), Wish())
    while not sim.load_pods:
        await drive(KEY, sim.world)
        sim.tick()
    run = sim.runs[KEY.name]
    sim.runs[KEY.name] = attrs.evolve(run, spec=run.spec.replace(cancel=True))
    status = await settle(sim)
    assert status.phase is Phase.CANCELLED
    assert [each.verdict for each in status.scenarios] == [Verdict.INCONCLUSIVE] * 2
    assert sim.left() == []


async def test_the_status_is_written_only_when_something_changed():
    sim = sim_loaded(Wish())
    await settle(sim, seconds=0.25)
    assert int(sim.runs[KEY.name].meta.resource_version) < 12


async def test_every_crash_point_of_a_load_gives_the_same_verdict_and_leaves_nothing():
    def begin():
        return sim_loaded(Wish(scale=3, shards=2, cpu=True, ids=True), Wish(scale=4), replicas=2)

    whole = begin()
    expected = await settle(whole)
    assert expected.phase is Phase.PASSED, expected.message
    for die_at in range(1, whole.effects + 1):
        sim = begin()
        sim.die_at = die_at
        status = await settle(sim)
        assert (status.phase, status.summary) == (expected.phase, expected.summary), die_at
        assert (sim.replicas, sim.left()) == (2, []), die_at
        assert [each.attempt for each in status.stages] == [each.attempt for each in expected.stages], die_at


@pytest.mark.parametrize(("readable_after", "gaps"), [(0, 0), (3, 0), (1000, 1)])
async def test_logs_with_gaps_are_read_again_for_a_while_and_then_told(witness, readable_after, gaps):
    sim = sim_loaded(Wish(ids=True))
    sim.logged = lambda: ServedIds(
        ("a-1",), ("web-000",), () if sim.reads.count("ids") > readable_after else ("the log of web-001 was not read",)
    )
    status = await settle(sim)
    assert status.phase is Phase.PASSED, status.message
    (evidence,) = witness.shown
    assert evidence.ids is not None
    assert len(evidence.ids.gaps) == gaps
    assert {"s1-load-0", "scenario-1-ids"} <= {each.name for each in status.artifacts}


async def test_results_that_the_store_lost_are_no_evidence():
    sim = sim_loaded(Wish(shards=2, cpu=True))
    for _ in range(200):
        await drive(KEY, sim.world)
        if sim.runs[KEY.name].status.stages[0].state == "Done":
            break
        sim.tick()
    sim.files = {path: each for path, each in sim.files.items() if "/1/0/" not in path}
    status = await settle(sim)
    assert (status.phase, status.reason) == (Phase.INCONCLUSIVE, "ResultLost")


async def test_a_lost_load_leaves_no_window_to_ask_about():
    sim = sim_loaded(Wish(cpu=True, ids=True))
    sim.fate = lambda _stage, _attempt: "OOMKilled"
    status = await settle(sim)
    assert [each.reason for each in status.stages] == ["OOMKilled", "NoWindow", "NoWindow"]
    assert "ids" not in sim.reads
    assert status.scenarios[0].reason == "OOMKilled"
