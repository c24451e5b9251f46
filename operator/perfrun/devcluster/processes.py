"""The cluster's programs: started once, logged, and started again when they end, as an init system would."""

import os
import shutil
import subprocess
import threading
import time
from pathlib import Path

import attrs

from perfrun.devcluster.errors import DevClusterError
from perfrun.devcluster.network import enter
from perfrun.devcluster.packages import SYSTEM_PATH

_MOST_STARTS_DURING_BRING_UP = 4
_RESTART_SECONDS = 1.0


@attrs.frozen
class Program:
    """One long-running program, in one of the cluster's network namespaces."""

    name: str
    namespace: str
    command: tuple[str, ...]


@attrs.define
class _Running:
    program: Program
    process: "subprocess.Popen[bytes]"
    starts: int = 1


class Programs:
    """All running programs. Safe to use from several threads."""

    def __init__(self, bin_dir: Path, logs: Path) -> None:
        self._bin_dir = bin_dir
        self._logs = logs
        self._lock = threading.Lock()
        self._running: dict[str, _Running] = {}

    def start(self, name: str, namespace: str, *command: str, before: tuple[str, ...] = ()) -> None:
        """Start a program of the tool cache, or else of the machine, with other words before its path."""
        found = shutil.which(command[0], path=f"{self._bin_dir}:{SYSTEM_PATH}") or command[0]
        program = Program(name, namespace, (*before, found, *command[1:]))
        running = _Running(program, self._spawn(program))
        with self._lock:
            self._running[name] = running

    def _spawn(self, program: Program) -> "subprocess.Popen[bytes]":
        environment = {**os.environ, "PATH": f"{self._bin_dir}:{SYSTEM_PATH}"}
        with (self._logs / f"{program.name}.log").open("ab") as log:
            return subprocess.Popen(
                [*enter(program.namespace), *program.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )

    def restart_ended(self) -> list[str]:
        """Start again what has ended, and return the names."""
        with self._lock:
            ended = [running for running in self._running.values() if running.process.poll() is not None]
            for running in ended:
                running.process = self._spawn(running.program)
                running.starts += 1
        return [running.program.name for running in ended]

    def check(self) -> None:
        """Restart what has ended, but not for ever.

        Raises:
            DevClusterError: a program keeps ending.
        """
        self.restart_ended()
        with self._lock:
            failing = [running for running in self._running.values() if running.starts > _MOST_STARTS_DURING_BRING_UP]
        if failing:
            name = failing[0].program.name
            raise DevClusterError(f"{name} keeps ending: {last_line(self._logs / f'{name}.log')}")

    def supervise(self) -> None:
        """Restart what ends, until this process does."""
        while True:
            time.sleep(_RESTART_SECONDS)
            self.restart_ended()


def last_line(log: Path) -> str:
    """The last line of a log, for a message of one sentence."""
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return f"{lines[-1][-300:]} ({log})" if lines else f"it wrote nothing to {log}"


def reap_until(child: int) -> int:
    """Collect every process that ends, as a namespace's first process must, until `child` does; return its status."""
    while True:
        pid, status = os.wait()
        if pid == child:
            return os.waitstatus_to_exitcode(status)
