"""The load generator beside others: which rate each of them offers from one core, and whether it shows a freeze.

All meet the same nginx with one worker on the other core. A rate counts where 99 % of it went out and the p99 of
response times, as the candidate itself reports it, stayed below 1 ms; closed loops, which know no rate, are asked with
several numbers of connections instead. A candidate shows the freeze where a server that was stopped for one second out
of ten is seen in its p99. Without ``--realtime`` this needs a machine that is otherwise quiet.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
import signal
import statistics
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import attrs
from load import candidates, tools
from load.candidates import Place, Reading

TURNS: Final = 3
STEP_SECONDS: Final = 2
RATES: Final = (1_000, 5_000, 10_000, 20_000, 40_000, 50_000, 60_000, *range(80_000, 200_001, 10_000))
FEWER_CONNECTIONS: Final = (candidates.CONNECTIONS, 16, 8)
FREEZE_SECONDS: Final = 1.0
FREEZE_WITHIN_SECONDS: Final = 10
FREEZE_RATE: Final = 5_000
SHOWN_SECONDS: Final = 0.8
"""Where a tenth of the requests is due in a freeze of one second, the slowest hundredth waits 0.9 s and more."""

LONGEST_P99_MS: Final = 1.0
MISSES: Final = 2
MILLISECONDS: Final = 1e3

Row = tuple[str, float, float, float, float]
Ask = Callable[[int, int], Reading]


@attrs.define
class Findings:
    """What the turns found of one candidate, one value for each turn; 0 where no rate was good."""

    rates: list[float] = attrs.field(factory=list)
    on_time: list[float] = attrs.field(factory=list)
    """The highest rate with a lateness p99 below 1 ms, of those who report it."""

    late: list[float] = attrs.field(factory=list)
    frozen: list[float] = attrs.field(factory=list)
    answers: list[float] = attrs.field(factory=list)
    """What a closed loop got, whatever its p99."""

    def shows(self) -> bool:
        """Say whether its p99 showed the freeze."""
        return statistics.median(self.frozen) >= SHOWN_SECONDS


def run(*, realtime: bool = False) -> list[Row]:
    """Return rows of name, median, least, most and the promised limit; times in milliseconds."""
    found, missing = measure(Place(realtime), print)
    rows: list[Row] = []
    for name, each in found.items():
        label = tools.LABELS.get(name, name)
        rows.append(_row(f"{label}: highest rate of a core with p99 < 1 ms, 1/s", each.rates))
        if each.on_time:
            rows.append(_row(f"{label}: the same by its lateness, 1/s", each.on_time))
        if each.late:
            rows.append(_row(f"{label}: lateness p99 then", [MILLISECONDS * at for at in each.late], LONGEST_P99_MS))
        if each.answers:
            rows.append(_row(f"{label}: answers, whatever their p99, 1/s", each.answers))
        rows.append(_row(f"{label}: p99 with a freeze of 1000 ms", [MILLISECONDS * at for at in each.frozen]))
    rows += [(f"{tools.LABELS[name]} is missing: {why}", *(float("nan"),) * 3, 0.0) for name, why in missing.items()]
    honest = {name: each for name, each in found.items() if name != "perfrun" and each.shows()}
    if honest and found["perfrun"].shows():
        # A closed loop counts with all its answers: how late they were, it cannot say.
        turns = zip(*(each.answers or each.rates for each in honest.values()), strict=True)
        shares = [100 * max(others) / max(ours, 1) for others, ours in zip(turns, found["perfrun"].rates, strict=True)]
        rows.append(_row("best of the others that show the freeze / perfrun's rate, %", shares, 100.0))
    return rows


def measure(place: Place, say: Callable[[str], None]) -> tuple[dict[str, Findings], dict[str, str]]:
    """Measure all candidates in turn, so that whatever else the machine does meets all of them."""
    asks: dict[str, Ask] = {}
    missing: dict[str, str] = {}
    for name, asked in candidates.ALL.items():
        try:
            asks[name] = partial(asked, place, candidates.program_of(name))
        except tools.MissingToolError as error:
            missing[name] = str(error)
    found = {name: Findings() for name in asks}
    with place.server() as process:
        for turn in range(TURNS):
            for name, ask in asks.items():
                say(f"loadgen: turn {turn + 1} of {TURNS}: {name}")
                each = found[name]
                each.frozen.append(_frozen(name, ask, process).p99)
                if name in candidates.OPEN_LOOP:
                    _climb(ask, each, say)
                else:
                    _connect(ask, each, say)
    return found, missing


def _frozen(name: str, ask: Ask, process: int) -> Reading:
    """Stop the server for a second in the middle of a run of ten; closed loops go as fast as they do."""

    def freeze() -> None:
        os.kill(process, signal.SIGSTOP)
        time.sleep(FREEZE_SECONDS)
        os.kill(process, signal.SIGCONT)

    timer = threading.Timer(FREEZE_WITHIN_SECONDS / 2, freeze)
    timer.start()
    try:
        return ask(FREEZE_RATE if name in candidates.OPEN_LOOP else candidates.CONNECTIONS, FREEZE_WITHIN_SECONDS)
    finally:
        timer.join()


def _climb(ask: Ask, found: Findings, say: Callable[[str], None]) -> None:
    """Climb until two rates in a row are too much, by either rule."""
    best, on_time, late, misses = 0.0, 0.0, None, 0
    for rate in RATES:
        reading = ask(rate, STEP_SECONDS)
        sent = reading.rate >= 0.99 * rate
        good = sent and MILLISECONDS * reading.p99 < LONGEST_P99_MS
        punctual = sent and reading.late is not None and MILLISECONDS * reading.late < LONGEST_P99_MS
        say(f"    {rate}/s: {reading}{'' if good else ': too much'}")
        if good:
            best = rate
        if punctual:
            on_time, late = rate, reading.late
        misses = 0 if good or punctual else misses + 1
        if misses == MISSES:
            break
    found.rates.append(best)
    if reading.late is not None:
        found.on_time.append(on_time)
    if late is not None:
        found.late.append(late)


def _connect(ask: Ask, found: Findings, say: Callable[[str], None]) -> None:
    readings = [ask(connections, STEP_SECONDS) for connections in FEWER_CONNECTIONS]
    for connections, reading in zip(FEWER_CONNECTIONS, readings, strict=True):
        say(f"    {connections} connections: {reading}")
    found.rates.append(max((each.rate for each in readings if MILLISECONDS * each.p99 < LONGEST_P99_MS), default=0.0))
    found.answers.append(max(each.rate for each in readings))


def _row(name: str, values: list[float], limit: float = 0.0) -> Row:
    return (name, statistics.median(values), min(values), max(values), limit)


def table(rows: list[Row], *, realtime: bool) -> str:
    """Return the rows as Markdown, with the day and the machine."""
    model = next(
        (line.partition(": ")[2] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    how = "`SCHED_FIFO`" if realtime else "nice −20"
    head = (
        f"Measured on {dt.datetime.now(dt.UTC):%Y-%m-%d}: {os.cpu_count()} cores, {model}, "
        f"Linux {platform.release()}, load {os.getloadavg()[1]:.1f}, {how}; {TURNS} turns.\n\n"
        "| what (milliseconds unless it says otherwise) | median | min | max | promised ≤ |\n"
        "|---|---:|---:|---:|---:|\n"
    )
    lines = [
        f"| {name} | {' | '.join(f'{value:,.4g}' if value < 1e4 else f'{value:,.0f}' for value in values)} | "
        f"{f'{limit:g}' if limit else '–'} |"
        for name, *values, limit in rows
    ]
    return head + "\n".join(lines) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--realtime", action="store_true", help="keep neighbours out of both cores altogether")
    options = parser.parse_args()
    print(table(run(realtime=options.realtime), realtime=options.realtime))
