from __future__ import annotations

import asyncio
import datetime as dt

import pytest

from perfrun.adapters.clock import SystemClock
from perfrun.controller.queue import Turn, WakeQueue
from perfrun.lifecycle.values import Key
from perfrun.ports import Conflict, Unavailable


def key(name: str) -> Key:
    return Key("PerfRun", "ns", name)


class Recorder:
    """Turns that end when they are let go, and a record of them."""

    def __init__(self, *answers: Exception | dt.datetime | None) -> None:
        self.answers = list(answers)
        self.at_once: dict[Key, int] = {}
        self.most = 0
        self.turns: list[Turn] = []
        self.idle = asyncio.Event()

    async def work(self, of: Key) -> dt.datetime | None:
        self.at_once[of] = self.at_once.get(of, 0) + 1
        assert self.at_once[of] == 1, "two turns of one key at a time"
        self.most = max(self.most, sum(self.at_once.values()))
        await asyncio.sleep(0)
        self.at_once[of] -= 1
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def told(self, turn: Turn) -> None:
        self.turns.append(turn)
        self.idle.set()

    async def until(self, count: int) -> None:
        while len(self.turns) < count:
            self.idle.clear()
            await self.idle.wait()


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (None, "done"),
        (Conflict("newer"), "overtaken"),
        (Unavailable("gone"), "unavailable"),
        (TimeoutError(), "unavailable"),
        (RuntimeError("bug"), "failed"),
    ],
)
async def test_every_outcome_but_success_is_tried_again(answer: Exception | None, outcome: str) -> None:
    recorder = Recorder(answer)
    queue = WakeQueue(recorder.work, SystemClock(), told=recorder.told, chance=lambda: 0.0)
    running = asyncio.create_task(queue.run())
    queue.wake(key("a"))
    await recorder.until(1 if outcome == "done" else 2)
    running.cancel()
    assert [turn.outcome for turn in recorder.turns] == ([outcome] if outcome == "done" else [outcome, "done"])


async def test_a_failing_key_holds_up_no_other() -> None:
    recorder = Recorder(RuntimeError("bug"))
    queue = WakeQueue(recorder.work, SystemClock(), workers=1, told=recorder.told)
    running = asyncio.create_task(queue.run())
    queue.wake(key("bad"))
    queue.wake(key("good"))
    await recorder.until(2)
    running.cancel()
    assert [(turn.key.name, turn.outcome) for turn in recorder.turns] == [("bad", "failed"), ("good", "done")]


async def test_no_more_turns_at_once_than_workers() -> None:
    recorder = Recorder()
    queue = WakeQueue(recorder.work, SystemClock(), workers=3, told=recorder.told)
    for number in range(20):
        queue.wake(key(f"k{number}"))
    running = asyncio.create_task(queue.run())
    await recorder.until(20)
    running.cancel()
    assert recorder.most == 3


async def test_a_look_in_the_future_is_taken() -> None:
    recorder = Recorder(dt.datetime.now(dt.UTC) + dt.timedelta(milliseconds=30))
    queue = WakeQueue(recorder.work, SystemClock(), told=recorder.told)
    running = asyncio.create_task(queue.run())
    queue.wake(key("a"))
    await recorder.until(2)
    running.cancel()
    assert [turn.outcome for turn in recorder.turns] == ["done", "done"]


async def test_draining_ends_what_does_not_end_by_itself() -> None:
    begun = asyncio.Event()

    async def hang(_: Key) -> None:
        begun.set()
        await asyncio.Event().wait()

    queue = WakeQueue(hang, SystemClock())
    running = asyncio.create_task(queue.run())
    queue.wake(key("a"))
    await begun.wait()
    running.cancel()
    await queue.drain(0.01)
    assert all(task.done() or not task.get_name().startswith("turn of") for task in asyncio.all_tasks())
