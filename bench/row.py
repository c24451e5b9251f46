"""How long the hardest row of fault tolerance takes from ``kubectl apply`` to its verdict: four of twenty nodes fail.

The row's own time is its schedule: normal traffic, the fault, and what is watched after it. Everything else (scaling,
starting and proving generators and agents, proving that all is undone, judging) is overhead. The feature is the
project's own with its other rows left out; it runs on a development cluster of 21 nodes, with the operator installed by
its chart, as people install it.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import statistics
import sys
import time
from typing import Any

from perfrun.cli.demo import deploy
from perfrun.cli.devinstall import CHECKOUT, Tools, install
from perfrun.devcluster import cluster

Row = tuple[str, float, float, float, float]

CLUSTER = "perfrun-bench-r"
NAMESPACE = "bench-row"
NODES = 21
REPLICAS = 20
ROUNDS = int(os.environ.get("PERFRUN_BENCH_ROW_ROUNDS", "1"))
PROMISED_SECONDS = 240.0
PROMISED_OVERHEAD = 30.0
PATIENCE = 400.0


def run() -> list[Row]:
    """Return the seconds from apply to verdict and how many of them are overhead; a row that did not pass raises."""
    cluster.down(CLUSTER)
    try:
        info = cluster.up(CLUSTER, NODES, lambda text: print(f"bench: {text}", file=sys.stderr))
        tools = Tools(info.helm, info.kubectl, info.kubeconfig)
        install(tools)
        deploy(tools, NAMESPACE, REPLICAS)
        tools.kubectl(
            "apply", "--namespace", NAMESPACE, "--filename", str(CHECKOUT / "examples" / "served-target.yaml")
        )
        measured = [_measure(tools, f"row-{number}") for number in range(ROUNDS)]
    finally:
        cluster.down(CLUSTER)
    totals, overheads = zip(*measured, strict=True)
    return [
        _row("4 of 20 nodes fail: apply to verdict, s", totals, PROMISED_SECONDS),
        _row("4 of 20 nodes fail: all but the schedule, s", overheads, PROMISED_OVERHEAD),
    ]


def _row(name: str, values: tuple[float, ...], limit: float) -> Row:
    return name, statistics.median(values), min(values), max(values), limit


def _measure(tools: Tools, name: str) -> tuple[float, float]:
    feature = {
        "apiVersion": "perfrun.dev/v1alpha1", "kind": "PerfFeature", "metadata": {"name": name},
        "spec": {"feature": _last_row(), "targetRef": "served"},
    }  # fmt: skip
    applied = dt.datetime.now(dt.UTC)
    tools.kubectl("apply", "--namespace", NAMESPACE, "--filename", "-", stdin=json.dumps(feature))
    status = _verdict(tools, name)
    if status["phase"] != "Passed":
        msg = f"the row ended {status['phase']}: {status['message']}"
        raise RuntimeError(msg)
    total = (dt.datetime.fromisoformat(status["finishedAt"]) - applied).total_seconds()
    [schedule] = [each["seconds"] for each in status["frozen"]["plan"]["stages"] if each["kind"] == "load"]
    return total, total - float(schedule)


def _last_row() -> str:
    lines = (CHECKOUT / "features" / "fault_tolerance.feature").read_text().rstrip().splitlines()
    header = next(at for at, line in enumerate(lines) if line.strip() == "Examples:") + 1
    return "\n".join([*lines[: header + 1], lines[-1], ""])


def _verdict(tools: Tools, feature: str) -> dict[str, Any]:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        runs = tools.get("perfruns", "--namespace", NAMESPACE, "--selector", f"perfrun.dev/feature={feature}")
        status: dict[str, Any] = (runs[0].get("status") or {}) if runs else {}
        if status.get("finishedAt"):
            return status
        time.sleep(0.5)
    msg = f"{feature} had no verdict within {PATIENCE:.0f} s"
    raise RuntimeError(msg)
