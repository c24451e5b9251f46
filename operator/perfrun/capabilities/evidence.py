"""Evidence that holds no value, put into words once for all capabilities."""

from __future__ import annotations

import datetime as dt

from perfrun.api.run import Source, TimeWindow
from perfrun.capabilities.base import Evidence, NotMeasured
from perfrun_kernels.contract import Result


def unmeasured(evidence: Evidence) -> NotMeasured | None:
    """Return why a pod's evidence holds nothing to measure, or None where it holds a completed result."""
    result = evidence.result
    if result is None:
        return NotMeasured(
            reason=evidence.lost_reason or "NoResult",
            message=evidence.lost_message or "its benchmark pod left no result",
            broken=evidence.broken,
            source=source(evidence),
        )
    if result.outcome == "Completed":
        return None
    return NotMeasured(
        reason=result.reason or result.outcome,
        message=result.message or f"the benchmark pod ended as {result.outcome} and did not say why",
        broken=result.outcome == "Failed",
        source=source(evidence),
        window=window(result),
        facts=dict(result.facts),
    )


def source(evidence: Evidence) -> Source | None:
    """Return the pod as a source, where one is known."""
    return Source(kind="Pod", name=evidence.pod) if evidence.pod else None


def window(result: Result) -> TimeWindow:
    """Return the time that a result covers."""
    return TimeWindow(start=moment(result.started), end=moment(result.finished))


def moment(seconds: float) -> dt.datetime:
    """Return seconds since the epoch as a moment in UTC."""
    return dt.datetime.fromtimestamp(seconds, tz=dt.UTC)
