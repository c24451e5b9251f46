"""The wake queue's bookkeeping under any order of events."""

from __future__ import annotations

import datetime as dt

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from perfrun.controller.backlog import FIRST_BACKOFF, LONGEST_BACKOFF, PATIENCE, SPIN_GUARD, Backlog
from perfrun.lifecycle.values import Key

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
KEYS = [Key("PerfRun", "ns", name) for name in "abcd"]
KEY = KEYS[0]
SECOND = dt.timedelta(seconds=1)


class BacklogMachine(RuleBasedStateMachine):
    """A model beside the real thing: what was woken since its last start must still get a turn."""

    def __init__(self) -> None:
        super().__init__()
        self.backlog = Backlog()
        self.now = START
        self.running: list[Key] = []
        self.owed: set[Key] = set()
        self.due: dict[Key, dt.datetime] = {}

    @rule(key=st.sampled_from(KEYS))
    def wake(self, key: Key) -> None:
        self.backlog.wake(key)
        self.owed.add(key)

    @rule()
    def start(self) -> None:
        key = self.backlog.start()
        if key is None:
            assert self.owed <= set(self.running)
            return
        assert key not in self.running
        assert key in self.owed
        self.owed.discard(key)
        self.due.pop(key, None)
        self.running.append(key)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), wait=st.one_of(st.none(), st.integers(-10, 100)))
    def done(self, data: st.DataObject, wait: int | None) -> None:
        key = self.take(data)
        look_at = None if wait is None else self.now + wait * SECOND
        self.backlog.done(key, look_at, self.now)
        if look_at is not None:
            self.due[key] = max(look_at, self.now + SPIN_GUARD)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), spread=st.floats(0, 0.99))
    def failed(self, data: st.DataObject, spread: float) -> None:
        key = self.take(data)
        self.due[key] = self.now + self.backlog.failed(key, self.now, spread)

    @rule(step=st.integers(1, 200))
    def pass_time(self, step: int) -> None:
        self.now += step * SECOND
        self.backlog.expire(self.now)
        for key in [key for key, when in self.due.items() if when <= self.now]:
            self.owed.add(key)
            del self.due[key]

    @invariant()
    def counts_agree(self) -> None:
        assert self.backlog.running == len(self.running)
        assert self.backlog.waiting >= len(self.owed - set(self.running))

    def teardown(self) -> None:
        for key in self.running:
            self.backlog.done(key, None, self.now)
        started = set()
        while (waited := self.backlog.start()) is not None:
            started.add(waited)
        assert self.owed <= started

    def take(self, data: st.DataObject) -> Key:
        key = data.draw(st.sampled_from(self.running))
        self.running.remove(key)
        return key


BacklogMachine.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
TestBacklog = BacklogMachine.TestCase


def test_wakes_are_coalesced() -> None:
    backlog = Backlog()
    for _ in range(100):
        backlog.wake(KEY)
    assert backlog.waiting == 1


def test_a_wake_during_a_turn_gives_exactly_one_more_turn() -> None:
    backlog = Backlog()
    backlog.wake(KEY)
    assert backlog.start() == KEY
    backlog.wake(KEY)
    backlog.wake(KEY)
    assert backlog.start() is None
    backlog.done(KEY, None, START)
    assert backlog.start() == KEY
    backlog.done(KEY, None, START)
    assert backlog.start() is None


def test_backoff_doubles_up_to_a_limit_and_a_success_ends_it() -> None:
    backlog = Backlog()
    waits = []
    for _ in range(40):
        backlog.wake(KEY)
        backlog.start()
        waits.append(backlog.failed(KEY, START, 0.0))
    assert waits[:3] == [FIRST_BACKOFF, 2 * FIRST_BACKOFF, 4 * FIRST_BACKOFF]
    assert waits[-1] == LONGEST_BACKOFF
    backlog.wake(KEY)
    backlog.start()
    backlog.done(KEY, None, START)
    backlog.wake(KEY)
    backlog.start()
    assert backlog.failed(KEY, START, 0.0) == FIRST_BACKOFF


def test_a_conflict_is_tried_again_at_once_but_not_for_ever() -> None:
    backlog = Backlog()
    backlog.wake(KEY)
    for _ in range(PATIENCE):
        assert backlog.start() == KEY
        backlog.overtaken(KEY, START, 0.0)
    assert backlog.start() == KEY
    backlog.overtaken(KEY, START, 0.0)
    assert backlog.start() is None
    assert backlog.next_due() is not None


def test_a_look_that_is_long_past_does_not_spin() -> None:
    backlog = Backlog()
    backlog.wake(KEY)
    backlog.start()
    backlog.done(KEY, START - SECOND, START)
    backlog.expire(START)
    assert backlog.start() is None
    backlog.expire(START + SECOND)
    assert backlog.start() == KEY


def test_a_later_turn_replaces_the_timer() -> None:
    backlog = Backlog()
    for look_at in (START + SECOND, START + 10 * SECOND):
        backlog.wake(KEY)
        backlog.start()
        backlog.done(KEY, look_at, START)
    assert backlog.next_due() == START + 10 * SECOND
    backlog.expire(START + 2 * SECOND)
    assert backlog.start() is None
