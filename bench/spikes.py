"""How soon a latency spike is seen, and whether container and stage of the kernel are told right, of many of each kind.

One node with three pods is made of namespaces and cgroups, without Kubernetes; the agent that a run starts on a real
node is started on it, makes every kind of spike again and again, and hands in what it saw. That is done on an idle
node, and under the highest load that is offered and answered well, which is found beforehand. Generator, servers and
agent share this machine's cores.

A delay runs from the moment at which an injection took effect to the alarm. An injection that was not seen counts as a
container and a stage that were told wrong. A false alarm is one whose own events in the kernel do not prove that an
answer was held up beyond the deadline; those of ten minutes at peak load are counted. What being watched costs is
told by iperf3 and by clients that never rest, while a pod is watched and is not, by turns of some hundredths of a
second (``spikebed.cost``): both take all of two cores, so that every microsecond is lost to them.

It needs root, and half an hour on a quiet machine. ``python bench/spikes.py --minutes 8`` measures for about so long
and keeps what it has in build/spikes.json; called again, it goes on from there, and shows the rows of what there is.
``--rounds 2 --quiet-seconds 5 --cost-seconds 5`` is a quick look.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import attrs
from spikebed import cost, loading, scoring
from spikebed.agent import DEADLINE_MS, LASTS_MS, Agent
from spikebed.kept import Kept
from spikebed.node import SANDBOX, SIDE, WEB, Node, Pod, node
from spikebed.scoring import KINDS
from spikebed.table import AGENTS, BESIDE, IDLE, LOADED, LOADS, PEAK, PODS, QUIET, WATCHED, Row, cost_name, rows

from perfrun_kernels.contract import Result
from perfrun_kernels.spike.watching import PROGRAM

Say = Callable[[str], None]

ROUNDS: Final = 200
AT_ONCE: Final = 20
"""Rounds of one agent's order."""

QUIET_SECONDS: Final = 600.0
QUIET_AT_ONCE: Final = 60.0
COST_SECONDS: Final = 100.0
COST_AT_ONCE: Final = 25.0
CONTROLS: Final = 20
INJECTION_SECONDS: Final = 1.0
"""Longest time that an injection may need on a busy node, what lies between two of them included."""

KEPT: Final = Path(__file__).parents[1] / "build" / "spikes.json"


@attrs.frozen
class Size:
    """How much is measured."""

    rounds: int = ROUNDS
    quiet_seconds: float = QUIET_SECONDS
    cost_seconds: float = COST_SECONDS
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


def run(size: Size = Size(), say: Say = print) -> list[Row]:
    """Measure all, and return rows of name, median, least, most and the promised limit; times in milliseconds.

    Raises:
        PermissionError: not root.
        RuntimeError: an agent refused, or handed nothing in.
    """
    with tempfile.TemporaryDirectory(prefix="perfrun-spikes-") as folder:
        kept = Kept.at(Path(folder) / "spikes.json", PROGRAM.binary().name)
        measure(kept, size, float("inf"), say)
        return rows(kept, say)


def measure(kept: Kept, size: Size, seconds: float, say: Say = print) -> bool:
    """Go on measuring for about so long, and return whether all is there."""
    if os.geteuid() != 0:
        msg = "namespaces, cgroups and agents need root"
        raise PermissionError(msg)
    until = time.monotonic() + seconds
    with node(PODS + 1) as made:
        lab = Lab(made, made.pods[:PODS], made.pods[PODS])
        loading.share(made, lab.pods)
        for part in _parts(lab, kept, size, say):
            if time.monotonic() >= until:
                return False
            part()
    return True


def _parts(lab: Lab, kept: Kept, size: Size, say: Say) -> Iterator[Callable[[], None]]:
    """Yield one piece of what lacks after the other; each is done before the next is asked for."""
    while (left := size.rounds - _made(kept, IDLE)) > 0:
        yield lambda left=left: _inject(lab, kept, IDLE, left, say)  # type: ignore[misc]
    if not kept.get(BESIDE):
        yield lambda: _beside(lab, kept, size)
    for load in LOADS:
        for count in WATCHED:
            name = cost_name(load, count)
            while (have := sum(each["seconds"] for each in kept.get(name))) < size.cost_seconds:
                yield lambda have=have, load=load, count=count: _cost(lab, kept, load, count, size.cost_seconds - have)  # type: ignore[misc]
    if not kept.get(PEAK):
        yield lambda: kept.add(PEAK, [loading.peak(lab.client)])
    while (left := size.rounds - _made(kept, LOADED)) > 0:
        yield lambda left=left: _inject(lab, kept, LOADED, left, say)  # type: ignore[misc]
    while (lack := size.quiet_seconds - sum(each["seconds"] for each in kept.get(QUIET))) > 0:
        yield lambda lack=lack: _quiet(lab, kept, lack)  # type: ignore[misc]


