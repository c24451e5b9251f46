"""The side that is measured: answers packets and takes throughput, until its time is over."""

from __future__ import annotations

import json
import platform
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Final

from perfrun_kernels.contract import Scalar
from perfrun_kernels.faults import BrokenMeasurementError, UnmeasurableError
from perfrun_kernels.network import iperf, netpath
from perfrun_kernels.network.parameters import ServerParameters
from perfrun_kernels.program import Measurement, Progress

_LOOK_SECONDS: Final = 0.1
_END_SECONDS: Final = 5.0


def serve(wanted: ServerParameters, progress: Progress) -> Measurement:
    """Serve until the time is over, and return how many packets came.

    Raises:
        UnmeasurableError: a program is missing, or a port is in use.
        BrokenMeasurementError: a program broke.
    """
    program = iperf.find()
    started = time.time()
    ends = (wanted.start_at or started) + wanted.seconds
    with (
        tempfile.TemporaryFile("w+") as log,
        _ended(netpath.serve({"port": wanted.port, "end_at": ends})) as packets,
        _ended(iperf.serve(program, wanted.port + 1, log)) as streams,
    ):
        progress(f"serving on UDP port {wanted.port} and TCP port {wanted.port + 1}")
        while (code := packets.poll()) is None:
            if streams.poll() is not None:
                raise _stream_failure(log, wanted.port + 1)
            time.sleep(_LOOK_SECONDS)
        told, errors = packets.communicate()
    if code != 0:
        raise netpath.failure(code, errors)
    return Measurement(
        started=started, finished=time.time(), series={},
        scalars={"packets.received": Scalar("packets", float(json.loads(told)["received"]))},
        facts={
            "role": "server", "port": wanted.port, "kernel": platform.release(), "iperf3": iperf.version(program),
        },
    )  # fmt: skip


@contextmanager
def _ended(running: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """End a program with what it was started for."""
    try:
        yield running
    finally:
        running.terminate()
        try:
            running.communicate(timeout=_END_SECONDS)
        except subprocess.TimeoutExpired:
            running.kill()
            running.communicate()


def _stream_failure(log: IO[str], port: int) -> Exception:
    log.seek(0)
    told = log.read().strip()
    if "ddress already in use" in told:
        msg = f"TCP port {port} is in use here: set network.port in the target to a free one"
        return UnmeasurableError("PortTaken", msg)
    return BrokenMeasurementError("IperfFailed", f"iperf3 stopped serving: {told[-300:] or 'it said nothing'}")
