"""Two operators and one lease on a real API server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from kubernetes.aio.client.configuration import Configuration
from workbench import Bench

from perfrun.adapters.api import Api, load_configuration
from perfrun.adapters.clock import SystemClock
from perfrun.controller.leadership import DURATION, GIVE_UP, Leadership, LeadershipLostError

pytestmark = pytest.mark.contract

QUICK = 0.05
"""Seconds between tries; the durations themselves pass on clocks moved by hand."""


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


Candidate = Callable[[str, Time], Leadership]


@pytest.fixture
def candidate(bench: Bench) -> Candidate:
    def make(identity: str, time: Time) -> Leadership:
        return Leadership(bench.api, bench.namespace, "perfrun", identity, SystemClock(), time)

    return make


async def holder(bench: Bench) -> str:
    path = f"/apis/coordination.k8s.io/v1/namespaces/{bench.namespace}/leases/perfrun"
    return str((await bench.api.get(path))["spec"].get("holderIdentity", ""))


async def test_the_second_waits_until_the_first_gives_it_back(bench: Bench, candidate: Candidate) -> None:
    first, second = candidate("a", Time()), candidate("b", Time())
    await first.acquire(QUICK)
    waiting = asyncio.create_task(second.acquire(QUICK))
    done, _ = await asyncio.wait({waiting}, timeout=10 * QUICK)
    assert not done
    assert (first.leads, second.leads) == (True, False)
    await first.release()
    await waiting
    assert (first.leads, second.leads, await holder(bench)) == (False, True, "b")


async def test_a_holder_that_falls_silent_is_replaced_and_then_stops(bench: Bench, candidate: Candidate) -> None:
    time = Time()
    first, second = candidate("a", Time()), candidate("b", time)
    await first.acquire(QUICK)
    waiting = asyncio.create_task(second.acquire(QUICK))
    await asyncio.wait({waiting}, timeout=5 * QUICK)
    assert not second.leads
    time.now = DURATION
    await waiting
    assert await holder(bench) == "b"
    with pytest.raises(LeadershipLostError, match="went to b"):
        await first.keep(QUICK)
    assert not first.leads


async def test_a_container_restarted_in_the_same_pod_goes_on_at_once(candidate: Candidate) -> None:
    await candidate("a", Time()).acquire(QUICK)
    again = candidate("a", Time())
    await again.acquire(QUICK)
    assert again.leads


async def test_who_cannot_renew_stops_before_another_may_begin() -> None:
    time = Time()
    refused = Api(unreachable(), load_configuration)
    leader = Leadership(refused, "default", "perfrun", "a", SystemClock(), time)
    keeping = asyncio.create_task(leader.keep(QUICK))
    await asyncio.sleep(0)
    time.now = GIVE_UP + 1
    with pytest.raises(LeadershipLostError, match="could not be renewed"):
        await keeping
    await refused.close()


def unreachable() -> Configuration:
    configuration = Configuration()
    configuration.host = "https://127.0.0.1:1"
    return configuration


async def test_only_one_of_many_leads(candidate: Candidate) -> None:
    candidates = [candidate(f"c{number}", Time()) for number in range(5)]
    acquiring = [asyncio.create_task(each.acquire(QUICK)) for each in candidates]
    await asyncio.wait(acquiring, timeout=10 * QUICK)
    assert sum(each.leads for each in candidates) == 1
    for each in acquiring:
        each.cancel()
