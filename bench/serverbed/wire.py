"""What went over the wire, stamped by the kernel: a witness that is no client, and to which every client can be held.

Run as a program it listens on loopback until its input ends, and needs root for it.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import select
import socket
import struct
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TEXT: Final = re.compile(rb'"content":\s*"[^"]')
ASKS: Final = b"POST "
ALL_PROTOCOLS: Final = 3
ETHERNET_BYTES: Final = 14
TCP: Final = 6
STAMP: Final = 35
"""``SO_TIMESTAMPNS``, which Python's socket module does not name."""

BUFFER: Final = 33
"""``SO_RCVBUFFORCE``, the same."""

BUFFER_BYTES: Final = 64 << 20
IDLE_SECONDS: Final = 0.1
LONGEST_BYTES: Final = 8192


@attrs.frozen
class Packet:
    """A packet with a payload: when, in seconds; the client's port; whether it asks; how many pieces of text it has."""

    at: float
    client: int
    asks: bool
    texts: int


@contextlib.contextmanager
def listening(port: int) -> Iterator[list[Packet]]:
    """Yield a list that holds, afterwards, what went to and from the server at ``port`` meanwhile.

    Raises:
        PermissionError: one must be root to listen.
    """
    found = list[Packet]()
    command = [sys.executable, __file__, str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as listener:
        if listener.stdout is None or not listener.stdout.readline():
            raise PermissionError("nothing can listen on loopback: run this as root")
        yield found
        heard, _ = listener.communicate()
        found += [Packet(*each) for each in json.loads(heard)]


def passed(packets: Sequence[Packet]) -> list[tuple[float, tuple[float, ...]]]:
    """Return when each request passed, and each piece of text that answered it; those without text are left out."""
    latest = dict[int, list[float]]()
    found = list[tuple[float, list[float]]]()
    for packet in sorted(packets, key=lambda each: each.at):
        if packet.asks:
            latest[packet.client] = []
            found.append((packet.at, latest[packet.client]))
        elif packet.client in latest:
            latest[packet.client] += [packet.at] * packet.texts
    return [(sent, tuple(arrivals)) for sent, arrivals in found if arrivals]


def read(frame: bytes, port: int, at: float) -> Packet | None:
    """Return what a frame of IPv4 has of a server's stream; None where it is of others, or has no payload.

    ``at`` is its stamp. A frame passes twice, going out and coming in: the caller gives one of the two.
    """
    if len(frame) < ETHERNET_BYTES + 40 or frame[ETHERNET_BYTES + 9] != TCP:
        return None
    segment = ETHERNET_BYTES + 4 * (frame[ETHERNET_BYTES] & 15)
    source, target = struct.unpack_from("!HH", frame, segment)
    payload = frame[segment + 4 * (frame[segment + 12] >> 4) :]
    if not payload or port not in (source, target):
        return None
    if source == port:
        return Packet(at, target, asks=False, texts=len(TEXT.findall(payload)))
    return Packet(at, source, asks=payload.startswith(ASKS), texts=0)


def _listen(port: int) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL_PROTOCOLS)) as wire:
        wire.setsockopt(socket.SOL_SOCKET, BUFFER, BUFFER_BYTES)
        wire.setsockopt(socket.SOL_SOCKET, STAMP, 1)
        wire.bind(("lo", 0))
        print("listening", flush=True)
        found, last, at = list[Packet](), math.inf, 0.0
        while at < last:  # others' packets may never end: their stamps tell when enough are read
            ready = select.select([wire, *([sys.stdin] if last == math.inf else [])], [], [], IDLE_SECONDS)[0]
            if sys.stdin in ready:
                last = time.time()
            if wire not in ready:
                at = time.time()
                continue
            frame, said, _, address = wire.recvmsg(LONGEST_BYTES, socket.CMSG_SPACE(16))
            seconds, nanoseconds = struct.unpack("qq", said[0][2])
            at = seconds + nanoseconds / 1e9
            packet = read(frame, port, at) if address[2] == socket.PACKET_HOST else None
            if packet is not None:
                found.append(packet)
    print(json.dumps([attrs.astuple(each) for each in found]))


if __name__ == "__main__":
    _listen(int(sys.argv[1]))
