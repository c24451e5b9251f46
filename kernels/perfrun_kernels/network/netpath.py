"""Running perfrun-netpath, which sends and answers packets and has both kernels say when these passed.

It is a program of its own (kernels/netpath, in Go): an interpreter would be late, and is no way to the error queue.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from typing import Any, Final

from perfrun_kernels import building
from perfrun_kernels.building import Program
from perfrun_kernels.faults import BrokenMeasurementError, UnmeasurableError

PROGRAM: Final = Program(
    "perfrun-netpath", "PERFRUN_NETPATH", building.SOURCES / "netpath", "the packet program", "MissingNetpath",
    "NetpathBuild",
)  # fmt: skip

LATE, SILENT, UNMARKED, LOST, TAKEN = 3, 4, 5, 6, 7
"""Its exit codes: ready too late, no answer, no timestamps, the server fell silent, the port is in use."""


class SilentPeerError(Exception):
    """Nobody answered any packet; the message says at which address."""


def send(config: Mapping[str, Any]) -> dict[str, Any]:
    """Send packets and return the program's report.

    Raises:
        SilentPeerError: there was no answer before the first packet was due.
        UnmeasurableError: there is no binary, it was ready too late, or a kernel gives no timestamps.
        BrokenMeasurementError: the server fell silent in the middle, or the program broke.
    """
    with subprocess.Popen(  # noqa: S603 -- this package's own binary
        [str(PROGRAM.binary()), "send"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        try:
            told, errors = running.communicate(json.dumps(dict(config)))
        except BaseException:
            running.kill()
            raise
    if running.returncode == 0:
        report: dict[str, Any] = json.loads(told)
        return report
    raise failure(running.returncode, errors)


def serve(config: Mapping[str, Any]) -> subprocess.Popen[str]:
    """Start answering packets; the program ends by itself, or on SIGTERM, and then prints its report.

    Raises:
        UnmeasurableError: there is no binary.
        BrokenMeasurementError: it could not be built.
    """
    running = subprocess.Popen(  # noqa: S603 -- this package's own binary
        [str(PROGRAM.binary()), "serve"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stdin is not None  # noqa: S101 -- it was asked for
    running.stdin.write(json.dumps(dict(config)))
    running.stdin.close()
    running.stdin = None
    return running


def failure(code: int, errors: str) -> Exception:
    """Return what an exit code other than 0 means; ``errors`` is what the program wrote on standard error."""
    last = errors.strip().rpartition("\n")[2]
    text = last.partition(": ")[2] or last or f"{PROGRAM.name} ended with exit code {code}"
    match code:
        case _ if code == LATE:
            return UnmeasurableError("LateStart", f"{text}: raise load.lead in the target")
        case _ if code == SILENT:
            return SilentPeerError(text)
        case _ if code == UNMARKED:
            return UnmeasurableError("NoTimestamps", f"{text}: use nodes whose kernel has SO_TIMESTAMPING")
        case _ if code == LOST:
            return BrokenMeasurementError("PeerLost", text)
        case _ if code == TAKEN:
            return UnmeasurableError("PortTaken", f"{text}: set network.port in the target to a free one")
    return BrokenMeasurementError("NetpathFailed", text)
