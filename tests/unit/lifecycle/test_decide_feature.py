"""A feature over time: changes, schedules, retries, replacement, history, and what generic tools read of it."""

from __future__ import annotations

import asyncio
import datetime as dt

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from world import NOW, Killed, Sim, sim_with_feature, target_spec

from perfrun.adapters.drive import drive
from perfrun.api.feature import History, Retry, Schedule
from perfrun.api.run import Phase
from perfrun.api.verdicts import Verdict
from perfrun.lifecycle.values import Key

FEATURE = Key("PerfFeature", "team", "llm")
TEXT = """Feature: f
  Scenario: s
    Given the following model configurations:
      | model_size | batch_size | sequence_length |
      | small      | 32         | 128             |
    And a model of size "small"
    And a batch size of 32
    When sampling 1000 tokens
    Then p99 latency should be below 10 milliseconds
"""


async def turn(sim: Sim, seconds: float = 1.0) -> None:
    """Drive the feature and each of its runs once, and let time pass; a killed operator is started again."""
    for key in (FEATURE, *(Key("PerfRun", "team", name) for name in sorted(sim.runs))):
        try:
            await drive(key, sim.world)
        except Killed:
            continue
    sim.tick(seconds)


async def turns(sim: Sim, count: int, seconds: float = 1.0) -> None:
    for _ in range(count):
        await turn(sim, seconds)


def change(sim: Sim, **changes) -> None:
    was = sim.features["llm"]
    meta = attrs.evolve(was.meta, generation=was.meta.generation + 1)
    sim.features["llm"] = attrs.evolve(was, meta=meta, spec=was.spec.replace(**changes))


def conditions(sim: Sim) -> dict[str, tuple[str, str]]:
    return {each["type"]: (each["status"], each["reason"]) for each in sim.features["llm"].status.conditions}


def simulated(**spec) -> Sim:
    sim = sim_with_feature(TEXT, target_spec(), **spec)

    def path(stage: str, attempt: int) -> str:
        active = next(run for run in reversed(sim.runs.values()) if not run.status.phase.finished)
        return f"runs/{active.meta.uid}/{stage}/{attempt}/result.json"

    sim.path_of = path
    return sim


async def test_a_new_feature_runs_at_once_and_its_verdict_is_ready():
    sim = simulated()
    await turn(sim)
    assert list(sim.runs)
    assert conditions(sim)["Ready"] == ("Unknown", "FirstRun")
    assert conditions(sim)["Reconciling"][0] == "True"
    await turns(sim, 6)
    assert conditions(sim) == {"Ready": ("True", "Passed")}
    assert sim.features["llm"].status.verdict is Verdict.PASS
    assert len(sim.runs) == 1


async def test_a_violated_slo_is_stalled_so_that_gitops_tools_fail_fast():
    sim = simulated()
    sim.step_seconds = 0.02
    await turns(sim, 8)
    assert conditions(sim) == {"Ready": ("False", "SLOViolated"), "Stalled": ("True", "SLOViolated")}


async def test_a_changed_spec_runs_again_and_until_then_nothing_stale_is_ready():
    sim = simulated()
    await turns(sim, 8)
    change(sim, revision="v2")
    await turn(sim)
    assert conditions(sim)["Ready"] == ("Unknown", "FirstRun")
    assert sim.features["llm"].status.verdict is None
    await turns(sim, 8)
    assert conditions(sim) == {"Ready": ("True", "Passed")}
    assert len(sim.runs) == 2


async def test_suspending_or_keeping_less_history_starts_nothing():
    sim = simulated()
    await turns(sim, 8)
    change(sim, suspend=True, history=History(passed=1, other=1))
    await turns(sim, 3)
    assert len(sim.runs) == 1
    assert sim.features["llm"].status.observed_generation == 2


async def test_a_suspended_feature_waits_and_runs_when_it_is_resumed():
    sim = simulated(suspend=True)
    await turns(sim, 3)
    assert sim.runs == {}
    assert conditions(sim) == {"Ready": ("Unknown", "Suspended")}
    change(sim, suspend=False)
    await turns(sim, 8)
    assert conditions(sim)["Ready"] == ("True", "Passed")


