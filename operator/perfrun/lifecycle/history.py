"""Which finished runs of a feature are no longer kept."""

from __future__ import annotations

import datetime as dt

from perfrun.api.durations import seconds
from perfrun.api.feature import FeatureSpec
from perfrun.api.verdicts import Verdict
from perfrun.lifecycle.values import Run


def surplus(spec: FeatureSpec, runs: tuple[Run, ...], now: dt.datetime) -> tuple[str, ...]:
    """Return the names of finished runs beyond the history limits or older than the TTL, oldest first."""
    finished = sorted(
        (run for run in runs if run.status.phase.finished and not run.meta.deleting),
        key=lambda run: (run.status.finished_at or now, run.meta.name),
        reverse=True,
    )
    passed = [run for run in finished if run.status.verdict is Verdict.PASS]
    other = [run for run in finished if run.status.verdict is not Verdict.PASS]
    gone = {run.meta.name: run for run in (*passed[spec.history.passed :], *other[spec.history.other :])}
    if spec.ttl_after_finished is not None:
        oldest = now - dt.timedelta(seconds=seconds(spec.ttl_after_finished))
        gone |= {run.meta.name: run for run in finished if (run.status.finished_at or now) <= oldest}
    return tuple(sorted(gone, key=lambda name: gone[name].status.finished_at or now))
