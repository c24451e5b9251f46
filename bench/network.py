"""The network program beside bare iperf3 and sockperf on the same way, in turn, within one run.

The way leads from one network namespace through a second, which routes, to a third, as between pods on two nodes. Two
kinds of it are used: the bare one, where the programs at both ends take more time than the packets' way, and one on
which every packet is held for some milliseconds, so that the way is what counts.

sockperf's latency is half of a round trip through both programs; so it is compared with half of the network program's
application round trip. Half of the kernel's round trip, which is what verdicts go by, stands beside it: on the bare way
it leaves out what both programs take, and where packets are held it has to be the same as sockperf's.

Nearly all of a round trip on the bare way is waking up: of two threads, and of processors that had fallen asleep. The
two programs wait differently between packets (sockperf's client spins), and would find them in different states. So
each side has a processor of its own, which an idle task keeps awake, and goes ahead of all else there (SCHED_FIFO), for
both programs alike.

Each pair of turns gives a ratio. Shown are the median of the ratios and its interval of 99 %; promised is that all of
the interval is within 2 % on either side.
It needs root.
"""

from __future__ import annotations

import json
import math
import re
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from typing import Any, Final

import attrs
from networkbed import bed
from networkbed.bed import Bed, ended

from perfrun.measuring import histograms
from perfrun_kernels import contract, runner
from perfrun_kernels.contract import Request, Result

Row = tuple[str, float, float, float, float]

TURNS: Final = 160
"""About one second in five goes to a slower mode of TCP's, by either program: as many turns outvote it."""

LATENCY_TURNS: Final = 60
HELD_TURNS: Final = 30
STREAMS: Final = 4
PACKET_SECONDS: Final = 1
PACKET_RATE: Final = 1000
HELD_RATE: Final = 100
"""Where packets are held: sockperf has one at a time under way, and cannot offer more."""

PACKET_BYTES: Final = 64
HOLD_SECONDS: Final = 0.004
LEAD_SECONDS: Final = 2.0
"""Seconds from the start of a pod's program to its first slot."""

TURN_SECONDS: Final = 3.0
"""Of throughput: a second of ours, a pause, a second of the other's, a pause."""

MICROSECONDS: Final = 1e6
PORT, BARE_PORT, SOCK_PORT = 5201, 5301, 11111
WITHIN_PERCENT: Final = 2.0
CONFIDENCE: Final = 0.99
CPUS: Final = ("0", "1")
"""The client's and the server's."""

PINNED: Final = tuple(("taskset", "--cpu-list", each) for each in CPUS)
"""What keeps each side to its processor, so that no second depends on where the kernel puts them."""

ALONE: Final = tuple((*each, "chrt", "--fifo", "10") for each in PINNED)
"""What has a program go ahead of all else on its processor."""


AWAKE: Final = ("chrt", "--idle", "0", sys.executable, "-c", "while True: pass")
"""A task that runs where nothing else would, and gives way at once."""


@attrs.define
class Latencies:
    """One value for each turn, in microseconds one way: the medians of both programs, and the kernel's."""

    ours: list[float] = attrs.field(factory=list)
    kernel: list[float] = attrs.field(factory=list)
    theirs: list[float] = attrs.field(factory=list)


def run() -> list[Row]:
    """Return rows of name, median, least, most and the promised limit."""
    with ExitStack() as stack:
        way = stack.enter_context(bed.laid())
        _serve(stack, way, *PINNED[1])
        ours, theirs = _throughputs(way, *PINNED[0])
    with ExitStack() as stack:
        way = stack.enter_context(bed.laid())
        _serve(stack, way, *ALONE[1])
        for each in CPUS:
            stack.enter_context(ended(way.node.start("taskset", "--cpu-list", each, *AWAKE)))
        bare = _latencies(way, LATENCY_TURNS, PACKET_RATE, *ALONE[0])
    with ExitStack() as stack:
        way = stack.enter_context(bed.laid(HOLD_SECONDS))
        _serve(stack, way)
        held = _latencies(way, HELD_TURNS, HELD_RATE)
    each_way = f"held for {1000 * HOLD_SECONDS:g} ms each way"
    return [
        _row("throughput between two pods, the network program, Gbit/s", ours),
        _row("throughput between two pods, bare iperf3, Gbit/s", theirs),
        _apart("throughput: how far the program's is from bare iperf3's, %", ours, theirs),
        _row("one way through both programs, the network program, p50, us", bare.ours),
        _row("one way through both programs, sockperf, p50, us", bare.theirs),
        _apart("one way through both programs: how far it is from sockperf, %", bare.ours, bare.theirs),
        _row("one way, the kernel alone, p50, us", bare.kernel),
        _row(f"one way {each_way}, the network program, p50, us", held.ours),
        _row(f"one way {each_way}, the kernel alone, p50, us", held.kernel),
        _row(f"one way {each_way}, sockperf, p50, us", held.theirs),
        _apart("held packets: how far the program is from sockperf, %", held.ours, held.theirs),
        _apart("held packets: how far the kernel alone is from sockperf, %", held.kernel, held.theirs),
    ]  # fmt: skip


def _serve(stack: ExitStack, way: Bed, *before: str) -> None:
    """Start all servers: those that nobody asks only sleep."""
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    stack.enter_context(ended(_pod(way.server, {"role": "server", "port": PORT, "seconds": 3000}, *before, **quiet)))
    stack.enter_context(ended(way.server.start(*before, "iperf3", "--server", "--port", str(BARE_PORT), **quiet)))
    stack.enter_context(ended(way.server.start(*before, "sockperf", "server", "--port", str(SOCK_PORT), **quiet)))
    time.sleep(LEAD_SECONDS)


