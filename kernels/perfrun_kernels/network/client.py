"""The side that measures: packets first or throughput first, each at its time on the common clock."""

from __future__ import annotations

import itertools
import platform
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import attrs

from perfrun_kernels.contract import Histogram, Scalar, Series, Table
from perfrun_kernels.faults import BrokenMeasurementError, UnmeasurableError
from perfrun_kernels.network import iperf, netpath
from perfrun_kernels.network.iperf import GIGA, Throughput
from perfrun_kernels.network.parameters import ClientParameters, Packets, Slice
from perfrun_kernels.program import Fact, Measurement, Progress

LATE_SECONDS: Final = 0.5
"""How late a slice may begin: later it would reach into another pod's slot."""

NANOSECOND: Final = 1e-9
_KNOCK_SECONDS: Final = 2.0


@attrs.frozen
class Part:
    """What one kind of slot adds to the measurement."""

    series: Mapping[str, Series]
    scalars: Mapping[str, Scalar]
    facts: Mapping[str, Fact]
    histograms: Mapping[str, Histogram] = attrs.field(factory=dict)
    tables: Mapping[str, Table] = attrs.field(factory=dict)


def measure(wanted: ClientParameters, progress: Progress) -> Measurement:
    """Measure in all slots and return what was found.

    Raises:
        UnmeasurableError: a program is missing, the server cannot be reached or only by TCP, a kernel gives no
            timestamps, or this pod was ready too late.
        BrokenMeasurementError: the server was lost in the middle, or a program broke.
    """
    program = iperf.find()
    facts: dict[str, Fact] = {
        "role": "client", "peer_address": wanted.peer, "port": wanted.port, "streams": wanted.streams,
        "kernel": platform.release(), "iperf3": iperf.version(program),
    }  # fmt: skip
    parts: list[Part] = []
    slices: list[Throughput] = []
    for slot in wanted.slots:
        if isinstance(slot, Packets):
            progress(f"sending {slot.rate:g} packets a second to {wanted.peer} for {slot.seconds:g} s")
            parts.append(_packets(wanted, slot))
        else:
            slices.append(_slice(wanted, program, slot, begun=bool(parts or slices)))
            progress(f"{slices[-1].gbit / slices[-1].seconds:.2f} Gbit/s to {wanted.peer}")
    if slices:
        parts.append(throughput(slices))
    merged: dict[str, dict[str, Any]] = {
        field.name: dict(itertools.chain.from_iterable(getattr(each, field.name).items() for each in parts))
        for field in attrs.fields(Part)
    }
    merged["facts"] = facts | merged["facts"]
    return Measurement(started=wanted.start_at, finished=time.time(), **merged)


def _packets(wanted: ClientParameters, slot: Packets) -> Part:
    config = {
        "address": wanted.peer, "port": wanted.port, "start_at": wanted.start_at + slot.at, "seconds": slot.seconds,
        "rate": slot.rate, "bytes": slot.size,
    }  # fmt: skip
    try:
        return packets(netpath.send(config), slot)
    except netpath.SilentPeerError as error:
        raise silence(str(error), answers_tcp(wanted.peer, wanted.port + 1)) from error


def silence(said: str, tcp: bool) -> UnmeasurableError:
    """Return what it means that no packet was answered; ``tcp`` says whether the server takes TCP connections."""
    if tcp:
        msg = f"{said}, though it takes TCP connections: let network policies and packet filters pass UDP"
        return UnmeasurableError("NoUDP", msg)
    msg = f"{said}, nor does it take TCP connections: look at the pod that serves, and at network policies"
    return UnmeasurableError("NoPeer", msg)


def answers_tcp(address: str, port: int) -> bool:
    """Say whether somebody takes TCP connections there."""
    try:
        with socket.create_connection((address, port), timeout=_KNOCK_SECONDS):
            return True
    except OSError:
        return False


def packets(report: Mapping[str, Any], slot: Packets) -> Part:
    """Read the packet program's report."""
    server, sent = report["server"], report["sent"]
    received = server["received"]
    overflowed = min(server["overflowed"], sent - received)
    counts = {
        "scheduled": report["scheduled"], "sent": sent, "refused": report["refused"], "unsent": report["unsent"],
        "received": received, "overflowed": overflowed, "lost": sent - received - overflowed,
        "duplicates": server["duplicates"], "reordered": server["reordered"], "answered": report["answered"],
        "answers_overflowed": report["answers_overflowed"], "marked": report["marked"],
        "timestamped": len(report["round_trips"]),
    }  # fmt: skip
    scalars = {name: Scalar("packets", float(count)) for name, count in counts.items()}
    scalars |= {
        "packets.started": Scalar("s", report["started_at"]),
        "packets.finished": Scalar("s", report["finished_at"]),
        "packets.rate": Scalar("1/s", report["rate"]),
    }
    return Part(
        series={"rtt.kernel": Series("s", [each / GIGA for each in report["round_trips"]])},
        scalars=scalars,
        facts={name: report[name] for name in ("address", "device", "mtu", "same_kernel")}
        | {"packet_bytes": slot.size},
        histograms={name: Histogram("s", NANOSECOND, data) for name, data in report["histograms"].items()},
    )


def _slice(wanted: ClientParameters, program: str, slot: Slice, *, begun: bool) -> Throughput:
    wait_until(wanted.start_at + slot.at, time.time, time.sleep)
    try:
        return iperf.measure(program, wanted.peer, wanted.port + 1, slot.seconds, wanted.streams)
    except iperf.UnreachableError as error:
        told = f"{wanted.peer} port {wanted.port + 1} takes no TCP connections ({error})"
        if begun:
            raise BrokenMeasurementError("PeerLost", f"{told}, and did before") from error
        msg = f"{told}: look at the pod that serves, and at network policies"
        raise UnmeasurableError("NoPeer", msg) from error


def wait_until(moment: float, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
    """Sleep until a moment in seconds since the epoch.

    Raises:
        UnmeasurableError: it is over for longer than a slice may be late.
    """
    late = clock() - moment
    if late > LATE_SECONDS:
        msg = f"throughput was to begin {late:.1f} s before this pod was ready: raise load.lead in the target"
        raise UnmeasurableError("LateStart", msg)
    sleep(max(0.0, -late))


def throughput(slices: Sequence[Throughput]) -> Part:
    """Put slices together; CPU is per Gbit that was received, of each side."""
    rates = [rate for each in slices for rate in each.rates]
    starts = list(itertools.accumulate((len(each.rates) for each in slices[:-1]), initial=0))
    gbit = sum(each.gbit for each in slices)
    resent = [each.retransmits for each in slices if each.retransmits is not None]
    unknown = "this kernel does not count retransmits of a connection"
    columns = ["started", "seconds", "gbit", "retransmits", "cpu_client", "cpu_server"]
    return Part(
        series={"throughput": Series("Gbit/s", rates, starts)},
        scalars={
            "retransmits": Scalar("segments", sum(resent)) if resent else Scalar("segments", None, unknown),
            "cpu.client": _per(gbit, sum(each.cpu_client for each in slices)),
            "cpu.server": _per(gbit, sum(each.cpu_server for each in slices)),
        },
        facts={"congestion": ", ".join(sorted({each.congestion for each in slices if each.congestion}))},
        tables={"slices": Table(columns, [[float(getattr(each, name) or 0.0) for name in columns] for each in slices])},
    )


def _per(gbit: float, seconds: float) -> Scalar:
    if gbit > 0:
        return Scalar("s/Gbit", seconds / gbit)
    return Scalar("s/Gbit", None, "nothing was received")
