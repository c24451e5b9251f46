"""What pipelines read: one verdict as JSON, never stale and never mistaken for a pass."""

from __future__ import annotations

from typing import Any

from perfrun.lifecycle.values import Run


def verdict_of(run: Run) -> dict[str, Any]:
    """Return the verdict of a run for a web gate; ``verdict`` is null until the run is finished."""
    status = run.status
    finished = status.phase.finished
    return {
        "namespace": run.meta.namespace,
        "name": run.meta.name,
        "uid": run.meta.uid,
        "phase": str(status.phase),
        "finished": finished,
        "verdict": str(status.verdict) if finished and status.verdict is not None else None,
        "passed": finished and status.verdict == "Pass",
        "reason": status.reason,
        "message": status.message,
        "scenarios": status.summary,
        "revision": run.spec.revision,
        "featureDigest": status.frozen.feature_digest if status.frozen is not None else None,
        "finishedAt": status.finished_at.isoformat() if status.finished_at is not None else None,
    }
