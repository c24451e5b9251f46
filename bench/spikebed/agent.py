"""The fault agent of kind spike, started on a node as its pod starts it, and what it hands in."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from spikebed.node import PATH, PORT, SANDBOX, WEB, Node, Pod

from perfrun_kernels.contract import (
    FAULT_ENV,
    REPORT_PREFIX,
    TERMINATION_LOG_ENV,
    FaultOrder,
    FaultReport,
    Result,
)
from perfrun_kernels.runner import RESULT_PREFIX

INTERVAL_MS: Final = 2.25
DEADLINE_MS: Final = 2.25
BUDGET_PERCENT: Final = 30.0
"""Where delays are measured, on a small machine that is busy, probes are not to be sent less often for its sake."""

LASTS_MS: Final = 50.0
LEAD: Final = 3.0
"""Seconds from the agent's start to the first injection: its baseline is measured meanwhile."""

KERNELS: Final = str(Path(__file__).parents[2] / "kernels")


class Agent:
    """An agent at work on a node; ``inject`` are kinds of spikes, none of which means that it only watches."""

    def __init__(
        self, node: Node, pods: tuple[Pod, ...], inject: tuple[str, ...], rounds: int, seconds: float,
        container: str = WEB,
    ) -> None:  # fmt: skip
        now = time.time()
        self.until = now + LEAD + seconds
        order = FaultOrder("bench-spikes", "bench", "node", "spike", now + LEAD, self.until, {
            "probe": {"port": PORT, "path": PATH, "interval_ms": INTERVAL_MS, "deadline_ms": DEADLINE_MS,
                      "budget_percent": BUDGET_PERCENT},
            "inject": list(inject), "rounds": rounds, "lasts_ms": LASTS_MS, "window_s": seconds, "container": container,
            "pods": [described(each) for each in pods], "stage": "bench-spikes", "attempt": 1,
        })  # fmt: skip
        self._log = tempfile.NamedTemporaryFile(prefix="perfrun-spikes-")  # noqa: SIM115 -- closed with its agent
        environ = {
            **os.environ, "PYTHONPATH": KERNELS, FAULT_ENV: order.to_json(), TERMINATION_LOG_ENV: self._log.name,
        }  # fmt: skip
        self.process = subprocess.Popen(
            [*node.enter(), sys.executable, "-m", "perfrun_kernels.fault"],
            env=environ, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def result(self) -> Result:
        """Wait for its end, and return what it handed in.

        Raises:
            RuntimeError: it refused, left something, or handed nothing in.
        """
        said, _ = self.process.communicate()
        self._log.close()
        lines = said.splitlines()
        report = next((each for each in lines if each.startswith(REPORT_PREFIX)), None)
        if report is None:
            raise RuntimeError(f"the agent ended without a report: {said[-300:]!r}")
        found = FaultReport.from_json(report.removeprefix(REPORT_PREFIX))
        if found.state != "Undone":
            raise RuntimeError(f"the agent reports {found.state} {found.reason}: {found.message}")
        handed = next((each for each in lines if each.startswith(RESULT_PREFIX)), None)
        if handed is None:
            raise RuntimeError("the agent handed no result in")
        result = Result.from_json(handed.removeprefix(RESULT_PREFIX))
        if result.outcome != "Completed":
            raise RuntimeError(f"the agent's result is {result.outcome} {result.reason}: {result.message}")
        return result

    def stop(self) -> None:
        """Tell it to end before its time, and wait until it has."""
        self.process.terminate()
        self.process.communicate()
        self._log.close()


def described(pod: Pod) -> dict[str, Any]:
    """Return what an order says of a pod; the sandbox is no container of it."""
    containers = [{"name": each.name, "id": each.id} for each in pod.containers if each.name != SANDBOX]
    return {
        "namespace": "bench", "name": pod.name, "uid": pod.uid, "ip": pod.address, "host_network": False,
        "containers": containers,
    }  # fmt: skip
