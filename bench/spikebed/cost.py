"""What it costs a node that has no CPU to spare to be watched: throughput, requests, and CPU time.

Two cores that are busy are noisy: the same second gives half or twice as much as the one before. So the watching
program is stopped and let go on by turns of some hundredths of a second, hundreds of times, while the load goes on, and
what both kinds of turns carried is compared. What its programs in the kernel cost while it is stopped is not seen by
that; the kernel's own timing of them is added, that of the other turns included.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal

import attrs
from spikebed.agent import DEADLINE_MS, INTERVAL_MS, described
from spikebed.node import PATH, PORT, WEB, Node, Pod

from perfrun_kernels.spike.watching import PROGRAM

Load = Literal["iperf3", "http"]

TURN_SECONDS: Final = 0.04
SETTLE_SECONDS: Final = 0.02
"""After which a program that was let go on has sent its first probe, and its other threads have fallen asleep again: it
wakes them all, and each waits for one of the busy processors."""

BUDGET_PERCENT: Final = 3.0
"""What targets have unless they say otherwise."""

STARTING_SECONDS: Final = 2.5
BLOCK: Final = 10
"""Pairs of turns that are taken together for the interval: neighbours are alike."""

SURE: Final = 2.576
"""Standard errors of an interval of 99 %."""

CONGESTION: Final = ("--congestion", "cubic")
"""Linux's own. BBR, where that is the default, sends at an estimated pace: what is lost is its misjudging."""

CLIENTS: Final = 2
CONNECTIONS: Final = 16
"""Of each client. Together they have more to ask than one pod of a small machine answers."""


@attrs.frozen
class Slice:
    """What was carried in pairs of turns, watched and not (bytes per second), and shares of all CPUs, percent.

    ``cost`` is what watching took, by the program's own books, while it was not stopped; ``tracing`` is of that what
    the programs in the kernel took; ``interval`` is the longest from one probe to the next, in milliseconds.
    """

    pairs: list[tuple[float, float]]
    cost: float
    tracing: float
    interval: float


def sample(node: Node, pods: tuple[Pod, ...], client: Pod, load: Load, seconds: float) -> Slice:
    """Watch ``pods``, of which the first bears the load, for about so long.

    Raises:
        RuntimeError: the watching program did not begin, or ended.
    """
    with _loaded(client, pods[0], load), _watching(node, pods) as process:
        time.sleep(STARTING_SECONDS)
        pairs = list(_pairs(node, process, "vpod0", load, seconds))
        process.send_signal(signal.SIGCONT)
        process.terminate()
        lines = [json.loads(line) for line in process.stdout or ()]
    if not lines or lines[-1]["type"] != "end":
        raise RuntimeError(f"the watching program ended with {process.wait()}")
    books = lines[-1]["budget"]
    return Slice(
        # It is stopped half of the time, and its books know only the whole.
        pairs, 100 * (2 * books["cost_mean"] - books["tracing_mean"]), 100 * books["tracing_mean"],
        books["interval_max_ns"] / 1e6,
    )  # fmt: skip


def lost(slices: list[Slice]) -> tuple[float, float, float]:
    """Return the share of what was carried that watching takes, percent: estimate, and its interval of 99 %.

    The ratio of all that both kinds of turns carried, with a jackknife over blocks of neighbours.
    """
    blocks = [
        (sum(on for on, _ in block), sum(off for _, off in block))
        for each in slices
        for start in range(0, len(each.pairs), BLOCK)
        if len(block := each.pairs[start : start + BLOCK]) == BLOCK
    ]
    on, off = (sum(each[index] for each in blocks) for index in (0, 1))
    tracing = statistics.fmean(each.tracing for each in slices)
    estimate = 100 * (1 - on / off) + tracing
    without = [100 * (1 - (on - mine) / (off - other)) for mine, other in blocks]
    count, mean = len(without), statistics.fmean(without)
    error = math.sqrt((count - 1) / count * sum((each - mean) ** 2 for each in without))
    return estimate, estimate - SURE * error, estimate + SURE * error


def _pairs(node: Node, process: subprocess.Popen[str], device: str, load: Load, seconds: float) -> Iterator[Any]:
    with Path(f"/proc/{node.holder}/net/dev").open(encoding="ascii") as counters:

        def turn(word: signal.Signals) -> float:
            process.send_signal(word)
            time.sleep(SETTLE_SECONDS)
            before, began = _carried(counters, device, load), time.monotonic()
            time.sleep(TURN_SECONDS)
            return (_carried(counters, device, load) - before) / (time.monotonic() - began)

        chance = random.Random(os.getpid())  # noqa: S311 -- which of two turns is the first
        until = time.monotonic() + seconds
        while time.monotonic() < until and process.poll() is None:
            if chance.random() < 0.5:
                watched = turn(signal.SIGCONT)
                yield watched, turn(signal.SIGSTOP)
            else:
                alone = turn(signal.SIGSTOP)
                yield turn(signal.SIGCONT), alone


def _carried(counters: Any, device: str, load: Load) -> int:
    """Return the bytes so far: those that the pod was sent by iperf3, or that it sent to be read by HTTP."""
    counters.seek(0)
    line = next(each for each in counters if each.strip().startswith(f"{device}:"))
    fields = line.partition(":")[2].split()
    return int(fields[8] if load == "iperf3" else fields[0])


@contextlib.contextmanager
def _watching(node: Node, pods: tuple[Pod, ...]) -> Iterator[subprocess.Popen[str]]:
    config = {
        "fault": "bench-cost", "inject": [], "window_s": 3600, "container": WEB,
        # While it is stopped it takes nothing: half of the budget is the whole one of the rest of the time.
        "probe": {
            "port": PORT, "path": PATH, "interval_ms": INTERVAL_MS, "deadline_ms": DEADLINE_MS,
            "budget_percent": BUDGET_PERCENT / 2,
        },
        "pods": [described(each) for each in pods],
    }  # fmt: skip
    process = subprocess.Popen(
        [*node.enter(), str(PROGRAM.binary()), "watch"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the watching program has no standard input or output")
        process.stdin.write(json.dumps(config))
        process.stdin.close()
        process.stdin = None
        if not any(json.loads(line)["type"] == "ready" for line in iter(process.stdout.readline, "")):
            raise RuntimeError("the watching program found no pod that answers")
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.communicate()


@contextlib.contextmanager
def _loaded(client: Pod, pod: Pod, load: Load) -> Iterator[None]:
    iperf = ["iperf3", "--client", pod.address, "--time", "3600", "--parallel", "2", "--interval", "60", *CONGESTION]
    ask = [sys.executable, str(Path(__file__).with_name("asking.py")), pod.address, str(PORT), PATH, str(CONNECTIONS)]
    with contextlib.ExitStack() as stack:
        if load == "iperf3":
            stack.enter_context(_running(pod, ["iperf3", "--server", "--one-off"]))
            time.sleep(0.5)
        for command in [iperf] if load == "iperf3" else CLIENTS * [ask]:
            stack.enter_context(_running(client, command))
        yield


@contextlib.contextmanager
def _running(pod: Pod, command: list[str]) -> Iterator[None]:
    process = subprocess.Popen([*pod.enter(), *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait()
