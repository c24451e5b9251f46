"""How soon a latency spike is seen, and whether container and stage of the kernel are told right, of many of each kind.

One node with three pods is made of namespaces and cgroups, without Kubernetes; the agent that a run starts on a real
node is started on it, makes every kind of spike again and again, and hands in what it saw. That is done on an idle
node, and under the highest load that is offered and answered well, which is found beforehand. Generator, servers and
agent share this machine's cores.

A delay runs from the moment at which an injection took effect to the alarm. An injection that was not seen counts as a
container and a stage that were told wrong. A false alarm is one whose own events in the kernel do not prove that an
answer was held up beyond the deadline; those of ten minutes at peak load are counted. What being watched costs is
seen by iperf3 between two of the pods, in turns with an agent and without. iperf3 alone takes all of two cores, so that
every microsecond of an agent, and of the servers that answer its probes, is lost to it; an agent that watches one pod
asks a thousand times a second, one that watches three asks thrice as often.

It needs root. ``--rounds 2 --quiet-seconds 5 --turns 1`` is a quick look.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import attrs
from spikebed import loading, scoring
from spikebed.agent import DEADLINE_MS, LASTS_MS, LEAD, Agent
from spikebed.node import SANDBOX, SIDE, WEB, Node, Pod, node
from spikebed.scoring import KINDS, Outcome

from perfrun_kernels.contract import Result

Row = tuple[str, float, float, float, float]

PODS: Final = 3
ROUNDS: Final = 200
AT_ONCE: Final = 50
"""Rounds of one agent's order."""

QUIET_SECONDS: Final = 600.0
TURNS: Final = 10
TURN_SECONDS: Final = 3
CONTROLS: Final = 20
INJECTION_SECONDS: Final = 1.0
"""Longest time that an injection may need on a busy node, what lies between two of them included."""

DETECT_MS: Final = 5.0
CONTAINER_WRONG: Final = 1.0
STAGE_WRONG: Final = 5.0
COST: Final = 3.0
SHOWN: Final = 12
"""How many wrong answers are printed."""

NONE: Final = 0.5
"""A promise of none, as a limit that has to be greater than 0."""


@attrs.frozen
class Size:
    """How much is measured."""

    rounds: int = ROUNDS
    quiet_seconds: float = QUIET_SECONDS
    turns: int = TURNS
    controls: int = CONTROLS


@attrs.frozen
class Lab:
    """A node, its pods that are watched, and the one from which load comes."""

    node: Node
    pods: tuple[Pod, ...]
    client: Pod

    def names(self) -> list[list[str]]:
        """Return the names of each pod's containers, as an order lists them."""
        return [[f"{pod.name}/{each.name}" for each in pod.containers if each.name != SANDBOX] for pod in self.pods]


def run(size: Size = Size(), say: Callable[[str], None] = print) -> list[Row]:
    """Return rows of name, median, least, most and the promised limit; times in milliseconds.

    Raises:
        PermissionError: not root.
        RuntimeError: an agent refused, or handed nothing in.
    """
    if os.geteuid() != 0:
        msg = "namespaces, cgroups and agents need root"
        raise PermissionError(msg)
    with node(PODS + 1) as made:
        lab = Lab(made, made.pods[:PODS], made.pods[PODS])
        loading.share(made, lab.pods)
        rows = _state(lab, "idle", size, say)
        rows += _beside(lab, size, say)
        rows += _cost(lab, size, say)
        rate = loading.peak(lab.client)
        say(f"spikes: the peak load is {rate:.0f}/s")
        rows.append(("peak load that the pods answer well, 1/s", rate, rate, rate, 0))
        with _loaded(lab, rate, size):
            rows += _state(lab, "at peak load", size, say)
            rows += _quiet(lab, size, say)
    return rows


@contextlib.contextmanager
def _loaded(lab: Lab, rate: float, size: Size) -> Any:
    longest = 2 * (size.rounds * len(KINDS) * INJECTION_SECONDS + size.quiet_seconds) + 300
    with loading.load(lab.client, rate, longest):
        # The generator opens its connections first, and the servers fill their caches.
        time.sleep(2)
        yield


def _state(lab: Lab, state: str, size: Size, say: Callable[[str], None]) -> list[Row]:
    """Make every kind of spike as often as asked; print what was taken for what."""
    found: list[Outcome] = []
    results: list[Result] = []
    left = size.rounds
    while left:
        rounds = min(left, AT_ONCE)
        results.append(Agent(lab.node, lab.pods, KINDS, rounds, rounds * len(KINDS) * INJECTION_SECONDS).result())
        found += scoring.outcomes(results[-1], lab.names(), truth=0)
        left -= rounds
        say(f"spikes: {state}: {len(found)} of {size.rounds * len(KINDS)} injections, source {_source(results[-1])}")
    say(scoring.matrix(f"{state}: container", ((each.truth, each.named) for each in found)))
    say(scoring.matrix(f"{state}: stage", ((f"{each.kind}", each.stage) for each in found)))
    for each in [each for each in found if not (each.place_right and each.stage_right)][:SHOWN]:
        say(f"spikes: {state}: wrong: {each.truth}: {each.why}")
    return [
        *(row for kind in KINDS for row in _delays(state, kind, [each for each in found if each.kind == kind])),
        _share(
            f"{state}: container told wrong, % of {len(found)}", [not e.place_right for e in found], CONTAINER_WRONG
        ),
        _share(f"{state}: stage told wrong, % of {len(found)}", [not e.stage_right for e in found], STAGE_WRONG),
        _alone(f"{state}: false alarms meanwhile", sum(_scalar(each, "false_alarms") for each in results), 0),
        _alone(f"{state}: deadline of a probe", 1000 * max(_scalar(each, "deadline") for each in results), 0),
    ]


