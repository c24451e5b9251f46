"""Container networking: what the kernel adds, what gets lost and how much gets through, at the peak load.

A ladder of rates finds the peak load where the target does not state it, another load holds it, and meanwhile pods
measure one path after the other: to a pod on another node, to one on the same node, and between the same nodes without
the container network. Paths take turns for throughput, so that what changes with time changes for all of them.
"""

from __future__ import annotations

import math
from typing import Final

import attrs

from perfrun.api.base import JSON
from perfrun.api.durations import seconds
from perfrun.api.network import Network as NetworkSettings
from perfrun.api.plan import Claim, Stage
from perfrun.api.service import Service
from perfrun.api.target import TargetSpec
from perfrun.capabilities.base import (
    Evidence,
    Measured,
    NotMeasured,
    PlanError,
    ScenarioPlan,
    Settings,
    claim_of,
)
from perfrun.capabilities.network_values import HOST, OTHER, QUANTILE, SAME, measure
from perfrun.capabilities.peak import ladder
from perfrun.capabilities.traffic import PEAK_LATENCY, Segment, load_stage, service_of
from perfrun.capabilities.words.network import NAME, VOCABULARY
from perfrun.language import quantities
from perfrun.language.model import Meaning, Scenario
from perfrun.language.vocabulary import Vocabulary
from perfrun.measuring.percentiles import samples_needed

_UNITS: Final = {subject.key: subject.unit for subject in VOCABULARY.subjects}

_BASELINE: Final = 5.0
"""Seconds of load before anything is measured: connections open, queues fill."""

_TAIL: Final = 2.0

_FIRST: Final = 1.0
"""Seconds in which clients find their servers before they measure."""

_AFTER_PACKETS: Final = 2.0
"""Seconds for late packets, before another path is measured."""

_AFTER_SLICE: Final = 1.0
"""Seconds in which TCP connections of one slice close and those of the next open."""

_SERVED_ON: Final = 3.0
"""Seconds for which servers outlast their clients' last slot."""

_CORRELATION: Final = 20
"""Packets that are taken to be worth one independent one when the time to measure latency is planned."""

_LOST: Final = 2
"""Lost packets with which a promise about loss can still be proven kept."""

_SHORTEST: Final = 2.0
_LONGEST: Final = 600.0
_MOST_PACKETS: Final = 1_000_000


@attrs.frozen
class _Slots:
    """When what is measured, in seconds after the baseline; only one path is measured at any time."""

    packets: dict[str, tuple[float, float]]
    slices: dict[str, list[float]]
    seconds: float


class Network:
    """The capability; see the module."""

    name = NAME

    def vocabulary(self, target: TargetSpec | None) -> Vocabulary:  # noqa: ARG002 -- the same for every target
        """Return the words of container networking."""
        return VOCABULARY

    def plan(self, scenario: Scenario, target: TargetSpec, settings: Settings) -> ScenarioPlan:
        """Return the loads, the pods that measure meanwhile, and the claims on the path to another node.

        Raises:
            PlanError: the target names no Service, or a claim needs more packets than can be sent.
        """
        service, tuning = service_of(scenario, target), target.network
        claimed = scenario.outcomes(NAME)
        keys = {meaning.key for meaning in claimed.values()}
        slots = _slots(
            (OTHER, SAME, HOST) if tuning.host_network else (OTHER, SAME),
            _packet_seconds(scenario, tuning, settings.confidence),
            tuning.rounds if "throughput" in keys else 0,
            _slice_seconds(tuning),
        )
        first = f"s{settings.index + 1}"
        loads = _loads(first, settings.index, service, target, slots)
        pods = _pods(first, loads[-1], target, slots)
        paths: JSON = {path: f"{first}-{_CLIENTS[path]}" for path in slots.packets}
        claims = {
            at: _claim(meaning, f"{first}-{_CLIENTS[OTHER]}", paths=paths, stated_rate=tuning.peak.rate)
            for at, meaning in claimed.items()
        }
        return ScenarioPlan(stages=(*loads, *pods), claims=claims)

    def measure(self, claim: Claim, evidence: Evidence, confidence: float) -> Measured | NotMeasured:
        """Return the value that the pods' measurements give for a claim."""
        return measure(claim, evidence, confidence)


_CLIENTS: Final = {OTHER: "other", SAME: "same", HOST: "host"}


def _claim(meaning: Meaning, stage: str, **parameters: JSON) -> Claim:
    unit = _UNITS[meaning.key]
    limit = quantities.convert(meaning.limit, unit) if meaning.limit is not None else math.nan
    if meaning.key == "kernel_latency":
        parameters["quantile"] = QUANTILE
    return claim_of(meaning, unit, stage, limit, **parameters)


