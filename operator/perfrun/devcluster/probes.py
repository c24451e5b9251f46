"""The smallest questions that show a server to be there: a connection, an HTTP request, a name."""

import contextlib
import secrets
import socket
import struct
import urllib.request
from http import HTTPStatus
from pathlib import Path


def accepts(path: Path) -> bool:
    """Whether something listens on the UNIX socket."""
    with socket.socket(socket.AF_UNIX) as connection:
        return connection.connect_ex(str(path)) == 0


def answers(url: str) -> bool:
    """Whether the URL answers with success."""
    # Only ever an address of the cluster, by http; other schemes are not passed in.
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=1) as answer:  # noqa: S310
        return bool(answer.status == HTTPStatus.OK)
    return False


def resolves(server: str, name: str) -> bool:
    """Whether the DNS server has an address for the name (RFC 1035, one question of type A over UDP)."""
    identifier = secrets.randbits(16)
    question = (
        b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0" + struct.pack("!HH", 1, 1)
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection:
        connection.settimeout(0.5)
        try:
            connection.sendto(struct.pack("!6H", identifier, 0x0100, 1, 0, 0, 0) + question, (server, 53))
            answer = connection.recv(512)
        except OSError:
            return False
    found, flags, _, answers_count = struct.unpack("!4H", answer[:8])
    return bool(found == identifier and flags & 0x000F == 0 and answers_count > 0)
