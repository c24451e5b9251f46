"""A soak outlives its pods: what a lost one had handed in counts, and the next does the rest."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import attrs
import pytest
from world import KEY, NOW, Sim, settle, sim_with_run, target_spec

from perfrun.adapters.drive import drive
from perfrun.api.optimization import Memory
from perfrun.api.run import Phase
from perfrun.api.verdicts import Verdict
from perfrun.lifecycle.values import PodView
from perfrun.ports import checkpoint_path
from perfrun_kernels.contract import Result, Scalar, Table

FEATURE = """Feature: f
  Scenario: s
    Given an active inference pipeline
    When processing multiple batches concurrently
    Then there should be no memory leaks over 10 hours
"""
STAGE = "s1-memory"
HOUR = 3600.0


def soaked(attempt: int, hours: float, **changes: Any) -> Result:
    """Return what a pod has after so many hours: a level of its own, and no leak."""
    chance, begin = random.Random(attempt), NOW.timestamp() + attempt * 20 * HOUR
    rows = [[begin + hours * HOUR * at / 200, attempt * 1e9 + chance.gauss(0, 1e5)] for at in range(200)]
    base = Result(
        run=KEY.name, stage=STAGE, attempt=attempt, outcome="Completed", started=begin, finished=begin + hours * HOUR,
        scalars={"prefix.queries": Scalar("1", 100.0), "prefix.hits": Scalar("1", 95.0)},
        tables={"memory": Table(["at", "rss"], rows)}, facts={"device": "cpu"},
    )  # fmt: skip
    return dataclasses.replace(base, **changes)


@attrs.define
class Soak(Sim):
    """A world whose pods soak; ``told`` is what each attempt was told to do, by number."""

    told: dict[int, dict[str, Any]] = attrs.field(factory=dict)
    hands_in: dict[int, Result] = attrs.field(factory=dict)

    async def start_pod(self, run, action):
        self.told[action.attempt] = dict(action.stage.parameters)
        await super().start_pod(run, action)

    def result(self, _stage, attempt):
        return self.hands_in.get(attempt, soaked(attempt, 10 - self.told[attempt]["done_seconds"] / HOUR))

    def checkpoint(self, attempt: int, content: bytes) -> None:
        self.files[checkpoint_path("uid-1", STAGE, attempt)] = content


def soak(attempts: int = 3) -> Soak:
    target = target_spec(memory=Memory(soak="10h"))
    made = sim_with_run(FEATURE, target.replace(pods=target.pods.replace(attempts=attempts)), timeout="100h")
    return Soak(targets=made.targets, runs=made.runs)


async def test_the_next_attempt_does_the_rest_and_all_of_it_is_judged():
    sim = soak()
    sim.fate = lambda _stage, attempt: "Evicted" if attempt < 3 else ""
    sim.checkpoint(1, soaked(1, 4.0).to_json().encode())
    sim.checkpoint(2, soaked(2, 5.0).to_json().encode())
    status = await settle(sim)
    done = [(each["done_seconds"], each["segments"]) for _, each in sorted(sim.told.items())]
    assert done == [(0.0, 0), (4 * HOUR, 1), (9 * HOUR, 2)]
    assert (status.phase, status.scenarios[0].steps[-1].basis) == (Phase.PASSED, "Observed")
    assert "watched for 10 h in 3 attempts" in status.scenarios[0].steps[-1].message
    links = {each.name for each in status.artifacts}
    assert links == {STAGE, f"{STAGE}.checkpoint-1", f"{STAGE}.checkpoint-2", "report"}


async def test_what_was_handed_in_last_of_all_is_evidence_and_no_pass():
    sim = soak(attempts=1)
    sim.fate = lambda _stage, _attempt: "Lost"
    sim.checkpoint(1, soaked(1, 10.0).to_json().encode())
    status = await settle(sim)
    (scenario,) = status.scenarios
    assert (scenario.verdict, scenario.reason) == (Verdict.INCONCLUSIVE, "PodLost")
    assert "it was not watched to the end" in scenario.message
    assert scenario.steps[-1].value is not None


async def test_a_checkpoint_that_is_none_is_as_good_as_none():
    sim = soak()
    sim.fate = lambda _stage, attempt: "Evicted" if attempt == 1 else ""
    sim.checkpoint(1, b"hello, world")
    status = await settle(sim)
    assert sim.told[2]["done_seconds"] == 0.0
    assert status.phase is Phase.PASSED


async def test_what_an_attempt_had_on_the_way_does_not_count_beside_its_result():
    sim = soak()
    sim.checkpoint(1, soaked(1, 9.0).to_json().encode())
    status = await settle(sim)
    assert status.phase is Phase.PASSED
    assert "watched for 10 h," in status.scenarios[0].steps[-1].message


async def test_a_pod_that_was_told_to_stop_by_its_node_is_tried_again():
    sim = soak()
    stopped = soaked(1, 4.0, outcome="Failed", reason="Terminated", message="the pod was told to stop after 4 h")
    sim.hands_in[1] = stopped
    sim.checkpoint(1, soaked(1, 4.0).to_json().encode())
    while not sim.told or not any(pod.phase == "Succeeded" for pod in sim.pods.values()):
        await drive(KEY, sim.world)
        sim.tick()
    (name,) = sim.pods
    # It handed in before it was seen to be removed: that look waits for the next one.
    sim.pods[name] = attrs.evolve(sim.pods[name], phase="Running", finished=None)
    sim.stages[name] = ("", 0)
    sim.fate = lambda stage, _attempt: "Hang" if not stage else ""
    await drive(KEY, sim.world)
    assert sim.started == [(STAGE, 1)]
    sim.pods[name] = attrs.evolve(sim.pods[name], deleting=True)
    status = await settle(sim)
    assert sim.told[2]["done_seconds"] == 4 * HOUR
    assert status.phase is Phase.PASSED


async def test_a_program_that_was_stopped_for_its_deadline_is_not_tried_again():
    sim = soak()
    sim.hands_in[1] = soaked(
        1, 4.0, outcome="Failed", reason="Terminated", message="the pod was told to stop after 4 h"
    )

    def late(pod: PodView) -> PodView:
        return attrs.evolve(pod, phase="Failed", reason="DeadlineExceeded")

    while not any(pod.phase == "Succeeded" for pod in sim.pods.values()):
        await drive(KEY, sim.world)
        sim.tick()
    sim.pods = {name: late(pod) for name, pod in sim.pods.items()}
    status = await settle(sim)
    assert sim.started == [(STAGE, 1)]
    assert status.scenarios[0].reason == "Terminated"


@pytest.mark.parametrize("die_at", range(1, 40, 3))
async def test_an_operator_that_dies_anywhere_loses_nothing_of_it(die_at):
    sim = soak()
    sim.die_at = die_at
    sim.fate = lambda _stage, attempt: "Evicted" if attempt == 1 else ""
    sim.checkpoint(1, soaked(1, 4.0).to_json().encode())
    status = await settle(sim)
    assert status.phase is Phase.PASSED
    assert sim.told[2]["done_seconds"] == 4 * HOUR
    assert sim.started == [(STAGE, 1), (STAGE, 2)]
