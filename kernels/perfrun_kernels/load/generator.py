"""Running the generator's program and reading what it says.

The generator is a program of its own (kernels/loadgen, in Go): a thread that keeps to a schedule of 100 000 requests
a second has no place in an interpreter.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from typing import Any, Final

from perfrun_kernels.faults import BrokenMeasurementError, UnmeasurableError
from perfrun_kernels.load.finding import PROGRAM, binary

_EXIT_LATE: Final = 3


def start(config: Mapping[str, Any], progress: Callable[[str], None], *, probe: bool = False) -> dict[str, Any]:
    """Run the generator to its end and return its report; its progress lines are passed on as they come.

    An exception that arrives meanwhile (the pod is told to stop) stops the generator as well.

    Raises:
        UnmeasurableError: there is no binary, or it was ready only after ``start_at``.
        BrokenMeasurementError: the generator broke; its own sentence is in the message.
    """
    with tempfile.TemporaryFile("w+") as given, tempfile.TemporaryFile("w+") as taken:
        json.dump(dict(config), given)
        given.seek(0)
        with subprocess.Popen(  # noqa: S603 -- the generator's own binary
            [str(binary()), *(["-probe"] if probe else [])],
            stdin=given,
            stdout=taken,
            stderr=subprocess.PIPE,
            text=True,
        ) as running:
            last = ""
            try:
                for line in running.stderr or ():
                    last = line.strip()
                    progress(last)
                code = running.wait()
            except BaseException:
                running.terminate()
                raise
        if code == _EXIT_LATE:
            raise UnmeasurableError("LateStart", f"{last.partition(': ')[2] or last}: raise load.lead in the target")
        if code != 0:
            raise BrokenMeasurementError("GeneratorFailed", last or f"{PROGRAM} ended with exit code {code}")
        taken.seek(0)
        report: dict[str, Any] = json.load(taken)
        return report
