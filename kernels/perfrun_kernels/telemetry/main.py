"""The telemetry program: chooses the window, asks the server row by row, hands in what was found."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from perfrun_kernels.contract import Scalar
from perfrun_kernels.faults import UnmeasurableError
from perfrun_kernels.program import Measurement, Task
from perfrun_kernels.prometheus import Server
from perfrun_kernels.telemetry import results
from perfrun_kernels.telemetry.evidence import LOOKBACK_SECONDS, Evidence, gather, present
from perfrun_kernels.telemetry.findings import RowFinding
from perfrun_kernels.telemetry.owners import discovered, finder
from perfrun_kernels.telemetry.parameters import Owner, Parameters, Row, parse
from perfrun_kernels.telemetry.picturing import picture
from perfrun_kernels.telemetry.retention import duration, retention
from perfrun_kernels.telemetry.rows import judge
from perfrun_kernels.telemetry.window import Window, fits, reaches_back, recorded, watch

FIRST_PATIENCE_SECONDS: Final = 5.0
PATIENCE_SECONDS: Final = 60.0
"""How long a server that was there is asked again: one that restarts is back by then."""

Told = TypeVar("Told")


def run(task: Task) -> Measurement:
    """Judge what ``task`` asks.

    Raises:
        ParametersError: its parameters are wrong.
        UnmeasurableError: the server cannot be reached or is none, or the period does not fit.
    """
    wanted = parse(task.parameters)
    before = time.time()
    now = Server(wanted.url, wanted.timeout_s, FIRST_PATIENCE_SECONDS).now()
    offset = now - (before + time.time()) / 2
    server, brief = Server(wanted.url, wanted.timeout_s, PATIENCE_SECONDS), Server(wanted.url, wanted.timeout_s)
    window = _window(server, wanted, now, task)
    task.progress(f"reading {len(wanted.rows)} rows of the {window.seconds:g} s that were {window.kind}")
    targets = _aside(brief.targets) or []
    lookback = duration((_aside(brief.flags) or {}).get("query.lookback-delta", "")) or LOOKBACK_SECONDS
    rows = [_judged(gather(server, row, window, lookback), window, wanted, targets) for row in wanted.rows]
    held = retention(brief)
    scalars, facts = results.kept(held)
    scalars["clock.offset"] = Scalar("s", offset)
    version = str((_aside(brief.build) or {}).get("version", ""))
    facts |= {"window": window.kind, "prometheus": version, "warnings": results.listed(server.warnings)}
    for each in rows:
        scalars |= results.scalars(each)
        facts |= results.facts(each)
    attachments = {
        "telemetry": picture(wanted, window, held, rows), "series": results.series(window, held, rows),
    }  # fmt: skip
    return Measurement(window.start, window.end, {}, scalars, facts, attachments=attachments)


def _window(server: Server, wanted: Parameters, now: float, task: Task) -> Window:
    past = recorded(now, wanted.period_s)
    if wanted.window == "recorded" or (wanted.window == "auto" and _covered(server, wanted.rows, past)):
        return past
    interval = max(each.interval_s for each in wanted.rows)
    fits(wanted.period_s, interval, task.budget_seconds)
    return watch(server.now, wanted.period_s, interval, task.progress, time.monotonic, time.sleep)


def _covered(server: Server, rows: Sequence[Row], past: Window) -> bool:
    """Say whether every row that has any series has had one since the window began."""
    for row in rows:
        selector, _ = _aside(partial(present, server, row, past)) or ("", 0)
        if selector and not reaches_back(server, selector, past.start, row.interval_s):
            return False
    return True


def _judged(evidence: Evidence, window: Window, wanted: Parameters, targets: Sequence[Mapping[str, Any]]) -> RowFinding:
    row = evidence.row
    if wanted.expected is not None:
        every = wanted.expected.pods if row.per == "pod" else wanted.expected.nodes
        return judge(evidence, window, finder(row.per, row.label, every), wanted.expected.of(row.per))
    found = finder(row.per, row.label, ())
    jobs = {job for each in evidence.series if (job := each.labels.get("job"))}
    return judge(evidence, window, found, _seen(evidence, found.owner, discovered(targets, jobs, found)))


def _seen(
    evidence: Evidence, owner: Callable[[Mapping[str, str]], str | None], scraped: Sequence[Owner]
) -> tuple[Owner, ...] | None:
    """Return who is scraped for these series or has one; None where nobody is."""
    if evidence.row.per == "any":
        return None
    names = {each.name for each in scraped} | {name for each in evidence.series if (name := owner(each.labels))}
    return tuple(Owner(each) for each in sorted(names)) or None


def _aside(ask: Callable[[], Told]) -> Told | None:
    """Ask what the judging can do without: not every server that takes queries tells of itself."""
    try:
        return ask()
    except UnmeasurableError:
        return None