def _beside(lab: Lab, size: Size, say: Callable[[str], None]) -> list[Row]:
    """Hold the container up that nobody probes: whoever answers must not be blamed.

    It may have a spike of its own meanwhile; that one is laid to something else than what was done to its neighbour.
    """
    kinds = ("quota", "freezer")
    seconds = size.controls * len(kinds) * INJECTION_SECONDS
    result = Agent(lab.node, lab.pods, kinds, size.controls, seconds, container=SIDE).result()
    found = scoring.outcomes(result, lab.names(), truth=1)
    blamed = [each for each in found if each.delay is not None and each.stage_right and not each.place_right]
    say(scoring.matrix("control: container", ((each.truth, each.named) for each in found)))
    return [_alone(f"fault in the container beside it: the wrong one blamed, of {len(found)}", len(blamed), NONE)]


def _quiet(lab: Lab, size: Size, say: Callable[[str], None]) -> list[Row]:
    """Watch at peak load and do nothing else."""
    result = Agent(lab.node, lab.pods, (), 1, size.quiet_seconds).result()
    kinds = scoring.natural(result)
    say(f"spikes: nobody made any in {_scalar(result, 'watched'):.0f} s: {dict(kinds) or 'none seen'}")
    what = f"in {size.quiet_seconds:g} s at peak load"
    return [
        _alone(f"false alarms {what}", _scalar(result, "false_alarms"), NONE),
        _alone(f"alarms with a proven delay {what}", sum(kinds.values()), 0),
    ]


def _cost(lab: Lab, size: Size, say: Callable[[str], None]) -> list[Row]:
    """Take turns without an agent, with one that watches one pod, and with one that watches all."""
    server = subprocess.Popen(
        [*lab.pods[0].enter(), "iperf3", "--server"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    watched = (0, 1, len(lab.pods))
    rates: dict[int, list[float]] = {count: [] for count in watched}
    try:
        time.sleep(0.5)
        for turn in range(size.turns):
            # Each is first in turn, so that what changes with time changes for all of them.
            for position in range(len(watched)):
                count = watched[(turn + position) % len(watched)]
                rates[count].append(_throughput(lab, lab.pods[:count]))
            say(f"spikes: Gbit/s by pods watched: {', '.join(f'{each}: {rates[each][-1]:.2f}' for each in watched)}")
    finally:
        server.terminate()
        server.wait()
    rows = [_row("pod to pod, Gbit/s, nobody watches", rates[0], 0)]
    for count in watched[1:]:
        lost = [100 * (1 - armed / free) for armed, free in zip(rates[count], rates[0], strict=True)]
        what = f"throughput lost while {count} of {len(lab.pods)} pods {'is' if count == 1 else 'are'} watched, %"
        rows.append(_row(what, lost, COST if count == 1 else 0))
    return rows


def _throughput(lab: Lab, watched: tuple[Pod, ...]) -> float:
    agent = Agent(lab.node, watched, (), 1, 60.0) if watched else None
    try:
        if agent is not None:
            time.sleep(LEAD + 0.5)
            if agent.process.poll() is not None:
                agent.result()
        command = ["iperf3", "--client", lab.pods[0].address, "--time", str(TURN_SECONDS), "--json", "--parallel", "2"]
        said = subprocess.run([*lab.pods[1].enter(), *command], check=True, capture_output=True, text=True).stdout
        return float(json.loads(said)["end"]["sum_received"]["bits_per_second"]) / 1e9
    finally:
        if agent is not None:
            agent.stop()


def _delays(state: str, kind: str, found: list[Outcome]) -> list[Row]:
    delays = [each.delay for each in found if each.delay is not None]
    name, missed = f"{kind}, {state}: effect → alarm", len(found) - len(delays)
    if not delays:
        return [(f"{name}: never seen, of {len(found)}", *(float("nan"),) * 3, 0.0)]
    unseen = f", {missed} not seen" if missed else ""
    return [
        (f"{name}, p99 of {len(found)}{unseen}", scoring.p99(delays), min(delays), max(delays), DETECT_MS),
        _row(name, delays, 0),
    ]


def _row(name: str, values: list[float], limit: float) -> Row:
    return (name, statistics.median(values), min(values), max(values), limit)


def _share(name: str, wrong: list[bool], limit: float) -> Row:
    return _alone(name, 100 * sum(wrong) / max(1, len(wrong)), limit)


def _alone(name: str, value: float, limit: float) -> Row:
    return (name, value, value, value, limit)


def _scalar(result: Result, name: str) -> float:
    value = result.scalars[name].value
    if value is None:
        raise RuntimeError(f"the agent could not tell {name}: {result.scalars[name].reason}")
    return value


def _source(result: Result) -> str:
    return str(result.facts.get("source", "unknown"))


def main() -> int:
    """Print the rows; return 1 where a promise is not kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="injections of each kind, idle and loaded")
    parser.add_argument("--quiet-seconds", type=float, default=QUIET_SECONDS, help="how long false alarms are counted")
    parser.add_argument("--turns", type=int, default=TURNS, help="turns with an agent and without")
    options = parser.parse_args()
    size = Size(options.rounds, options.quiet_seconds, options.turns, min(CONTROLS, options.rounds))
    print(f"{PODS} pods, probes due within {DEADLINE_MS:g} ms, spikes of {LASTS_MS:g} ms in container {WEB}")
    broken = False
    for name, *values, limit in run(size):
        kept = not limit or values[0] <= limit
        broken |= not kept
        print(
            f"{name:<70}" + "".join(f"{each:>10.4g}" for each in values) + ("" if kept else f"  promised < {limit:g}")
        )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