def _loads(first: str, index: int, service: Service, target: TargetSpec, slots: _Slots) -> tuple[Stage, ...]:
    """Return the load that is measured under, after that which finds its rate where it has to be found."""
    peak, size = target.network.peak, target.load.size
    limit = seconds(peak.latency)
    # Where the rate has to be found, this one is a share of it.
    rate = 1.0 if peak.rate is None else peak.rate
    segments = (Segment(_BASELINE, rate), Segment(slots.seconds + _TAIL, rate))
    load = load_stage(f"{first}-load", index, service, target, segments, size, limit)
    # A generator that cannot keep up shows in how far the load was held, and may not keep a verdict from failing.
    load = load.replace(parameters=load.parameters | {"probe": False})
    if peak.rate is not None:
        return (load,)
    climb = load_stage(f"{first}-peak", index, service, target, ladder(peak), size, limit)
    climb = climb.replace(parameters=climb.parameters | {"probe": False, PEAK_LATENCY: limit})
    return climb, load.replace(rate_of=climb.id)


def _slots(paths: tuple[str, ...], packets: tuple[float, float], rounds: int, length: float) -> _Slots:
    """Return who measures when; ``packets`` are the seconds for the path that is judged, and for the others."""
    at, sent = _FIRST, {}
    for path in paths:
        lasts = packets[0] if path == OTHER else packets[1]
        sent[path] = (at, lasts)
        at += lasts + _AFTER_PACKETS
    slices: dict[str, list[float]] = {path: [] for path in paths}
    for _ in range(rounds):
        for path in paths:
            slices[path].append(at)
            at += length + _AFTER_SLICE
    return _Slots(sent, slices, at)


def _packet_seconds(scenario: Scenario, tuning: NetworkSettings, confidence: float) -> tuple[float, float]:
    """Return for how long packets are sent on the path that is judged, and on those to compare it with.

    Raises:
        PlanError: no number of packets proves what is claimed, or more than can be sent would.
    """
    timed = samples_needed(QUANTILE, confidence) * _CORRELATION
    needed = timed
    for claim in scenario.meanings("packet_loss"):
        limit = quantities.convert(claim.limit, "%") / 100 if claim.limit is not None else 0.0
        if limit <= 0:
            msg = (
                f"scenario {scenario.name!r} limits the loss of packets to 0, which no number of packets proves; "
                "state a limit above 0, such as 0.01%"
            )
            raise PlanError(msg)
        if limit < 1:
            needed = max(needed, _packets(limit, confidence))
    lasts = max(_SHORTEST, math.ceil(needed / tuning.packet_rate))
    if lasts > _LONGEST or lasts * tuning.packet_rate > _MOST_PACKETS:
        msg = (
            f"scenario {scenario.name!r} needs {needed} packets, and {_MOST_PACKETS} in {_LONGEST:g} s are the most; "
            "state a higher limit on their loss, or correct network.packetRate of the PerfTarget "
            f"({tuning.packet_rate:g}/s)"
        )
        raise PlanError(msg)
    return lasts, max(_SHORTEST, math.ceil(timed / tuning.packet_rate))


def _packets(limit: float, confidence: float) -> int:
    """Return how many packets prove that fewer than ``limit`` (a share) get lost, where a few of them do."""
    if limit * _MOST_PACKETS < 1:
        # So few may get lost that the count below would be longer than any run.
        return math.ceil(1 / limit)
    return samples_needed(1 - limit, confidence, _LOST)


def _slice_seconds(tuning: NetworkSettings) -> float:
    length = seconds(tuning.slice)
    if length < 1 or length != int(length):
        msg = f"network.slice of the PerfTarget is {tuning.slice}; expected whole seconds, at least 1s"
        raise PlanError(msg)
    return length


def _pods(first: str, load: Stage, target: TargetSpec, slots: _Slots) -> tuple[Stage, ...]:
    """Return the pods that go along with a load, servers before the clients that talk to them."""
    tuning = target.network
    lasts = slots.seconds + _SERVED_ON
    common = Stage(
        id="", scenario=load.scenario, kind="pod", program=NAME, alongside=load.id, offset=_BASELINE, seconds=lasts,
        start_timeout=seconds(target.pods.start_timeout), timeout=load.timeout, attempts=target.pods.attempts,
    )  # fmt: skip
    server: dict[str, JSON] = {"role": "server", "port": tuning.port, "seconds": lasts}

    def client(path: str) -> dict[str, JSON]:
        at, sends = slots.packets[path]
        return {
            "role": "client", "port": tuning.port, "streams": tuning.streams,
            "packets": {"at": at, "seconds": sends, "rate": tuning.packet_rate, "bytes": tuning.packet_bytes},
            "slices": [{"at": each, "seconds": _slice_seconds(tuning)} for each in slots.slices[path]],
        }  # fmt: skip

    names = {name: f"{first}-{name}" for name in ("server", "other", "same", "hostserver", "host")}
    there, here = names["server"], names["other"]
    pods = [
        common.replace(id=there, parameters=server),
        common.replace(id=here, apart=there, peer=there, parameters=client(OTHER)),
        common.replace(id=names["same"], beside=there, peer=there, parameters=client(SAME)),
    ]
    if HOST in slots.packets:
        node = common.replace(host_network=True)
        pods += [
            node.replace(id=names["hostserver"], beside=there, parameters=server),
            node.replace(id=names["host"], beside=here, peer=names["hostserver"], parameters=client(HOST)),
        ]
    return tuple(pods)
