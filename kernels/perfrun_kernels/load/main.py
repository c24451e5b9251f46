"""The load program: checks its parameters, proves what rate it can offer, offers the schedule, hands in its books."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from perfrun_kernels.contract import Histogram, Scalar, Table
from perfrun_kernels.faults import ParametersError, UnmeasurableError
from perfrun_kernels.load.generator import start
from perfrun_kernels.load.parameters import LoadParameters, parse
from perfrun_kernels.program import Fact, Measurement, Task

ENDINGS: Final = ("ok", "error", "timeout", "never_sent", "in_flight")
"""How a request ends: the columns of the table ``windows``, in which ``good`` and a column by server follow."""

MICROSECOND: Final = 1e-6
_SPARE_SECONDS: Final = 10.0
_PROBE_STEP_SECONDS: Final = 0.5


def run(task: Task) -> Measurement:
    """Offer the load that ``task`` describes.

    Raises:
        ParametersError: its parameters are wrong, or the schedule does not fit into the budget.
        UnmeasurableError: the generator is missing, or cannot offer the highest rate of the schedule from here.
        BrokenMeasurementError: the generator broke.
    """
    wanted = parse(task.parameters)
    _fits(wanted, task.budget_seconds)
    probed = _probe(wanted, task) if wanted.probe else None
    report = start(wanted.config, task.progress)
    return _measurement(report, probed)


def _fits(wanted: LoadParameters, budget: float) -> None:
    waits = max(0.0, wanted.config["start_at"] - time.time()) if wanted.config["start_at"] else 0.0
    needed = waits + wanted.seconds + wanted.deadline
    if needed > budget + _SPARE_SECONDS:
        msg = (
            f"parameters.schedule needs {needed:.0f} s with the wait for its start and the last deadline; "
            f"expected at most the budget of {budget:.0f} s: shorten it or raise the budget"
        )
        raise ParametersError(msg)


def _probe(wanted: LoadParameters, task: Task) -> dict[str, Any]:
    rate = max(each["rate"] for each in wanted.config["segments"]) / wanted.config["shards"]
    # What is to be offered is the last rate tried: more than that need not be known, and would only burden the server.
    ladder = {"probe_from": max(1.0, rate / 8), "probe_to": max(1.0, rate), "probe_step_seconds": _PROBE_STEP_SECONDS}
    report = start({**wanted.config, **ladder, "start_at": 0.0, "records": ""}, task.progress, probe=True)
    task.progress(f"this generator can offer {report['rate']:.0f}/s of the {rate:.0f}/s that are needed")
    if report["rate"] < 0.99 * rate and report["limited_by"] == "generator":
        msg = (
            f"generator saturated at {report['rate']:.0f}/s, and the schedule needs {rate:.0f}/s from each of "
            f"{wanted.config['shards']} shards: use more shards or more loops"
        )
        facts: dict[str, Fact] = {"offerable_rate": float(report["rate"]), "needed_rate": float(rate)}
        raise UnmeasurableError("GeneratorSaturated", msg, facts)
    return report


def _measurement(report: Mapping[str, Any], probed: Mapping[str, Any] | None) -> Measurement:
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
    if probed is not None:
        scalars["offerable_rate"] = Scalar("1/s", float(probed["rate"]))
    facts: dict[str, Fact] = {
        "shard": report["shard"], "shards": report["shards"], "stopped": report["stopped"],
        "window_seconds": report["window_seconds"],
    }  # fmt: skip
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
        tables={"windows": _windows(report), "latency_by_window": _latencies(report)},
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
