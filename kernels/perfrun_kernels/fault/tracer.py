"""The process that holds the frozen ones, and whose end by whatever cause lets them go.

It is a child of the agent that the kernel kills at the fault's end (an interval timer, with nothing that handles it)
and with the agent (a parent-death signal). So the ordinary end of a freeze takes the same way as every accident.
"""

from __future__ import annotations

import json
import os
import select
import signal
import time
from dataclasses import dataclass
from typing import Final, NoReturn

from perfrun_kernels.fault import processes, ptrace
from perfrun_kernels.fault.processes import Process

NAME: Final = "perfrun-freeze"
"""What the tracing process is called; undo looks for it."""

STOP_SECONDS: Final = 1.0
"""Seconds that threads get to stand still; one inside an uninterruptible call does so when that ends."""

LOOK_SECONDS: Final = 0.25
"""Seconds between two looks for processes that were started meanwhile, by a supervisor for example."""

ANSWER_SECONDS: Final = 5.0

_ROUNDS: Final = 50


class TracerError(Exception):
    """The processes could not be stopped; the message says why."""


@dataclass(frozen=True)
class Frozen:
    """What stands still: when the last thread did (seconds since the epoch), and how many there are.

    ``unstopped`` threads were inside an uninterruptible call; they stop when they come back from it.
    """

    at: float
    processes: list[Process]
    threads: int
    unstopped: int


class Tracer:
    """The agent's side of the tracing process."""

    def __init__(self) -> None:
        """Fork it; it waits for `go` and does nothing before.

        Raises:
            OSError: the kernel refuses another process.
        """
        go, self._go = os.pipe()
        self._answer, answer = os.pipe()
        parent = os.getpid()
        self.pid = os.fork()
        if not self.pid:
            os.close(self._go)
            os.close(self._answer)
            _child(parent, go, answer)
        os.close(go)
        os.close(answer)

    def go(self, ends_at: float) -> Frozen:
        """Have the node's processes stopped until ``ends_at`` (seconds since the epoch).

        Raises:
            TracerError: they could not be; what was stopped goes on.
        """
        os.write(self._go, json.dumps({"ends_at": ends_at}).encode())
        readable, _, _ = select.select([self._answer], [], [], ANSWER_SECONDS)
        text = os.read(self._answer, 1 << 16) if readable else b""
        if not text:
            self.end()
            raise TracerError("the tracing process ended, or did not answer")
        answer = json.loads(text)
        if "error" in answer:
            self.end()
            raise TracerError(answer["error"])
        stopped = [Process(*each) for each in answer.pop("processes")]
        return Frozen(processes=stopped, **answer)

    def ended(self) -> bool:
        """Whether the tracing process is gone, and with it every stop."""
        if self.pid:
            pid, _ = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid = 0
        return not self.pid

    def end(self) -> None:
        """End the tracing process at once, and with it every stop."""
        if not self.ended():
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0


def _child(parent: int, go: int, answer: int) -> NoReturn:
    try:
        ptrace.die_with_parent(signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        ptrace.set_name(NAME.encode())
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        order = os.read(go, 1 << 16)
        if order:
            ends_at = json.loads(order)["ends_at"]
            signal.setitimer(signal.ITIMER_REAL, max(ends_at - time.time(), 0.001))
            _hold(answer)
    except BaseException as error:  # noqa: BLE001 -- whatever it is, the agent has to learn of it and the process to end
        os.write(answer, json.dumps({"error": str(error) or type(error).__name__}).encode())
    finally:
        os._exit(1)


def _hold(answer: int) -> None:
    """Stop the node's processes, say so, and stop those that are started meanwhile, until the kernel ends this."""
    seized: set[int] = set()
    standing: set[int] = set()
    found = processes.of_node()
    _seize(found, seized)
    if not seized:
        raise TracerError("no kubelet or container runtime was there any more")
    give_up = time.monotonic() + STOP_SECONDS
    while True:
        _collect(seized, standing)
        if seized <= standing or time.monotonic() > give_up:
            break
        time.sleep(0.0005)
    report = {
        "at": time.time(),
        "processes": [(each.pid, each.name) for each in found],
        "threads": len(seized),
        "unstopped": len(seized - standing),
    }
    os.write(answer, json.dumps(report).encode())
    while True:
        time.sleep(LOOK_SECONDS)
        _seize(processes.of_node(), seized)
        _collect(seized, standing)


def _seize(found: list[Process], seized: set[int]) -> None:
    """Stop every thread of the processes; in ``seized`` are those that need no more looking at.

    Raises:
        PermissionError: one may not be traced.
    """
    ending: set[int] = set()
    # A thread may begin others until it stands still itself; the kernel seizes these, and another look finds the rest.
    for _ in range(_ROUNDS):
        threads = [(process, thread) for process in found for thread in processes.threads(process.pid)]
        fresh = [each for each in threads if each[1] not in seized | ending]
        if not fresh:
            return
        for process, thread in fresh:
            try:
                ptrace.stop(thread)
            except ProcessLookupError:
                ending.add(thread)
            except PermissionError as error:
                if processes.tracer(process.pid, thread) == os.getpid():
                    seized.add(thread)
                elif processes.thread_state(process.pid, thread) in processes.ENDED:
                    ending.add(thread)
                else:
                    msg = f"thread {thread} of {process} may not be traced ({error.strerror})"
                    raise PermissionError(msg) from error
            else:
                seized.add(thread)


def _collect(seized: set[int], standing: set[int]) -> None:
    """Note which threads have stopped since the last call, and which are gone."""
    while True:
        try:
            thread, status = os.waitpid(-1, os.WNOHANG | ptrace.WALL)
        except ChildProcessError:
            return
        if not thread:
            return
        if os.WIFSTOPPED(status):
            seized.add(thread)
            standing.add(thread)
        else:
            seized.discard(thread)
            standing.discard(thread)
