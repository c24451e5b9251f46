"""Pods that measure alongside a load at the peak, from the ladder to the evidence, and through every misfortune."""

from __future__ import annotations

import asyncio

import attrs
import pytest
from alongside import LASTS, NAMES, OFFSET, RATE, SLOT, Paths, paths
from hypothesis import given, settings
from hypothesis import strategies as st
from loaded import Witness
from world import KEY, settle

from perfrun.adapters.drive import drive
from perfrun.api.run import Phase, RunStatus, StageStatus
from perfrun.capabilities.base import Evidence, FoundPeak
from perfrun.lifecycle.loads import LEFT_PATIENCE
from perfrun.lifecycle.values import StartLoad
from perfrun.manifests.names import pod_name
from perfrun.ports import Unavailable

PEAK = FoundPeak(RATE, "800/s was answered well, 1200/s not", proven=True)


@attrs.define
class Beside(Witness):
    """Measures how many results there are beside, and tells of a pod that could not."""

    def measure(self, claim, evidence, confidence):
        if evidence.result is not None and evidence.result.outcome != "Completed":
            evidence = attrs.evolve(evidence, lost_reason=evidence.result.reason)
        return super().measure(claim, evidence, confidence)


@pytest.fixture(autouse=True)
def witness(monkeypatch) -> Witness:
    shown = Beside()
    monkeypatch.setattr("perfrun.judging.scenario.capability", lambda _name: shown)
    return shown


@pytest.fixture(autouse=True)
def peak(monkeypatch) -> list[FoundPeak]:
    answers = [PEAK]
    for module in ("loads", "evidence"):
        monkeypatch.setattr(f"perfrun.lifecycle.{module}.found", lambda _shards, _parameters: answers[-1])
    return answers


def states(status: RunStatus) -> dict[str, str]:
    return {each.id.removeprefix("s1-"): each.reason or each.state for each in status.stages}


def stage(status: RunStatus, name: str) -> StageStatus:
    return next(each for each in status.stages if each.id == f"s1-{name}")


def only(witness: Witness) -> Evidence:
    (evidence,) = witness.shown
    return evidence


async def test_paths_are_measured_alongside_a_load_at_the_rate_that_was_found(witness):
    sim = paths()
    status = await settle(sim)
    assert (status.phase, set(states(status).values())) == (Phase.PASSED, {"Done"}), status.message
    evidence = only(witness)
    assert set(evidence.beside) == {f"s1-{name}" for name in NAMES}
    assert (evidence.rate, evidence.peak, evidence.lacking) == (RATE, PEAK, {})
    assert evidence.result == evidence.beside["s1-other"]
    assert len(evidence.shards) == 1
    assert evidence.start_at == stage(status, "load").start_at.timestamp()
    assert (stage(status, "peak").rate, stage(status, "load").rate) == (RATE, RATE)
    assert {"s1-peak-0", "s1-load-0", "s1-other"} <= {each.name for each in status.artifacts}
    assert sim.kept() == []


async def test_shares_of_the_rate_become_requests_per_second_for_the_generators_only():
    sim = paths()
    status = await settle(sim)
    climb, load = [each.stage for each in sim.changes if isinstance(each, StartLoad)]
    assert [each["rate"] for each in climb.parameters["schedule"]] == [100.0, 200.0]
    assert [each["rate"] for each in load.parameters["schedule"]] == [RATE, RATE / 2]
    planned = status.frozen.plan.stages[1]
    assert [each["rate"] for each in planned.parameters["schedule"]] == [1.0, 0.5]


async def test_pods_are_placed_by_each_other_and_told_when_to_begin_and_with_whom():
    sim = paths()
    status = await settle(sim)
    where = {name: sim.pods[sim.order(name).name].node for name in NAMES}
    assert where["server"] == where["same"] == where["hostserver"]
    assert where["other"] == where["host"] != where["server"]
    assert sim.order("other").avoid == (where["server"],)
    peers = {name: sim.order(name).stage.parameters.get("peer_address") for name in NAMES}
    server, hostserver = (sim.pods[sim.order(name).name].ip for name in ("server", "hostserver"))
    assert peers == {
        "server": None, "hostserver": None, "other": server, "same": server, "host": hostserver,
    }  # fmt: skip
    begins = stage(status, "load").start_at.timestamp() + OFFSET
    assert {sim.order(name).stage.parameters["start_at"] for name in NAMES} == {begins}
    told = sim.order("server").stage
    assert told.seconds - SLOT == told.timeout - 60 == pytest.approx(begins - stage_begun(sim))


