"""perfrun's client beside aiperf at one server of others: ``transformers serve`` with a tiny decoder on this CPU.

Both stream as many requests of the same lengths, in turn, one at a time and then several at once. A third client tells
what comes from perfrun's rounds, and the wire what comes from the server, which is not as fast in every turn. The
server has a core of its own where there are two. It needs root, to listen on the wire.
``bench/serverbed/README.md`` has the figures, and says where they differ, and by what.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import sys
import tempfile
import time
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import attrs
from serverbed import aiperf, ours, serving, tiny, wire
from serverbed.seen import Asked, Seen, of_timed, timed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

TURNS = 6
REQUESTS = 40
PROMPT_TOKENS = 32
TOKENS = 32
AT_ONCE = (1, 4)
MOST_SEED = 2**31
AIPERF = f"aiperf {aiperf.VERSION}"
FIGURES = {
    "ttft": "time to first token, p50, ms",
    "itl": "mean time between a request's tokens, p50, ms",
    "itl_p99": "mean time between a request's tokens, p99, ms",
    "gap_p99": "time between two chunks, p99, ms",
    "rate": "tokens/s of the whole turn",
    "throughput": "tokens/s as reported",
    "busy": "streams under way, of those asked for, %",
}

Row = tuple[str, float, float, float, float]


@attrs.frozen
class Side:
    """What a client says of its part of a turn, and what the wire says of the same."""

    says: Seen
    wire: Seen


@attrs.frozen
class Turn:
    """One part for each client."""

    aiperf: Side
    perfrun: Side
    without_rounds: Side


def run(turns: int = TURNS, requests: int = REQUESTS) -> list[Row]:
    """Return each client's figures, and perfrun's in percent of aiperf's, of the same turn; nothing is promised."""
    rows: list[Row] = []
    cores = os.sched_getaffinity(0)
    with contextlib.ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory()))
        tiny.save(folder / "model")
        with _pinned(max(cores)):
            url = held.enter_context(serving.serving(folder / "model", folder / "log"))
        held.enter_context(_pinned(min(cores)))
        for at_once in AT_ONCE:
            asked = Asked(url, str(folder / "model"), at_once, requests, PROMPT_TOKENS, TOKENS, seed=0)
            ours.rounds(asked)  # what is slow for once is over then
            rows += rows_of([_turn(asked, folder / f"{at_once}-{number}", number) for number in range(turns)], at_once)
    return rows


def rows_of(turns: Sequence[Turn], at_once: int) -> list[Row]:
    """Return the rows of turns with so many streams at once."""
    rows = list[Row]()
    for name, words in FIGURES.items():
        read: Callable[[Seen], float] = attrgetter(name)
        theirs = [read(turn.aiperf.says) for turn in turns]
        mine = [read(turn.perfrun.says) for turn in turns]
        their_wire = [read(turn.aiperf.wire) for turn in turns]
        my_wire = [read(turn.perfrun.wire) for turn in turns]
        rows += [
            _row(f"{at_once} at once, {words}: {AIPERF}", theirs),
            _row(f"{at_once} at once, {words}: perfrun", mine),
            _share("perfrun of aiperf", mine, theirs),
            _share("perfrun without rounds, of aiperf", [read(turn.without_rounds.says) for turn in turns], theirs),
            _share("aiperf of its own wire", theirs, their_wire),
            _share("perfrun of its own wire", mine, my_wire),
            _share("perfrun's wire of aiperf's wire", my_wire, their_wire),
        ]
    return rows


def _turn(asked: Asked, folder: Path, number: int) -> Turn:
    """Ask each client once; who comes first changes, as the machine may grow slower or faster meanwhile."""
    clients: dict[str, Callable[[Asked], Seen]] = {
        "aiperf": lambda asked: aiperf.measure(asked, folder),
        "perfrun": ours.rounds,
        "without_rounds": ours.without_rounds,
    }
    order = list(clients) if number % 2 else list(reversed(clients))
    return Turn(**{name: _side(asked, clients[name]) for name in order})


def _side(asked: Asked, client: Callable[[Asked], Seen]) -> Side:
    asked = attrs.evolve(asked, seed=time.time_ns() % MOST_SEED)  # a server may remember what it was asked before
    port = urlsplit(asked.url).port or 80
    with wire.listening(port) as packets:
        says = client(asked)
    return Side(says, of_timed(timed(wire.passed(packets), asked.tokens), asked))


@contextlib.contextmanager
def _pinned(core: int) -> Iterator[None]:
    """Keep this thread, and the processes that it starts meanwhile, on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _share(name: str, mine: list[float], theirs: list[float]) -> Row:
    return _row(f"  {name}, %", [100 * one / other for one, other in zip(mine, theirs, strict=True)])


def _row(name: str, values: list[float]) -> Row:
    return name, statistics.median(values), min(values), max(values), 0.0


if __name__ == "__main__":
    for name, median, least, most, _ in run(*(int(each) for each in sys.argv[1:])):
        print(f"| {name} | {median:.4g} | {least:.4g} | {most:.4g} |")