def _throughputs(way: Bed, *before: str) -> tuple[list[float], list[float]]:
    """Return the rates of each turn, the program's and bare iperf3's, in Gbit/s."""
    start_at = time.time() + LEAD_SECONDS
    slices = [{"at": TURN_SECONDS * turn, "seconds": 1} for turn in range(TURNS)]
    theirs = []
    with ended(_client(way, start_at, *before, slices=slices)) as client:
        for turn in range(TURNS):
            time.sleep(max(0.0, start_at + TURN_SECONDS * (turn + 0.5) - time.time()))
            command = ("iperf3", "--client", bed.SERVER, "--port", str(BARE_PORT), "--parallel", str(STREAMS))
            report = json.loads(way.client.run(*before, *command, "--time", "1", "--json"))
            theirs.append(report["end"]["sum_received"]["bits_per_second"] / 1e9)
        result = _result(client)
    table = result.tables["slices"]
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    return [row["gbit"] / row["seconds"] for row in rows], theirs


def _latencies(way: Bed, turns: int, rate: int, *before: str) -> Latencies:
    found = Latencies()
    for turn in range(turns):
        for ours in (True, False) if turn % 2 == 0 else (False, True):
            if ours:
                packets = {"at": 0, "seconds": PACKET_SECONDS, "rate": rate, "bytes": PACKET_BYTES}
                with ended(_client(way, time.time() + LEAD_SECONDS, *before, packets=packets)) as client:
                    result = _result(client)
                found.ours.append(_median(result, "rtt.application") / 2)
                found.kernel.append(_median(result, "rtt.kernel") / 2)
            else:
                found.theirs.append(_sockperf(way, rate, *before))
        print(
            f"network: turn {turn + 1} of {turns}: {found.ours[-1]:.1f} and {found.theirs[-1]:.1f} us",
            file=sys.stderr,
        )
    return found


def _sockperf(way: Bed, rate: int, *before: str) -> float:
    """Return sockperf's median latency in microseconds, one way."""
    command = [*before, "sockperf", "ping-pong", "--ip", bed.SERVER, "--port", str(SOCK_PORT), "--mps", str(rate)]
    told = way.client.run(*command, "--msg-size", str(PACKET_BYTES), "--time", str(PACKET_SECONDS))
    found = re.search(r"percentile 50\.000 = +([\d.]+)", told)
    if found is None:
        msg = f"sockperf gives no median: {told[-300:]}"
        raise RuntimeError(msg)
    return float(found[1])


def _client(way: Bed, start_at: float, *before: str, **slots: Any) -> subprocess.Popen[str]:
    asked = {"role": "client", "port": PORT, "peer_address": bed.SERVER, "start_at": start_at, "streams": STREAMS}
    return _pod(way.client, {**asked, **slots}, *before, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def _pod(place: bed.Place, parameters: dict[str, Any], *before: str, **options: Any) -> subprocess.Popen[str]:
    """Start the whole program as a pod does."""
    request = Request("bench", "network", 1, "network", parameters, 3600.0)
    environ = {contract.REQUEST_ENV: request.to_json(), runner.TERMINATION_LOG_ENV: "/dev/null"}
    words = [f"{name}={value}" for name, value in environ.items()]
    return place.start(*before, "env", *words, sys.executable, "-m", "perfrun_kernels", **options)


def _result(client: subprocess.Popen[str]) -> Result:
    told, _ = client.communicate(timeout=600)
    result = Result.from_json(told.removeprefix(runner.RESULT_PREFIX))
    if result.outcome != "Completed":
        msg = f"the network program is {result.outcome} {result.reason}: {result.message}"
        raise RuntimeError(msg)
    return result


def _median(result: Result, name: str) -> float:
    taken = result.histograms[name]
    return MICROSECONDS * histograms.decode(taken.data, taken.unit, taken.scale).quantile(0.5)


def _apart(name: str, ours: list[float], theirs: list[float]) -> Row:
    """Return how far apart they are at most, and the interval of the median ratio, in percent of theirs."""
    ratios = sorted(100 * (own / other - 1) for own, other in zip(ours, theirs, strict=True))
    low, high = interval(ratios)
    return (
        f"{name}, at most (median {statistics.median(ratios):.2g})",
        max(abs(low), abs(high)),
        low,
        high,
        WITHIN_PERCENT,
    )


def interval(ordered: list[float]) -> tuple[float, float]:
    """Return the interval of the median of ordered values: how many of them can be below it by chance (binomial)."""
    count, outside, rank = len(ordered), 0.0, 0
    while 2 * (outside + math.comb(count, rank) / 2**count) <= 1 - CONFIDENCE:
        outside += math.comb(count, rank) / 2**count
        rank += 1
    # With rank 0 even the extremes do not reach the confidence; they are the best there is.
    return ordered[max(rank - 1, 0)], ordered[count - max(rank, 1)]


def _row(name: str, values: list[float], promised: float = 0.0) -> Row:
    return (name, statistics.median(values), min(values), max(values), promised)


if __name__ == "__main__":
    for row in run():
        print(f"{row[0]:75} {row[1]:10.4g} {row[2]:10.4g} {row[3]:10.4g} {row[4]:6.4g}")