def stage_begun(sim: Paths) -> float:
    (load,) = [each for each in sim.changes if isinstance(each, StartLoad) and each.stage.id == "s1-load"]
    return load.start_at.timestamp() - 6


async def test_servers_are_made_with_the_intent_and_clients_once_their_peer_runs():
    sim = paths()
    seen = []
    for _ in range(40):
        await drive(KEY, sim.world)
        now = {sim.stages[name][0].removeprefix("s1-") for name in sim.pods}
        if now and now not in seen:
            seen.append(now)
        sim.tick()
    assert seen[0] == {"server"}
    assert seen[1] == {"server", "other", "same", "hostserver"}
    assert seen[2] == set(NAMES)


@pytest.mark.parametrize("fate", ["LateStart", "Unschedulable", "Slow", "EvictedEarly"])
@pytest.mark.parametrize("who", ["server", "same"])
async def test_a_pod_that_is_late_gives_the_attempt_up_for_another_try(fate, who, witness):
    sim = paths()
    sim.fate = lambda each, attempt: fate if (each, attempt) == (f"s1-{who}", 1) else ""
    status = await settle(sim)
    assert status.phase is Phase.PASSED, status.message
    attempts = {each.id: each.attempt for each in status.stages}
    assert attempts.pop("s1-peak") == 1
    assert set(attempts.values()) == {2}
    assert only(witness).result.attempt == 2
    leads = [each.attempt for each in sim.changes if isinstance(each, StartLoad)]
    assert leads == [1, 1, 2]
    assert sim.kept() == []


@pytest.mark.parametrize(
    ("fate", "reason"),
    [("LateStart", "LateStart"), ("Slow", "PodNotStarted"), ("Unschedulable", "Unschedulable"),
     ("EvictedEarly", "PodEvicted")],
)  # fmt: skip
async def test_a_pod_that_is_late_every_time_is_given_up_alone(fate, reason, witness):
    sim = paths()
    sim.fate = lambda each, _attempt: fate if each == "s1-same" else ""
    status = await settle(sim)
    assert status.phase is Phase.PASSED, status.message
    assert states(status)["same"] == reason
    assert set(only(witness).lacking) == {"s1-same"}
    assert set(only(witness).beside) == {f"s1-{name}" for name in NAMES if name != "same"}
    assert sim.kept() == []


async def test_a_pod_lost_in_the_middle_is_given_up_alone_at_once(witness):
    sim = paths()
    sim.fate = lambda each, _attempt: "EvictedLate" if each == "s1-same" else ""
    status = await settle(sim)
    assert (status.phase, states(status)["same"]) == (Phase.PASSED, "PodEvicted")
    assert {each.attempt for each in status.stages} == {1}


async def test_without_a_second_node_it_is_said_soon_and_the_other_paths_are_measured(witness):
    sim = paths(nodes=1)
    status = await settle(sim)
    assert (status.phase, status.reason) == (Phase.INCONCLUSIVE, "NoSecondNode")
    told = stage(status, "other")
    assert "must not share one with s1-server: 0/1 nodes are available" in told.message
    assert (told.since - stage(status, "load").since).total_seconds() < OFFSET + 6
    assert {name: each for name, each in states(status).items() if each != "Done"} == {
        "other": "NoSecondNode", "host": "NoSecondNode",
    }  # fmt: skip
    assert "it needs s1-other, which was lost" in stage(status, "host").message
    assert set(only(witness).beside) == {"s1-server", "s1-same", "s1-hostserver"}
    assert sim.kept() == []


async def test_pods_that_the_api_server_refuses_are_lost_with_its_words(witness):
    sim = paths()
    sim.fate = lambda each, _attempt: "Refused" if each == "s1-hostserver" else ""
    status = await settle_refused(sim)
    assert status.phase is Phase.PASSED, status.message
    assert states(status)["hostserver"] == states(status)["host"] == "PodRefused"
    assert "violates PodSecurity" in only(witness).lacking["s1-host"]
    assert {each.attempt for each in status.stages if each.state == "Done"} == {1}
    assert sim.kept() == []


