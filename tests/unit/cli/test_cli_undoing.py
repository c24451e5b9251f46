"""A run is taken turns of until nothing of it remains; what happens is told once, a line each."""

from __future__ import annotations

import datetime as dt

import attrs
import pytest

from perfrun.adapters.reading import MalformedError
from perfrun.api.faults import FINALIZER, FaultStatus, NodeFault
from perfrun.api.run import Phase, RunSpec, RunStatus
from perfrun.cli import undoing
from perfrun.cli.undoing import finish, news
from perfrun.lifecycle.values import Key, Meta, Run
from perfrun.ports import Conflict, Unavailable

START = dt.datetime(2026, 11, 25, 3, 0, tzinfo=dt.UTC)
KEY = Key("PerfRun", "shop", "r")


def run(state="Injected", phase=Phase.RUNNING, held=True, **node):
    fault = FaultStatus(
        id="s1-fault", kind="isolate", backend="native", seed=1, state=state, starts_at=START, ends_at=START,
        nodes=(NodeFault(node="a", injected_at=START, **node),),
    )  # fmt: skip
    meta = Meta("r", "shop", "u", finalizers=(FINALIZER,) if held else ())
    return Run(meta, RunSpec(target_ref="t"), RunStatus(phase=phase, faults=(fault,), message=f"{phase.value} it is"))


CLEAN = {"undone_at": START, "clean_at": START, "proof": "no table is listed"}
STORY = [
    run(),
    run(phase=Phase.RESTORING),
    run(phase=Phase.RESTORING, undone_at=START),
    run("Undone", Phase.RESTORING, **CLEAN),
    run("Undone", Phase.RESTORING, held=False, **CLEAN),
    run("Undone", Phase.CANCELLED, held=False, **CLEAN),
]


@attrs.define
class Past:
    """A cluster that is one step further at each turn, or raises what stands there instead."""

    story: list
    at: int = -1
    moment: dt.datetime = START

    async def turn(self):
        self.at += 1
        step = self.story[min(self.at, len(self.story) - 1)]
        if isinstance(step, Exception):
            raise step

    async def run(self, key):
        assert key == KEY
        return self.story[min(self.at, len(self.story) - 1)]

    def now(self):
        self.moment += dt.timedelta(seconds=1)
        return self.moment


async def told(story, monkeypatch, seconds=60):
    async def at_once(_seconds):
        return None

    monkeypatch.setattr(undoing.asyncio, "sleep", at_once)
    past, lines = Past(story), []
    done = await finish(KEY, past, past.turn, past, START + dt.timedelta(seconds=seconds), lines.append)
    return done, [line.removeprefix("shop/r: ") for line in lines]


async def test_the_whole_way_is_told_and_ends_with_the_run(monkeypatch):
    done, lines = await told(STORY, monkeypatch)
    assert done
    assert lines == [
        "is Running",
        "1 node (a) isolated since 03:00:00, until 03:00:00 UTC at the latest",
        "is Restoring: Restoring it is",
        "fault s1-fault: ended on a",
        "fault s1-fault: a is proven clean: no table is listed",
        "fault s1-fault is Undone: 1 node (a) isolated 03:00:00–03:00:00 UTC, proven undone",
        "the finalizer is off: nothing of it is left",
        "is Cancelled: Cancelled it is",
    ]


async def test_a_run_that_goes_is_done(monkeypatch):
    done, lines = await told([run(), None], monkeypatch)
    assert done
    assert lines[-1] == "it is gone"


async def test_conflicts_and_silence_are_waited_out_and_told_once(monkeypatch):
    story = [Conflict("x"), Unavailable("no answer"), Unavailable("no answer"), Conflict("x"), STORY[-1]]
    done, lines = await told(story, monkeypatch)
    assert done
    assert lines == ["no answer", "is Cancelled"]


@pytest.mark.parametrize(
    "stuck",
    [run(), run("Undone", held=False), run("Undone", Phase.FAILED), Unavailable("down"), Conflict("x")],
    ids=["unsettled", "unfinished", "kept", "silence", "overtaken"],
)
async def test_the_time_is_up_whatever_goes_on(monkeypatch, stuck):
    done, _ = await told([stuck], monkeypatch, seconds=5)
    assert not done


async def test_a_run_that_cannot_be_read_is_given_up_with_a_way_out(monkeypatch):
    done, lines = await told([MalformedError(KEY, {}, "PerfRun shop/r: status.phase: odd")], monkeypatch)
    assert not done
    assert "status.phase: odd; correct its status by hand" in lines[0]


def test_no_news_is_no_line():
    assert news(run(), run()) == []