@contextlib.contextmanager
def _loaded(lab: Lab, kept: Kept, seconds: float) -> Iterator[None]:
    with loading.load(lab.client, kept.get(PEAK)[0], seconds + 60):
        # The generator opens its connections first, and the servers fill their caches.
        time.sleep(2)
        yield


def _inject(lab: Lab, kept: Kept, state: str, left: int, say: Say) -> None:
    """Make every kind of spike some times."""
    rounds = min(left, AT_ONCE)
    seconds = rounds * len(KINDS) * INJECTION_SECONDS
    with _loaded(lab, kept, seconds) if state == LOADED else contextlib.nullcontext():
        result = Agent(lab.node, lab.pods, KINDS, rounds, seconds).result()
    found = [attrs.asdict(each) for each in scoring.outcomes(result, lab.names(), truth=0)]
    if not found:
        raise RuntimeError(f"{state}: no spike took effect: {_refused(result)}")
    asked = ("false_alarms", "deadline", "interval.max", "cost.mean", "injections.overlaid")
    told = {name: _scalar(result, name) for name in asked}
    source = str(result.facts.get("source", "unknown"))
    kept.add(state, found)
    kept.add(AGENTS[state], [{"rounds": rounds, "source": source, **told}])
    say(f"spikes: {state}: {_made(kept, state)} rounds{_refused(result)}")


def _made(kept: Kept, state: str) -> int:
    return sum(each["rounds"] for each in kept.get(AGENTS[state]))


def _refused(result: Result) -> str:
    told = [f"{name}: {why}" for name, why in result.facts.items() if name.startswith("refused.")]
    return f"; {'; '.join(told)}" if told else ""


def _beside(lab: Lab, kept: Kept, size: Size) -> None:
    """Hold the container up that nobody probes: whoever answers must not be blamed.

    It may have a spike of its own meanwhile; that one is laid to something else than what was done to its neighbour.
    """
    kinds = ("quota", "freezer")
    seconds = size.controls * len(kinds) * INJECTION_SECONDS
    result = Agent(lab.node, lab.pods, kinds, size.controls, seconds, container=SIDE).result()
    kept.add(BESIDE, [attrs.asdict(each) for each in scoring.outcomes(result, lab.names(), truth=1)])


def _quiet(lab: Lab, kept: Kept, lack: float) -> None:
    """Watch at peak load and do nothing else."""
    seconds = min(lack, QUIET_AT_ONCE)
    with _loaded(lab, kept, seconds):
        result = Agent(lab.node, lab.pods, (), 1, seconds).result()
    proven = dict(scoring.natural(result))
    kept.add(QUIET, [{"seconds": seconds, "false": _scalar(result, "false_alarms"), "proven": proven}])


def _cost(lab: Lab, kept: Kept, load: cost.Load, count: int, lack: float) -> None:
    seconds = min(lack, COST_AT_ONCE)
    found = cost.sample(lab.node, lab.pods[:count], lab.client, load, seconds)
    kept.add(cost_name(load, count), [{"seconds": seconds, **attrs.asdict(found)}])


def _scalar(result: Result, name: str) -> float:
    value = result.scalars[name].value
    if value is None:
        raise RuntimeError(f"the agent could not tell {name}: {result.scalars[name].reason}")
    return value


def main() -> int:
    """Measure what lacks, print the rows of what there is; return 1 where a promise is not kept, 2 where more lacks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="for how long to go on now; 0 only shows")
    parser.add_argument("--file", type=Path, default=KEPT, help="where it is kept what was measured")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="injections of each kind, idle and loaded")
    parser.add_argument("--quiet-seconds", type=float, default=QUIET_SECONDS, help="how long false alarms are counted")
    parser.add_argument("--cost-seconds", type=float, default=COST_SECONDS, help="for how long each cost is measured")
    options = parser.parse_args()
    size = Size(options.rounds, options.quiet_seconds, options.cost_seconds, min(CONTROLS, options.rounds))
    print(f"{PODS} pods, probes due within {DEADLINE_MS:g} ms, spikes of {LASTS_MS:g} ms in container {WEB}")
    kept = Kept.at(options.file, PROGRAM.binary().name)
    complete = options.minutes > 0 and measure(kept, size, 60 * options.minutes)
    broken = False
    for name, *values, limit in rows(kept):
        held = not limit or values[0] <= limit
        broken |= not held
        print(
            f"{name:<78}" + "".join(f"{each:>10.4g}" for each in values) + ("" if held else f"  promised < {limit:g}")
        )
    if not complete:
        print(f"not all is measured yet; {options.file} has what is: call this again to go on")
        return 2
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
