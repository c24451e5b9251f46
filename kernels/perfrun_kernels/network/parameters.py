"""What the network program can be asked, checked before anything is sent.

All slots are on one clock: ``at`` counts from ``start_at``, which all pods of a stage are given alike, so that only
one of them measures at a time.
"""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Mapping
from typing import Any, Final

import attrs

from perfrun_kernels.arguments import Arguments

ROLES: Final = ("server", "client")
MOST_PACKETS: Final = 1_000_000
"""Packets of one measurement: each has its times in the result."""

MOST_SLICES: Final = 1000
_MOST_SECONDS: Final = 86_400.0
_LEAST_PORT, _MOST_PORT = 1024, 65_534
_LEAST_BYTES, _MOST_BYTES = 64, 1400


@attrs.frozen
class Packets:
    """``rate`` UDP packets a second of ``size`` bytes each, for ``seconds`` from ``at``."""

    at: float
    seconds: float
    rate: float
    size: int

    @property
    def end(self) -> float:
        """When the last one is sent."""
        return self.at + self.seconds


@attrs.frozen
class Slice:
    """Whole ``seconds`` of TCP throughput from ``at``."""

    at: float
    seconds: int

    @property
    def end(self) -> float:
        """When it ends."""
        return self.at + self.seconds


@attrs.frozen
class ServerParameters:
    """Serve packets on UDP ``port`` and throughput on TCP ``port`` + 1, until ``seconds`` after ``start_at``."""

    port: int
    start_at: float
    seconds: float


@attrs.frozen
class ClientParameters:
    """Measure the way to ``peer`` with packets, if any, and in slices, if any."""

    port: int
    start_at: float
    peer: str
    streams: int
    packets: Packets | None
    slices: tuple[Slice, ...]

    @property
    def slots(self) -> tuple[Packets | Slice, ...]:
        """Packets and slices, by when they begin."""
        return ordered(self.packets, self.slices)

    @property
    def seconds(self) -> float:
        """The length of all slots, from ``start_at`` to the last one's end."""
        return max(each.end for each in self.slots)


def ordered(packets: Packets | None, slices: tuple[Slice, ...]) -> tuple[Packets | Slice, ...]:
    """Return packets and slices by when they begin."""
    slots: list[Packets | Slice] = [*slices, *([packets] if packets else [])]
    return tuple(sorted(slots, key=lambda each: each.at))


def parse(data: Mapping[str, Any]) -> ServerParameters | ClientParameters:
    """Read the program's parameters.

    ``role``: server or client; ``port``: UDP, the next one TCP; ``start_at``: seconds since the epoch. A server has
    ``seconds``. A client has ``peer_address`` (IPv4 or IPv6), ``streams`` (TCP connections in parallel), ``packets``:
    {``at``, ``seconds``, ``rate``, ``bytes``}, and ``slices``: a list of {``at``, ``seconds``}, or one of the two.

    Raises:
        ParametersError: something is missing, unknown or out of bounds; the message names all of it.
    """
    arguments = Arguments(data)
    role = arguments.choice("role", "", ROLES)
    port = arguments.integer("port", least=_LEAST_PORT, most=_MOST_PORT)
    if role == "server":
        start_at = arguments.number("start_at", 0.0, least=0)
        server = ServerParameters(port, start_at, arguments.number("seconds", above=0, most=_MOST_SECONDS))
        arguments.finish()
        return server
    peer = arguments.text("peer_address")
    if peer is None or not _is_address(peer):
        arguments.complain("peer_address", peer, "the IP address of the pod that serves")
    slices = tuple(_slice(each) for each in arguments.items("slices"))
    packets = _packets(arguments) if arguments.has("packets") else None
    if packets is None and not slices:
        arguments.complain("slices", [], "at least one {at, seconds}, or packets")
    if len(slices) > MOST_SLICES:
        arguments.complain("slices", f"{len(slices)} of them", f"at most {MOST_SLICES}")
    for before, after in itertools.pairwise(ordered(packets, slices)):
        if after.at < before.end:
            arguments.complain("slices", f"one at {after.at:g} s", f"none that begins before {before.end:g} s")
    client = ClientParameters(
        port, arguments.number("start_at", above=0), peer or "",
        arguments.integer("streams", 4, least=1, most=128), packets, slices,
    )  # fmt: skip
    arguments.finish()
    return client


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _packets(arguments: Arguments) -> Packets:
    given = arguments.child("packets")
    found = Packets(
        given.number("at", least=0, most=_MOST_SECONDS),
        given.number("seconds", above=0, most=_MOST_SECONDS),
        given.number("rate", above=0, most=MOST_PACKETS),
        given.integer("bytes", _LEAST_BYTES, least=_LEAST_BYTES, most=_MOST_BYTES),
    )
    if not 1 <= int(found.rate * found.seconds) <= MOST_PACKETS:
        given.complain("rate", f"{found.rate:g}/s for {found.seconds:g} s", f"1 to {MOST_PACKETS} packets in all")
    return found


def _slice(given: Arguments) -> Slice:
    at = given.number("at", least=0, most=_MOST_SECONDS)
    # iperf3 knows whole seconds only.
    return Slice(at, int(given.number("seconds", least=1, most=_MOST_SECONDS)))
