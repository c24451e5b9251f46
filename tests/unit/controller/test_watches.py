from __future__ import annotations

from perfrun.controller.watches import Watches

PATH = "/apis/x"


class Time:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def made() -> tuple[Watches, Time]:
    time = Time()
    return Watches([PATH, "/other"], time, watch_seconds=40), time


def test_a_watch_that_never_began_is_dead_after_a_while() -> None:
    watches, time = made()
    assert watches.dead() == []
    assert not watches.all_answered()
    time.now = 101
    watches.opened("/other")
    assert watches.dead() == [f"the watch of {PATH} has not been answered for 101 s"]


def test_a_watch_that_is_begun_anew_lives() -> None:
    watches, time = made()
    for now in range(0, 1000, 50):
        time.now = now
        watches.opened(PATH)
        watches.opened("/other")
        assert watches.dead() == []
    assert watches.all_answered()


def test_what_was_written_must_be_seen() -> None:
    watches, time = made()
    watches.wrote(PATH, "7")
    for now in (50, 100, 150):
        time.now = now
        watches.opened(PATH)
        watches.opened("/other")
    assert watches.dead() == [f"the watch of {PATH} has not shown version 7, written 150 s ago"]
    assert watches.ages()[PATH] == 150
    watches.seen(PATH, "8")
    assert watches.dead() == []


def test_what_was_seen_before_it_was_answered_is_not_owed() -> None:
    watches, time = made()
    watches.seen(PATH, "7")
    watches.wrote(PATH, "7")
    time.now = 90
    assert watches.ages()[PATH] == 90
    watches.opened(PATH)
    watches.opened("/other")
    time.now = 180
    assert watches.dead() == []


def test_paths_and_versions_of_another_kind_are_left_out() -> None:
    watches, _ = made()
    watches.opened("/unknown")
    watches.wrote("/unknown", "1")
    watches.wrote(PATH, "opaque")
    watches.seen(PATH, "opaque")
    assert watches.dead() == []