async def settle_refused(sim: Paths) -> RunStatus:
    """Settle where the API server refuses something, which ends a turn but not the work."""
    for _ in range(400):
        try:
            return await settle(sim)
        except Unavailable:
            sim.tick()
    raise AssertionError(sim.runs[KEY.name].status)


async def test_without_a_server_nothing_is_measured_and_the_load_is_not_made_for_nothing(witness):
    sim = paths()
    sim.fate = lambda each, _attempt: "Refused" if each == "s1-server" else ""
    status = await settle_refused(sim)
    assert (status.phase, status.reason) == (Phase.INCONCLUSIVE, "PodRefused")
    assert {each for name, each in states(status).items() if name != "peak"} == {"PodRefused"}
    assert (status.finished_at - stage(status, "load").start_at).total_seconds() < LASTS
    assert sim.kept() == []


async def test_nonsense_of_one_pod_is_an_error_of_it_alone():
    sim = paths()
    sim.fate = lambda each, _attempt: "Nonsense" if each == "s1-other" else ""
    status = await settle(sim)
    assert (status.phase, status.reason) == (Phase.ERROR, "MalformedResult")
    assert states(status)["same"] == "Done"


async def test_a_pod_that_can_measure_nothing_is_done_and_says_why(witness):
    sim = paths()
    sim.fate = lambda each, _attempt: "NoUDP" if each == "s1-other" else ""
    status = await settle(sim)
    assert (status.phase, status.reason) == (Phase.INCONCLUSIVE, "NoUDP")
    assert only(witness).beside["s1-other"].reason == "NoUDP"


async def test_without_a_peak_nothing_is_loaded_or_measured(peak):
    peak.append(FoundPeak(None, "not even 100/s was answered well"))
    sim = paths()
    status = await settle(sim)
    assert (status.phase, status.reason) == (Phase.INCONCLUSIVE, "NoPeak")
    assert "not even 100/s" in status.message
    assert [each.stage.id for each in sim.changes if isinstance(each, StartLoad)] == ["s1-peak"]
    assert sim.started == []


async def test_what_a_climb_was_lost_for_is_told_of_all_that_needed_it():
    sim = paths()
    sim.fate = lambda each, _attempt: "OOMKilled" if each == "s1-peak" else ""
    status = await settle(sim)
    assert (status.phase, set(states(status).values())) == (Phase.INCONCLUSIVE, {"OOMKilled"})
    assert sim.started == []


@pytest.mark.parametrize("fate", ["GeneratorSaturated", "Dies", "OOMKilled"])
async def test_pods_are_given_up_with_their_load(fate, witness):
    sim = paths(attempts=1)
    sim.fate = lambda each, _attempt: fate if each == "s1-load" else ""
    status = await settle(sim)
    assert status.phase is Phase.INCONCLUSIVE
    assert status.reason == {"Dies": "PodEvicted"}.get(fate, fate)
    assert {each.state for each in status.stages if each.id[3:] in NAMES} == {"Lost"}
    assert sim.kept() == []


async def test_an_attempt_whose_generators_go_is_made_again_with_all_pods(witness):
    sim = paths()
    sim.fate = lambda each, attempt: "Dies" if (each, attempt) == ("s1-load", 1) else ""
    status = await settle(sim)
    assert status.phase is Phase.PASSED, status.message
    assert {each.attempt for each in status.stages if each.id != "s1-peak"} == {2}
    assert {each.attempt for each in only(witness).beside.values()} == {2}
    for name in NAMES:
        first = sim.pods.get(pod_name(KEY.name, f"s1-{name}", 1))
        assert first is None or first.phase == "Succeeded"


async def test_pods_on_a_dead_node_are_waited_for_so_long_and_no_longer():
    sim = paths()
    sim.stuck = "s1-same"
    sim.fate = lambda each, attempt: "Dies" if (each, attempt) == ("s1-load", 1) else ""
    status = await settle(sim)
    assert status.phase is Phase.PASSED, status.message
    first, second = [each.start_at for each in sim.changes if isinstance(each, StartLoad)][1:]
    assert LEFT_PATIENCE < second - first < 2 * LEFT_PATIENCE


