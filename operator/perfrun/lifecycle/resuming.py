"""Stages that outlive their pods: what an attempt had handed in before it was lost counts, and the next does the rest.

A soak of a day would otherwise begin anew with every node that is drained.
"""

from __future__ import annotations

import math

from perfrun.api.plan import Stage
from perfrun.api.run import ArtifactLink, StageStatus
from perfrun.lifecycle.values import RunObservation
from perfrun_kernels.contract import Result


def checkpoints(stage: Stage, seen: RunObservation, before: int) -> tuple[Result, ...]:
    """Return what attempts with a number below ``before`` had handed in while they went on, in their order."""
    found = sorted(seen.checkpoints.get(stage.id, {}).items())
    return tuple(each.result for number, each in found if number < before and isinstance(each.result, Result))


def earlier(stage: Stage, state: StageStatus, seen: RunObservation) -> tuple[Result, ...]:
    """Return the checkpoints that are evidence: of all attempts but one that handed in its result."""
    return checkpoints(stage, seen, state.attempt if state.state == "Done" else state.attempt + 1)


def links(stage: Stage, seen: RunObservation) -> tuple[ArtifactLink, ...]:
    """Return the links to all checkpoints of a stage."""
    return tuple(each.link for _, each in sorted(seen.checkpoints.get(stage.id, {}).items()))


def told(stage: Stage, attempt: int, seen: RunObservation) -> Stage:
    """Return the stage as the pod of an attempt is told of it: with what is done already, in seconds and segments."""
    done = checkpoints(stage, seen, attempt)
    if not done:
        return stage
    spent = math.fsum(each.finished - each.started for each in done)
    return stage.replace(parameters=stage.parameters | {"done_seconds": spent, "segments": len(done)})
