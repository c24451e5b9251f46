"""The load program: checks its parameters, proves what rate it can offer, offers the schedule, hands in its books."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from perfrun_kernels.contract import Histogram, Scalar, Table
from perfrun_kernels.faults import ParametersError
from perfrun_kernels.load.generator import start
from perfrun_kernels.load.parameters import LoadParameters, parse
from perfrun_kernels.load.proving import Proof, prove
from perfrun_kernels.program import Fact, Measurement, Task

ENDINGS: Final = ("ok", "error", "timeout", "never_sent", "in_flight")
"""How a request ends: the columns of the table ``windows``, in which ``good`` and a column by server follow."""

MICROSECOND: Final = 1e-6
_SPARE_SECONDS: Final = 10.0


def run(task: Task) -> Measurement:
    """Offer the load that ``task`` describes.

    Raises:
        ParametersError: its parameters are wrong, or the schedule does not fit into the budget.
        UnmeasurableError: the generator is missing, cannot offer the highest rate of the schedule from here, or was
            ready only after the common start.
        BrokenMeasurementError: the generator broke.
    """
    wanted = parse(task.parameters, task.index)
    _fits(wanted, task.budget_seconds)
    proof = prove(wanted.config, task.progress, time.time) if wanted.probe else None
    return _measurement(start(wanted.config, task.progress), proof)


def _fits(wanted: LoadParameters, budget: float) -> None:
    waits = max(0.0, wanted.config["start_at"] - time.time()) if wanted.config["start_at"] else 0.0
    needed = waits + wanted.seconds + wanted.deadline
    if needed > budget + _SPARE_SECONDS:
        msg = (
            f"parameters.schedule needs {needed:.0f} s with the wait for its start and the last deadline; "
            f"expected at most the budget of {budget:.0f} s: shorten it or raise the budget"
        )
        raise ParametersError(msg)


def _measurement(report: Mapping[str, Any], proof: Proof | None) -> Measurement:
    ledger, attempts = report["ledger"], report["attempts"]
    scalars = {f"ledger.{name}": Scalar("requests", float(count)) for name, count in ledger.items()}
    scalars |= {f"attempts.{name}": Scalar("requests", float(count)) for name, count in attempts.items()}
    scalars |= {
        "offered_rate": Scalar("1/s", report["offered_rate"]),
        "achieved_rate": Scalar("1/s", report["achieved_rate"]),
        "cpu": Scalar("s", report["cpu_seconds"]),
        "wall": Scalar("s", report["wall_seconds"]),
        "connections.opened": Scalar("connections", float(report["connections"]["opened"])),
        "connections.most": Scalar("connections", float(report["connections"]["most"])),
    }
    scalars["unanswered.truncated"] = Scalar("requests", float(report["unanswered_truncated"]))
    facts: dict[str, Fact] = {
        "shard": report["shard"], "shards": report["shards"], "stopped": report["stopped"],
        "window_seconds": report["window_seconds"],
    }  # fmt: skip
    if proof is not None:
        scalars["offerable_rate"] = proof.rate
        facts["probe"] = proof.how
    facts |= {f"error.{kind}": count for kind, count in report["errors"].items()}
    if (records := report.get("records")) is not None:
        facts |= {f"records.{name}": value for name, value in records.items()}
    return Measurement(
        started=report["started_at"],
        finished=report["finished_at"],
        series={},
        scalars=scalars,
        facts=facts,
        histograms={name: Histogram("s", MICROSECOND, data) for name, data in report["histograms"].items()},
        tables={
            "windows": _windows(report),
            "latency_by_window": _latencies(report),
            "unanswered": Table(["number", "outcome"], [[float(each) for each in row] for row in report["unanswered"]]),
        },
    )


def _windows(report: Mapping[str, Any]) -> Table:
    """Return counts by window; the columns ``served:NAME`` count the good answers of each server."""
    servers = report["servers"]
    numbers = sorted({int(number) for window in report["windows"] for number in window["served"]})
    columns = [*ENDINGS, "good", *(f"served:{servers[number]}" for number in numbers)]
    rows = [
        [
            *(float(window[name]) for name in (*ENDINGS, "good")),
            *(float(window["served"].get(str(n), 0)) for n in numbers),
        ]
        for window in report["windows"]
    ]
    return Table(columns, rows)


def _latencies(report: Mapping[str, Any]) -> Table:
    """Return coarse latency counts: bucket k holds 2^(k/8) to 2^((k+1)/8) microseconds."""
    rows = [
        [float(at), float(bucket), float(count)]
        for at, window in enumerate(report["windows"])
        for bucket, count in window["latency"]
    ]
    return Table(["window", "bucket", "count"], rows)
