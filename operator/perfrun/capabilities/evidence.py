"""Evidence that holds no value, put into words once for all capabilities."""

from __future__ import annotations

import datetime as dt

from perfrun.api.run import Source, TimeWindow
from perfrun.capabilities.base import Evidence, NotMeasured
from perfrun_kernels.contract import Result


def completed(evidence: Evidence) -> Result | NotMeasured:
    """Return the completed result of a pod's evidence, or why there is nothing to measure."""
    result = evidence.result
    if result is not None and result.outcome == "Completed":
        return result
    return _unmeasured(evidence)


def source(evidence: Evidence) -> Source | None:
    """Return the pod as a source, where one is known."""
    return place(evidence) if evidence.pod else None


def place(evidence: Evidence) -> Source:
    """Return the pod as the source of what was measured; its name is empty where it is not known."""
    return Source(kind="Pod", name=evidence.pod)


def number(result: Result, name: str) -> float | None:
    """Return one of a result's numbers, or None where it could not be had."""
    found = result.scalars.get(name)
    return found.value if found is not None else None


def lacking(result: Result, name: str) -> str:
    """Return the pod's sentence why one of its numbers could not be had, empty where it gave none."""
    found = result.scalars.get(name)
    return found.reason if found is not None else ""


def window(result: Result) -> TimeWindow:
    """Return the time that a result covers."""
    return TimeWindow(start=moment(result.started), end=moment(result.finished))


def moment(seconds: float) -> dt.datetime:
    """Return seconds since the epoch as a moment in UTC."""
    return dt.datetime.fromtimestamp(seconds, tz=dt.UTC)


def _unmeasured(evidence: Evidence) -> NotMeasured:
    result = evidence.result
    if result is None:
        return NotMeasured(
            reason=evidence.lost_reason or "NoResult",
            message=evidence.lost_message or "its benchmark pod left no result",
            broken=evidence.broken,
            source=source(evidence),
        )
    return NotMeasured(
        reason=result.reason or result.outcome,
        message=result.message or f"the benchmark pod ended as {result.outcome} and did not say why",
        broken=result.outcome == "Failed",
        source=source(evidence),
        window=window(result),
        facts=dict(result.facts),
    )
