"""One benchmark as a process of this machine: what a pod is on a cluster, with the same view of it.

The process leads a group of its own, so that stopping it stops whatever it started, and a terminal's Ctrl-C reaches
perfrun alone, which then ends its benchmarks in order. What it writes is read as it comes and bounded: a benchmark
that prints without end must not take the memory of the machine that it measures.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import os
import signal
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import attrs

from perfrun.lifecycle.values import PodView

RESULT_PREFIX: Final = b"perfrun-result: "
"""What the line on standard output begins with that holds the result."""

MOST_RESULT_BYTES: Final = 64 * 1024 * 1024
"""Longest result that is read, bytes; a longer one is no result."""

GRACE_SECONDS: Final = 5.0
"""Time between the order to stop (SIGTERM) and the end (SIGKILL), seconds."""

_TAIL_LINES: Final = 20
_CHUNK: Final = 65_536


@attrs.frozen
class Order:
    """What to start: the arguments, the environment, and the longest time that it may run, seconds."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    timeout: float


class LocalProcess:
    """A benchmark under way; ``view`` tells how it stands, ``changed`` is called whenever that changes."""

    def __init__(self, order: Order, now: Callable[[], dt.datetime], changed: Callable[[], None]) -> None:
        self._order, self._now, self._changed = order, now, changed
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._stopping = False
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None
        self.result: bytes | None = None
        self.view = PodView(name=order.name, uid=order.name, phase="Pending", created=now())

    def start(self, taken: Callable[[bytes], asyncio.Future[None] | asyncio.Task[None]]) -> None:
        """Start it; ``taken`` stores the result line and is awaited before the process counts as ended."""
        self._task = asyncio.create_task(self._supervise(taken), name=self._order.name)

    async def stop(self) -> None:
        """End it, whatever it takes, and return when nothing of it is left."""
        self._stopping = True
        self.view = attrs.evolve(self.view, deleting=True)
        if self._task is None:
            return
        if self._process is None:
            self._task.cancel()
        else:
            await _end(self._process)
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _supervise(self, taken: Callable[[bytes], asyncio.Future[None] | asyncio.Task[None]]) -> None:
        before = _oom_kills()
        try:
            process = self._process = await asyncio.create_subprocess_exec(
                *self._order.command, env=dict(self._order.environment), start_new_session=True,
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
        except OSError as error:
            message = f"{self._order.command[0]} cannot be started: {error.strerror or error}"
            self._ended("Error", message, None)
            return
        self._show(attrs.evolve(self.view, phase="Running", started=self._now()))
        reason = ""
        reading = asyncio.gather(self._read_result(process), self._read_tail(process))
        try:
            async with asyncio.timeout(self._order.timeout):
                await process.wait()
        except TimeoutError:
            reason = "DeadlineExceeded"
        # Whatever the benchmark left running would disturb the next one.
        await _end(process)
        # A descendant that left the group may hold the pipes open; it must not hold the run.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE_SECONDS):
                await reading
        code = process.returncode if process.returncode is not None else -signal.SIGKILL
        if self.result is not None:
            await taken(self.result)
        if not reason and code == -signal.SIGKILL and _oom_kills() > before:
            reason = "OOMKilled"
        self._ended(reason, "\n".join(self._tail), code)

    def _ended(self, reason: str, message: str, code: int | None) -> None:
        good = code == 0 and not reason
        shown = None if code is None else code if code >= 0 else 128 - code
        self._show(
            attrs.evolve(
                self.view,
                phase="Succeeded" if good else "Failed",
                reason=reason or ("" if good else "Error"),
                message=message,
                exit_code=shown,
                finished=self._now(),
                started=self.view.started or self._now(),
            )
        )

    def _show(self, view: PodView) -> None:
        self.view = attrs.evolve(view, deleting=self._stopping)
        self._changed()

    async def _read_result(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None  # noqa: S101 -- it was asked for as a pipe
        line, skipping = bytearray(), False
        while chunk := await process.stdout.read(_CHUNK):
            *ended, rest = chunk.split(b"\n")
            for piece in ended:
                self._take(bytes(line) + piece if not skipping else b"")
                line, skipping = bytearray(), False
            line += rest
            if len(line) > MOST_RESULT_BYTES:
                line, skipping = bytearray(), True
        self._take(bytes(line))

    def _take(self, line: bytes) -> None:
        if line.startswith(RESULT_PREFIX):
            self.result = line.removeprefix(RESULT_PREFIX).strip()

    async def _read_tail(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None  # noqa: S101 -- it was asked for as a pipe
        rest = ""
        while chunk := await process.stderr.read(_CHUNK):
            *ended, rest = (rest[-_CHUNK:] + chunk.decode(errors="replace")).split("\n")
            self._tail.extend(ended)
        if rest:
            self._tail.append(rest)


async def _end(process: asyncio.subprocess.Process) -> None:
    """End the process and its group: ask, wait, insist."""
    _signal(process, signal.SIGTERM if process.returncode is None else signal.SIGKILL)
    try:
        async with asyncio.timeout(GRACE_SECONDS):
            await process.wait()
    except TimeoutError:
        pass
    _signal(process, signal.SIGKILL)
    await process.wait()


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _oom_kills() -> int:
    """Return how many processes the kernel has killed for want of memory since it booted; 0 where it does not tell."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/vmstat").read_text(encoding="ascii").splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return 0
