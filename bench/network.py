"""The network program beside bare iperf3 and sockperf on the same way, in turn, within one run.

The way leads from one network namespace through a second, which routes, to a third, as between pods on two nodes. Two
kinds of it are used: the bare one, where the programs at both ends take more time than the packets' way, and one on
which every packet is held for some milliseconds, so that the way is what counts.

sockperf's latency is half of a round trip through both programs; so it is compared with half of the network program's
application round trip. Half of the kernel's round trip, which is what verdicts go by, stands beside it: on the bare way
it leaves out what both programs take, and where packets are held it has to be the same as sockperf's.
It needs root.
"""

from __future__ import annotations

import json
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

TURNS: Final = 12
STREAMS: Final = 4
PACKET_SECONDS: Final = 2
PACKET_RATE: Final = 1000
HELD_RATE: Final = 100
"""Where packets are held: sockperf has one at a time under way, and cannot offer more."""

PACKET_BYTES: Final = 64
HOLD_SECONDS: Final = 0.004
LEAD_SECONDS: Final = 2.0
"""Seconds from the start of a pod's program to its first slot."""

TURN_SECONDS: Final = 5.0
"""Of throughput: a second of ours, a pause, a second of the other's, a pause."""

MICROSECONDS: Final = 1e6
PORT, BARE_PORT, SOCK_PORT = 5201, 5301, 11111
WITHIN_PERCENT: Final = 2.0


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
        _serve(stack, way)
        ours, theirs = _throughputs(way)
        bare = _latencies(way, PACKET_RATE)
    with ExitStack() as stack:
        way = stack.enter_context(bed.laid(HOLD_SECONDS))
        _serve(stack, way)
        held = _latencies(way, HELD_RATE)
    each_way = f"held for {1000 * HOLD_SECONDS:g} ms each way"
    return [
        _row("throughput between two pods, the network program, Gbit/s", ours),
        _row("throughput between two pods, bare iperf3, Gbit/s", theirs),
        _row("throughput: how much of bare iperf3's it does not show, %", _short(ours, theirs), WITHIN_PERCENT),
        _row("one way through both programs, the network program, p50, us", bare.ours),
        _row("one way through both programs, sockperf, p50, us", bare.theirs),
        _row("one way through both programs: how much it shows more than sockperf, %", _more(bare.ours, bare.theirs),
             WITHIN_PERCENT),
        _row("one way, the kernel alone, p50, us", bare.kernel),
        _row(f"one way {each_way}, the network program, p50, us", held.ours),
        _row(f"one way {each_way}, the kernel alone, p50, us", held.kernel),
        _row(f"one way {each_way}, sockperf, p50, us", held.theirs),
        _row("held packets: how far the program is from sockperf, %", _apart(held.ours, held.theirs), WITHIN_PERCENT),
        _row("held packets: how far the kernel alone is from sockperf, %", _apart(held.kernel, held.theirs),
             WITHIN_PERCENT),
    ]  # fmt: skip


def _serve(stack: ExitStack, way: Bed) -> None:
    """Start all servers: those that nobody asks only sleep."""
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    stack.enter_context(ended(_pod(way.server, {"role": "server", "port": PORT, "seconds": 3000}, **quiet)))
    stack.enter_context(ended(way.server.start("iperf3", "--server", "--port", str(BARE_PORT), **quiet)))
    stack.enter_context(ended(way.server.start("sockperf", "server", "--port", str(SOCK_PORT), **quiet)))
    time.sleep(LEAD_SECONDS)


def _throughputs(way: Bed) -> tuple[list[float], list[float]]:
    """Return the rates of each turn, the program's and bare iperf3's, in Gbit/s."""
    start_at = time.time() + LEAD_SECONDS
    slices = [{"at": TURN_SECONDS * turn, "seconds": 1} for turn in range(TURNS)]
    theirs = []
    with ended(_client(way, start_at, slices=slices)) as client:
        for turn in range(TURNS):
            time.sleep(max(0.0, start_at + TURN_SECONDS * (turn + 0.5) - time.time()))
            command = ("iperf3", "--client", bed.SERVER, "--port", str(BARE_PORT), "--parallel", str(STREAMS))
            report = json.loads(way.client.run(*command, "--time", "1", "--json"))
            theirs.append(report["end"]["sum_received"]["bits_per_second"] / 1e9)
        result = _result(client)
    table = result.tables["slices"]
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    return [row["gbit"] / row["seconds"] for row in rows], theirs


def _latencies(way: Bed, rate: int) -> Latencies:
    found = Latencies()
    for turn in range(TURNS):
        for ours in (True, False) if turn % 2 == 0 else (False, True):
            if ours:
                packets = {"at": 0, "seconds": PACKET_SECONDS, "rate": rate, "bytes": PACKET_BYTES}
                with ended(_client(way, time.time() + LEAD_SECONDS, packets=packets)) as client:
                    result = _result(client)
                found.ours.append(_median(result, "rtt.application") / 2)
                found.kernel.append(_median(result, "rtt.kernel") / 2)
            else:
                found.theirs.append(_sockperf(way, rate))
        print(
            f"network: turn {turn + 1} of {TURNS}: {found.ours[-1]:.1f} and {found.theirs[-1]:.1f} us", file=sys.stderr
        )
    return found


def _sockperf(way: Bed, rate: int) -> float:
    """Return sockperf's median latency in microseconds, one way."""
    command = ["sockperf", "ping-pong", "--ip", bed.SERVER, "--port", str(SOCK_PORT), "--mps", str(rate)]
    told = way.client.run(*command, "--msg-size", str(PACKET_BYTES), "--time", str(PACKET_SECONDS))
    found = re.search(r"percentile 50\.000 = +([\d.]+)", told)
    if found is None:
        msg = f"sockperf gives no median: {told[-300:]}"
        raise RuntimeError(msg)
    return float(found[1])


def _client(way: Bed, start_at: float, **slots: Any) -> subprocess.Popen[str]:
    asked = {"role": "client", "port": PORT, "peer_address": bed.SERVER, "start_at": start_at, "streams": STREAMS}
    return _pod(way.client, {**asked, **slots}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def _pod(place: bed.Place, parameters: dict[str, Any], **options: Any) -> subprocess.Popen[str]:
    """Start the whole program as a pod does."""
    request = Request("bench", "network", 1, "network", parameters, 3600.0)
    environ = {contract.REQUEST_ENV: request.to_json(), runner.TERMINATION_LOG_ENV: "/dev/null"}
    words = [f"{name}={value}" for name, value in environ.items()]
    return place.start("env", *words, sys.executable, "-m", "perfrun_kernels", **options)


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


def _short(ours: list[float], theirs: list[float]) -> list[float]:
    return [100 * (1 - own / other) for own, other in zip(ours, theirs, strict=True)]


def _more(ours: list[float], theirs: list[float]) -> list[float]:
    return [100 * (own / other - 1) for own, other in zip(ours, theirs, strict=True)]


def _apart(ours: list[float], theirs: list[float]) -> list[float]:
    return [abs(each) for each in _more(ours, theirs)]


def _row(name: str, values: list[float], promised: float = 0.0) -> Row:
    return (name, statistics.median(values), min(values), max(values), promised)


if __name__ == "__main__":
    for row in run():
        print(f"{row[0]:75} {row[1]:10.4g} {row[2]:10.4g} {row[3]:10.4g} {row[4]:6.4g}")