async def test_a_schedule_runs_again_and_keeps_the_last_ready_meanwhile():
    sim = simulated(schedule=Schedule(cron="*/5 * * * *"))
    await turns(sim, 8)
    seen = set()
    for _ in range(40):
        await turn(sim, 10)
        seen.add(conditions(sim)["Ready"])
    assert seen == {("True", "Passed")}
    assert len(sim.runs) == 2


async def test_a_due_start_is_left_out_while_a_run_is_under_way():
    sim = simulated(schedule=Schedule(cron="* * * * *"))
    sim.fate = lambda _stage, _attempt: "Hang"
    await turns(sim, 9, 20)
    assert len(sim.runs) == 1
    assert "StartSkipped" in [reason for reason, _ in sim.events]


async def test_a_due_start_replaces_the_run_under_way_where_the_policy_says_so():
    sim = simulated(schedule=Schedule(cron="* * * * *"), concurrency_policy="Replace")
    sim.fate = lambda _stage, _attempt: "Hang"
    await turns(sim, 9, 20)
    phases = [run.status.phase for run in sim.runs.values()]
    assert phases[0] is Phase.CANCELLED
    assert len(phases) > 1


async def test_what_could_not_be_told_is_retried_with_backoff_and_then_given_up():
    sim = simulated(retry=Retry(limit=2, backoff="10s"))
    sim.fate = lambda _stage, _attempt: "OOMKilled"
    await turns(sim, 5)
    assert conditions(sim)["Reconciling"] == ("True", "ProgressingWithRetry")
    await turns(sim, 80)
    assert len(sim.runs) == 3
    assert conditions(sim)["Stalled"][0] == "True"
    finished = sorted(run.status.finished_at for run in sim.runs.values())
    assert finished[1] - finished[0] >= dt.timedelta(seconds=10)
    assert finished[2] - finished[1] >= dt.timedelta(seconds=20)


@pytest.mark.parametrize(
    ("spec", "reason", "words"),
    [
        ({"feature": "Feature: f\n  Scenario: s\n    Then I dance\n"}, "InvalidFeature", "3:"),
        ({"tags": "@a and ("}, "InvalidFeature", "tag"),
        ({"schedule": Schedule(cron="every day")}, "InvalidSchedule", "five"),
        ({"schedule": Schedule(cron="@daily", time_zone="Mars/Olympus")}, "InvalidSchedule", "Mars"),
        ({"target_ref": "nowhere"}, "TargetNotFound", "nowhere"),
    ],
)
async def test_an_unusable_spec_is_stalled_with_a_sentence_and_runs_once_mended(spec, reason, words):
    sim = simulated()
    before = sim.features["llm"].spec
    change(sim, **spec)
    await turns(sim, 2)
    assert conditions(sim)["Stalled"] == ("True", reason)
    assert words in sim.features["llm"].status.message
    assert sim.runs == {}
    assert [each for each, _ in sim.events].count(reason) == 1
    change(sim, **{name: getattr(before, name) for name in spec})
    await turns(sim, 8)
    assert conditions(sim)["Ready"] == ("True", "Passed")


async def test_a_verdict_past_its_age_no_longer_counts():
    sim = simulated(max_age="1m")
    await turns(sim, 8)
    assert conditions(sim)["Ready"] == ("True", "Passed")
    await turns(sim, 4, 30)
    assert conditions(sim)["Ready"] == ("Unknown", "VerdictExpired")
    assert sim.features["llm"].status.verdict is None


async def test_history_and_ttl_delete_finished_runs():
    sim = simulated(schedule=Schedule(cron="* * * * *"), history=History(passed=2, other=0))
    await turns(sim, 60, 10)
    finished = [run for run in sim.runs.values() if run.status.phase.finished]
    assert len(finished) == 2
    change(sim, suspend=True, ttl_after_finished="5m")
    await turns(sim, 5, 120)
    assert sim.runs == {}
    assert sim.features["llm"].status.verdict is Verdict.PASS


@settings(max_examples=60, deadline=None)
@given(deaths=st.lists(st.integers(1, 12), max_size=6))
def test_killed_anywhere_a_feature_has_exactly_one_run_for_one_change(deaths):
    sim = simulated()

    async def live() -> None:
        for death in deaths:
            sim.die_at = sim.effects + death
            await turns(sim, 3)
        sim.die_at = -1
        await turns(sim, 12)

    asyncio.run(live())
    assert len(sim.runs) == 1
    assert conditions(sim) == {"Ready": ("True", "Passed")}
    assert sim.time > NOW
