"""A program run as its pod runs it, with how long that took and how much memory it held at once."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from perfrun_kernels import contract, runner
from perfrun_kernels.contract import Request, Result

_LOOK_SECONDS: Final = 0.05
_KIBIBYTE: Final = 1024


@attrs.frozen
class Ran:
    """What it handed in, its wall-clock seconds from start to end, and the most memory of it and its children."""

    result: Result
    seconds: float
    peak_bytes: int


def run(kind: str, parameters: Mapping[str, Any], budget_seconds: float = 3600.0) -> Ran:
    """Run the program ``kind`` to its end.

    Raises:
        RuntimeError: it handed nothing in, or did not measure.
    """
    request = Request("bench", kind, 1, kind, dict(parameters), budget_seconds)
    environ = {**os.environ, contract.REQUEST_ENV: request.to_json(), runner.TERMINATION_LOG_ENV: os.devnull}
    began = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-m", "perfrun_kernels"], env=environ, stdout=subprocess.PIPE, text=True,
        start_new_session=True,
    ) as process:  # fmt: skip
        peaks: list[int] = [0]
        watcher = threading.Thread(target=_watch, args=(process, peaks))
        watcher.start()
        said, _ = process.communicate()
        seconds = time.monotonic() - began
        watcher.join()
    line = next((each for each in said.splitlines() if each.startswith(runner.RESULT_PREFIX)), None)
    if line is None:
        raise RuntimeError(f"the program {kind} handed nothing in")
    result = Result.from_json(line.removeprefix(runner.RESULT_PREFIX))
    if result.outcome != "Completed":
        raise RuntimeError(f"the program {kind} is {result.outcome} {result.reason}: {result.message}")
    return Ran(result, seconds, max(peaks))


def _watch(process: subprocess.Popen[str], peaks: list[int]) -> None:
    """Note what all processes of the session hold together; shared pages count once."""
    while process.poll() is None:
        peaks.append(sum(_held(each) for each in _session(process.pid)))
        time.sleep(_LOOK_SECONDS)


def _session(leader: int) -> list[Path]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError):
            # The name may hold spaces; the session is the fourth field after it.
            if int((folder / "stat").read_text().rpartition(")")[2].split()[3]) == leader:
                found.append(folder)
    return found


def _held(folder: Path) -> int:
    with contextlib.suppress(OSError):
        for line in (folder / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * _KIBIBYTE
    return 0
