"""Draining cancels what goes on and waits for all of it, what is being restored above all."""

from __future__ import annotations

import attrs
import pytest

from perfrun.adapters.api import NotFound
from perfrun.api.run import Phase
from perfrun.cli import drain
from perfrun.cli.access import Access
from perfrun.cli.stop import TIMED_OUT


def run(phase, name="r", **status):
    return {"metadata": {"name": name, "namespace": "shop"}, "spec": {}, "status": {"phase": phase, **status}}


@attrs.define
class Server:
    """Gives one list of runs after the other, and keeps to the last."""

    lists: list
    cancelled: list = attrs.field(factory=list)

    async def get(self, path, *_more):
        found, self.lists = self.lists[0], self.lists[1:] or self.lists
        if found is None:
            raise NotFound(path)
        return {"items": found}

    async def merge(self, path, body):
        assert body == {"spec": {"cancel": True}}
        self.cancelled.append(path.rpartition("/")[2])


class Lines(list):
    def tell(self, text):
        self.append(text)


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    async def at_once(_seconds):
        clock[0] += 1.0

    clock = [0.0]
    monkeypatch.setattr(drain.asyncio, "sleep", at_once)
    monkeypatch.setattr(drain.time, "monotonic", lambda: clock[0])


async def drained(*lists):
    server, lines = Server(list(lists)), Lines()
    return await drain._drain(Access(server, "default"), [], 10, lines), server.cancelled, lines


@pytest.mark.parametrize("phase", [each.value for each in Phase if not each.finished])
async def test_whatever_goes_on_is_cancelled_and_waited_for(phase):
    code, cancelled, lines = await drained([run(phase, message="busy")], [run("Cancelled")])
    assert (code, cancelled) == (0, ["r"])
    assert lines == [f"waiting for shop/r ({phase}: busy)", "no run is going on"]


async def test_what_is_restored_for_ever_is_a_time_out_that_says_what_to_do():
    code, _, lines = await drained([run("Restoring", message="undoing s1-fault")])
    assert code == TIMED_OUT
    assert "perfrun chaos undo" in lines[-1]


async def test_many_runs_are_counted():
    _, cancelled, lines = await drained([run("Running", f"r{index}") for index in range(7)], [])
    assert len(cancelled) == 7
    assert lines[0].endswith("shop/r4 (Running) and 2 more")


@pytest.mark.parametrize("found", [None, [], [run("Passed"), run("Failed", "s")]], ids=["no CRD", "none", "finished"])
async def test_nothing_to_wait_for(found):
    assert await drained(found) == (0, [], ["no run is going on"])
