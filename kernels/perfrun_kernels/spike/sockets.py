"""Which process owns a listening socket, as /proc shows it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
_LISTEN: Final = "0A"
_TABLES: Final = ("net/tcp", "net/tcp6")


def listeners(pids: Sequence[int], port: int) -> set[int]:
    """Return which of ``pids``, all of one network namespace, hold a socket that listens on TCP ``port``.

    A process that ends meanwhile, or may not be looked at, is left out.
    """
    inodes: set[str] = set()
    for pid in pids:
        inodes = _listening(pid, port)
        if inodes:
            break
    return {pid for pid in pids if inodes & _sockets(pid)}


def _listening(pid: int, port: int) -> set[str]:
    found = set()
    for table in _TABLES:
        with suppress(OSError):
            for line in (PROC / str(pid) / table).read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                    found.add(f"socket:[{fields[9]}]")
    return found


def _sockets(pid: int) -> set[str]:
    found = set()
    with suppress(OSError):
        for entry in os.scandir(PROC / str(pid) / "fd"):
            with suppress(OSError):
                found.add(str(Path(entry.path).readlink()))
    return found
