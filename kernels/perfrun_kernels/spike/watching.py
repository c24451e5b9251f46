"""Running perfrun-netwatch, the program that probes, injects and records.

It undoes all of its own when it is told to end, or its agent is gone. A guard of its own does that if it is killed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

import attrs

from perfrun_kernels import building
from perfrun_kernels.building import Program
from perfrun_kernels.fault import waiting
from perfrun_kernels.spike.standing_back import stand_back

PROGRAM: Final = Program(
    "perfrun-netwatch", "PERFRUN_NETWATCH", building.SOURCES / "netwatch", "the watching program", "MissingNetwatch",
    "NetwatchBuild",
)  # fmt: skip

ENDING_SECONDS: Final = 8.0
"""Seconds that it has to undo what it did once it is told to end; then it is killed."""

UNDO_SECONDS: Final = 10.0


@attrs.frozen
class Ended:
    """How it ended: its exit code, its last words, and whether that was because the agent was told to stop."""

    code: int
    said: str
    stopped: bool


LOOKED: Final = "journals, queueing disciplines, tables of netfilter, tracefs instances and cgroups"
"""What `undo` looks at."""


@attrs.frozen
class Leftovers:
    """What was found of earlier watches and removed, and what is still there."""

    found: tuple[str, ...]
    left: tuple[str, ...]


class UnseenError(Exception):
    """What watches may have left could not be looked at; the message says why."""


def watch(binary: Path, config: Mapping[str, Any], take: Callable[[str], None], ends_at: float) -> Ended:
    """Run it to its end and pass on every line that it writes; at ``ends_at`` (unix seconds) it is told to end."""
    said = os.memfd_create("perfrun-netwatch")
    try:
        with _ending(ends_at) as ending, subprocess.Popen(  # noqa: S603 -- this package's own program
            [str(binary), "watch"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True,
        ) as process:  # fmt: skip
            ending.watches(process)
            stand_back()
            if process.stdin is not None:
                _give(process.stdin, json.dumps(config))
            try:
                for line in process.stdout or ():
                    take(line)
                code = process.wait()
            except BaseException:
                process.terminate()
                raise
        os.lseek(said, 0, os.SEEK_SET)
        words = os.read(said, 1 << 16).decode(errors="replace").strip().splitlines()
        return Ended(code, words[-1] if words else "", ending.stopped)
    finally:
        os.close(said)


def undo(binary: Path, fault: str = "") -> Leftovers:
    """Have everything removed that watches left on this node, or only the one of ``fault``.

    Raises:
        UnseenError: it could not look.
    """
    command = [str(binary), "undo", *(["--fault", fault] if fault else [])]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=UNDO_SECONDS)  # noqa: S603 -- this package's own program
        told = json.loads(done.stdout)
        return Leftovers(*(tuple(_said(each) for each in told.get(name) or ()) for name in ("found", "left")))
    except subprocess.TimeoutExpired as error:
        raise UnseenError(f"{binary.name} did not answer within {UNDO_SECONDS:g} s") from error
    except (OSError, ValueError, AttributeError, KeyError) as error:
        raise UnseenError(
            f"{binary.name}: {_last(done.stderr) if not isinstance(error, OSError) else error}"
        ) from error


def _said(thing: Mapping[str, str]) -> str:
    fault, message = thing.get("fault"), thing.get("message")
    of = f" of fault {fault}" if fault else ""
    return f"{thing['kind']} at {thing['where']}{of}{f' ({message})' if message else ''}"


class _Ending:
    """Tells the program to end when the agent is told to, or when its time is over, and kills one that does not."""

    def __init__(self) -> None:
        self.stopped = False
        self._told = False
        self._process: subprocess.Popen[str] | None = None

    def watches(self, process: subprocess.Popen[str]) -> None:
        """Take the process; it may be over already when it starts."""
        self._process = process
        if self._told:
            process.terminate()

    def received(self, number: int, _: FrameType | None) -> None:
        """Take a signal: a second alarm after the first is the end of patience."""
        if number != signal.SIGALRM:
            self.stopped = True
        if self._process is not None:
            if self._told and number == signal.SIGALRM:
                self._process.kill()
            else:
                self._process.terminate()
        self._told = True
        signal.setitimer(signal.ITIMER_REAL, ENDING_SECONDS)


@contextmanager
def _ending(ends_at: float) -> Iterator[_Ending]:
    """Take the signals that `waiting` keeps back meanwhile: a read must be woken by them."""
    ending = _Ending()
    numbers = {*waiting.STOP, signal.SIGALRM}
    before = {number: signal.signal(number, ending.received) for number in numbers}
    signal.setitimer(signal.ITIMER_REAL, max(ends_at - time.time(), 0.001))
    blocked = signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)
    try:
        yield ending
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        for number, handler in before.items():
            signal.signal(number, handler)


def _give(stream: Any, text: str) -> None:
    try:
        stream.write(text)
        stream.close()
    except BrokenPipeError:
        # It ended before it had read; its exit code and last words say why.
        return


def _last(text: str) -> str:
    words = text.strip().splitlines()
    return words[-1] if words else "it answered nothing"
