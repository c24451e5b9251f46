"""Which network interfaces carry the node's traffic to others, asked of the kernel itself (rtnetlink).

Uplinks are the interfaces with a default route in any routing table, and every real network card that is up: clouds
give nodes second cards with tables of their own, and a card may be a port of a bridge. What joins pods to the node
(veth, bridges, tunnels) is left alone, so that traffic within the node stays; what it sends to others leaves by an
uplink.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_NETLINK_ROUTE: Final = 0
_GETLINK: Final = 18
_GETROUTE: Final = 26
_REQUEST_DUMP: Final = 0x301
_ERROR: Final = 2
_DONE: Final = 3
_HEADER: Final = struct.Struct("=IHHII")
_LINK: Final = struct.Struct("=BxHiII")
_ROUTE: Final = struct.Struct("=BBBBBBBBI")
_ATTRIBUTE: Final = struct.Struct("=HH")
_NEXT_HOP: Final = struct.Struct("=HBBi")
_ATTRIBUTE_KIND: Final = 0x3FFF
_IFLA_IFNAME: Final = 3
_IFLA_LINKINFO: Final = 18
_IFLA_INFO_KIND: Final = 1
_RTA_OIF: Final = 4
_RTA_MULTIPATH: Final = 9
_RTN_UNICAST: Final = 1
_IFF_UP: Final = 0x1
_IFF_LOOPBACK: Final = 0x8
_CARDS: Final = (1, 32)
"""ARPHRD_ETHER and ARPHRD_INFINIBAND: what real cards say they are."""


@dataclass(frozen=True)
class Link:
    """An interface; ``virtual`` is one that some driver of the kernel makes up (veth, bridge, bond, tunnel)."""

    index: int
    name: str
    up: bool
    loopback: bool
    card: bool
    virtual: bool


def uplinks() -> list[str]:
    """Return the names of this network namespace's uplinks, sorted.

    Raises:
        OSError: the kernel does not answer.
    """
    return choose(_links(), _default_route_interfaces())


def choose(links: list[Link], with_default_route: set[int]) -> list[str]:
    """Return the names of the uplinks among ``links``, sorted; ``with_default_route`` are indices."""
    return sorted(
        link.name
        for link in links
        if not link.loopback and (link.index in with_default_route or (link.up and link.card and not link.virtual))
    )


def _links() -> list[Link]:
    found = []
    for body in _dump(_GETLINK, _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0)):
        _, kind, index, flags, _ = _LINK.unpack_from(body)
        attributes = dict(_attributes(body[_LINK.size :]))
        name = attributes[_IFLA_IFNAME].rstrip(b"\0").decode()
        up, loopback = bool(flags & _IFF_UP), bool(flags & _IFF_LOOPBACK)
        # A card that is a port of a bridge has information too, but of its master's kind only.
        virtual = _IFLA_INFO_KIND in dict(_attributes(attributes.get(_IFLA_LINKINFO, b"")))
        found.append(Link(index, name, up, loopback, kind in _CARDS, virtual))
    return found


def _default_route_interfaces() -> set[int]:
    found: set[int] = set()
    for family in (socket.AF_INET, socket.AF_INET6):
        for body in _dump(_GETROUTE, _ROUTE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)):
            _, length, _, _, _, _, _, kind, _ = _ROUTE.unpack_from(body)
            if length or kind != _RTN_UNICAST:
                continue
            for attribute, data in _attributes(body[_ROUTE.size :]):
                if attribute == _RTA_OIF:
                    found.add(struct.unpack("=i", data)[0])
                elif attribute == _RTA_MULTIPATH:
                    found.update(_next_hops(data))
    return found


def _next_hops(data: bytes) -> Iterator[int]:
    while len(data) >= _NEXT_HOP.size:
        length, _, _, index = _NEXT_HOP.unpack_from(data)
        yield index
        data = data[_aligned(max(length, _NEXT_HOP.size)) :]


def _dump(kind: int, question: bytes) -> Iterator[bytes]:
    """Yield the body of every message with which the kernel answers (rtnetlink(7))."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_ROUTE) as link:
        link.settimeout(5)
        link.send(_HEADER.pack(_HEADER.size + len(question), kind, _REQUEST_DUMP, 1, 0) + question)
        while True:
            data = link.recv(1 << 20)
            while data:
                length, answer, _, _, _ = _HEADER.unpack_from(data)
                body = data[_HEADER.size : length]
                if answer == _DONE:
                    return
                if answer == _ERROR:
                    number = -struct.unpack_from("=i", body)[0]
                    raise OSError(number, "the kernel did not list its interfaces or routes")
                yield body
                data = data[_aligned(length) :]


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        yield kind & _ATTRIBUTE_KIND, data[_ATTRIBUTE.size : length]
        data = data[_aligned(max(length, _ATTRIBUTE.size)) :]


def _aligned(length: int) -> int:
    return length + 3 & ~3
