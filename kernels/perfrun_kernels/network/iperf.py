"""Running iperf3 for throughput, and reading what both of its sides say.

The rate is the receiver's, by interval: what a sender handed to its kernel has not arrived. Its CPU time is that of the
two processes, which includes what the kernel did on their behalf, and not what it did in interrupts.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Mapping
from typing import IO, Any, Final

import attrs

from perfrun_kernels.faults import BrokenMeasurementError, UnmeasurableError

INTERVAL_SECONDS: Final = 0.5
GIGA: Final = 1e9
BUSY_SECONDS: Final = 1.0
"""How long a server that is still busy with another's slice is asked again."""

_SPARE_SECONDS: Final = 10.0
_PAUSE_SECONDS: Final = 0.05
_BITS: Final = 8


class UnreachableError(Exception):
    """There is no iperf3 server at the address; the message is iperf3's own."""


@attrs.frozen
class Throughput:
    """One slice: ``rates`` in Gbit/s by interval at the receiver; ``gbit`` received; CPU in seconds of either side.

    ``started`` is in seconds since the epoch; ``retransmits`` are segments, None where the kernel does not count them.
    ``congestion`` is the sender's congestion control, empty where iperf3 does not tell: it may halve the rest.
    """

    started: float
    seconds: float
    rates: tuple[float, ...]
    gbit: float
    retransmits: float | None
    cpu_client: float
    cpu_server: float
    congestion: str


def find() -> str:
    """Return the path of iperf3.

    Raises:
        UnmeasurableError: there is none.
    """
    found = shutil.which("iperf3")
    if found is None:
        raise UnmeasurableError("MissingIperf", "iperf3 is not in this image: use perfrun's benchmark image")
    return found


def version(program: str) -> str:
    """Return what iperf3 calls itself, such as ``iperf 3.12``."""
    told = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S603
    return " ".join(told.split()[:2])


def serve(program: str, port: int, log: IO[str]) -> subprocess.Popen[str]:
    """Start a server that serves one client after the other until it is ended; it writes to ``log``."""
    command = [program, "--server", "--json", "--interval", str(INTERVAL_SECONDS), "--port", str(port)]
    return subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, text=True)  # noqa: S603


def measure(program: str, address: str, port: int, seconds: int, streams: int) -> Throughput:
    """Send for so many seconds over parallel streams, and return what came out.

    Raises:
        UnreachableError: nobody listens there.
        BrokenMeasurementError: iperf3 broke, or the server stayed busy.
    """
    command = [
        program, "--client", address, "--port", str(port), "--time", str(seconds), "--parallel", str(streams),
        "--interval", str(INTERVAL_SECONDS), "--json", "--get-server-output", "--connect-timeout", "1000",
    ]  # fmt: skip
    until = time.monotonic() + BUSY_SECONDS
    while True:
        started = time.time()
        report = _run(command, seconds)
        error = str(report.get("error", ""))
        if "busy" not in error or time.monotonic() > until:
            break
        time.sleep(_PAUSE_SECONDS)
    if "unable to connect" in error:
        raise UnreachableError(error)
    if error:
        raise BrokenMeasurementError("IperfFailed", f"iperf3 to {address} port {port} broke: {error}")
    return read(report, started)


def read(report: Mapping[str, Any], started: float) -> Throughput:
    """Read the client's report, which holds the server's.

    Raises:
        BrokenMeasurementError: something is missing in it.
    """
    try:
        end, intervals = report["end"], report["server_output_json"]["intervals"]
        sent, received, cpu = end["sum_sent"], end["sum_received"], end["cpu_utilization_percent"]
        return Throughput(
            started=started,
            seconds=float(received["seconds"]),
            # The last interval is what was left of the time; its rate would weigh as much as the others'.
            rates=tuple(
                each["sum"]["bits_per_second"] / GIGA
                for each in intervals
                if each["sum"]["seconds"] > INTERVAL_SECONDS / 2
            ),
            gbit=received["bytes"] * _BITS / GIGA,
            retransmits=float(sent["retransmits"]) if "retransmits" in sent else None,
            cpu_client=cpu["host_total"] / 100 * sent["seconds"],
            cpu_server=cpu["remote_total"] / 100 * received["seconds"],
            congestion=str(end.get("sender_tcp_congestion", "")),
        )
    except (KeyError, TypeError) as error:
        msg = f"iperf3's report lacks {error}: use iperf3 3.9 or newer on both sides"
        raise BrokenMeasurementError("IperfFailed", msg) from error


def _run(command: list[str], seconds: int) -> dict[str, Any]:
    try:
        ended = subprocess.run(  # noqa: S603 -- iperf3, with arguments of our own
            command,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=seconds + _SPARE_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        msg = f"iperf3 did not end {_SPARE_SECONDS:.0f} s after its time: the server stopped answering"
        raise BrokenMeasurementError("PeerLost", msg) from error
    try:
        report: dict[str, Any] = json.loads(ended.stdout)
    except ValueError as error:
        told = (ended.stderr or ended.stdout).strip()[-200:]
        msg = f"iperf3 ended with exit code {ended.returncode} and no report: {told or 'it said nothing'}"
        raise BrokenMeasurementError("IperfFailed", msg) from error
    return report
