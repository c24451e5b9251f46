"""One agent at a time on a node: what two of them did at once could neither be measured nor be proven undone.

Who is at work holds a socket whose name the kernel keeps for the node's network namespace, and forgets with the
process that holds it. So a dead agent is in nobody's way, and nothing has to be cleaned up.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import struct
import time
from typing import Final

from perfrun_kernels.contract import FaultOrder
from perfrun_kernels.fault import waiting
from perfrun_kernels.fault.refusal import LeftError, RefusedError

NAME: Final = "\0perfrun-fault-agent"

TOLD_SECONDS: Final = 5.0
"""Seconds in which an agent that is told to stop has to have undone its fault, before it is killed."""

KILLED_SECONDS: Final = 2.0

LOOK_SECONDS: Final = 0.02

_CREDENTIALS: Final = struct.Struct("=iII")


def hold(order: FaultOrder) -> socket.socket:
    """Become the node's only agent; wait for an earlier one to end, until the fault's start at most.

    Keep what is returned: the node is this process's for as long as it is open.

    Raises:
        RefusedError: another is still there (reason AnotherAgent), or this one is told to stop (reason Cancelled).
    """
    while True:
        if held := _try():
            return held
        if time.time() >= order.starts_at:
            raise RefusedError(
                "AnotherAgent", f"another fault agent (process {holder() or 'unknown'}) is at work on node {order.node}"
            )
        if waiting.until(min(order.starts_at, time.time() + LOOK_SECONDS)):
            raise RefusedError("Cancelled", f"the agent was told to stop before fault {order.fault} began")


def take_over() -> tuple[socket.socket, int]:
    """End whichever agent is at work, and become the only one; return the ended one's process id too, or 0.

    It is told to stop, so that it undoes its fault and says so itself; only one that does not is killed.

    Raises:
        LeftError: it cannot be ended (reason AgentLeft).
    """
    ended = 0
    for number, seconds in ((signal.SIGTERM, TOLD_SECONDS), (signal.SIGKILL, KILLED_SECONDS)):
        if other := holder():
            ended = other
            _send(other, number)
        give_up = time.monotonic() + seconds
        while True:
            if held := _try():
                return held, ended
            if time.monotonic() > give_up:
                break
            time.sleep(LOOK_SECONDS)
    raise LeftError("AgentLeft", f"a fault agent (process {holder() or 'unknown'}) is at work here and does not end")


def holder() -> int:
    """Return the process id of the agent at work; 0 where there is none, or none that is seen from here."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(0)
        try:
            link.connect(NAME)
        except OSError:
            return 0
        answer = link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(answer)[0])


def _try() -> socket.socket | None:
    held = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        held.bind(NAME)
        # With it the kernel notes whose it is. Nobody is ever answered, so the queue has to take all who ask.
        held.listen(128)
    except OSError as error:
        held.close()
        if error.errno != errno.EADDRINUSE:
            raise
        return None
    return held


def _send(process: int, number: signal.Signals) -> None:
    try:
        os.kill(process, number)
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise LeftError("AgentLeft", f"the fault agent at work here (process {process}) may not be ended") from error