FATES = ("", "", "", "LateStart", "Unschedulable", "Slow", "EvictedEarly", "EvictedLate", "Nonsense", "NoUDP")


@settings(max_examples=60, deadline=None)
@given(data=st.data(), nodes=st.integers(1, 3), attempts=st.integers(1, 3), die_at=st.integers(0, 150))
def test_whatever_happens_there_is_a_verdict_and_nothing_is_left(data, nodes, attempts, die_at):
    fates: dict[tuple[str, int], str] = {}

    def fate(each: str, attempt: int) -> str:
        if each == "s1-peak":
            return ""
        return fates.setdefault((each, attempt), data.draw(st.sampled_from(FATES), label=f"{each} {attempt}"))

    sim = paths(nodes, attempts)
    sim.fate, sim.die_at = fate, die_at
    status = asyncio.run(settle(sim))
    assert status.phase.finished, status
    assert status.verdict is not None
    assert {each.state for each in status.stages} <= {"Done", "Lost"}
    assert {each.attempt for each in status.stages if each.state == "Done"} <= {1, stage(status, "load").attempt}
    assert sim.kept() == []


async def test_all_pods_are_gone_when_a_run_is_cancelled():
    sim = paths()
    for _ in range(200):
        await drive(KEY, sim.world)
        if stage(sim.runs[KEY.name].status, "host").state == "Running":
            break
        sim.tick()
    run = sim.runs[KEY.name]
    sim.runs[KEY.name] = attrs.evolve(run, spec=run.spec.replace(cancel=True))
    status = await settle(sim)
    assert status.phase is Phase.CANCELLED
    assert (sim.pods, sim.kept()) == ({}, [])


async def test_what_goes_on_is_told_without_a_word_that_changes_every_second():
    sim = paths()
    told = []
    for _ in range(200):
        await drive(KEY, sim.world)
        status = sim.runs[KEY.name].status
        if status.message not in told:
            told.append(status.message)
        if status.phase.finished:
            break
        sim.tick()
    alongside = [each for each in told if "alongside" in each]
    assert "s1-server, s1-other, s1-same, s1-hostserver, s1-host alongside" in alongside[-1]
    assert len(told) < 16


async def test_pods_outlast_the_load_where_their_results_come_after_its_own(witness):
    sim = paths()
    status = sim.runs[KEY.name].status
    late = tuple(
        each.replace(offset=LASTS) if each.kind == "pod" else each for each in status.frozen.plan.stages
    )  # fmt: skip
    plan = status.frozen.plan.replace(stages=late)
    status = status.replace(frozen=status.frozen.replace(plan=plan))
    sim.runs[KEY.name] = attrs.evolve(sim.runs[KEY.name], status=status)
    status = await settle(sim)
    assert status.phase is Phase.PASSED, status.message
    assert len(only(witness).shards) == 1
    assert {"s1-peak-0", "s1-load-0"} <= {each.name for each in status.artifacts}


async def test_every_crash_point_gives_the_same_verdict_and_leaves_nothing():
    whole = paths()
    expected = await settle(whole)
    assert expected.phase is Phase.PASSED
    # After one effect is before the next.
    for die_at in range(1, whole.effects + 1, 2):
        sim = paths()
        sim.die_at = die_at
        status = await settle(sim)
        assert (status.phase, states(status)) == (expected.phase, states(expected)), die_at
        assert [each.attempt for each in status.stages] == [each.attempt for each in expected.stages], die_at
        assert sim.kept() == [], die_at


async def test_every_crash_point_of_a_second_try_leaves_nothing():
    def begin() -> Paths:
        sim = paths()
        sim.fate = lambda each, attempt: "EvictedEarly" if (each, attempt) == ("s1-same", 1) else ""
        return sim

    whole = begin()
    assert (await settle(whole)).phase is Phase.PASSED
    for die_at in range(1, whole.effects + 1, 2):
        sim = begin()
        sim.die_at = die_at
        status = await settle(sim)
        assert status.phase is Phase.PASSED, (die_at, status.message)
        assert sim.kept() == [], die_at
