"""A status that always fits: etcd refuses objects over 1.5 MiB, and watchers suffer long before."""

from __future__ import annotations

import json

from perfrun.api.run import RunStatus
from perfrun.api.verdicts import Verdict

LIMIT = 240 * 1024
"""Largest status as JSON, bytes; with metadata and spec the object stays near 256 KiB."""

_LEAST_TELLING_FIRST = (Verdict.PASS, Verdict.SKIPPED, Verdict.INCONCLUSIVE, Verdict.ERROR, Verdict.FAIL)


def size(status: RunStatus) -> int:
    """Return the bytes that the status takes as JSON."""
    return len(json.dumps(status.to_wire()).encode())


def slimmed(status: RunStatus, limit: int = LIMIT // 2) -> RunStatus:
    """Return the status without who served under loads that are over, where it takes more than ``limit`` bytes.

    Of a run with many scenarios on many nodes that is most of the status, and it grows before there is a report. The
    results of the generators name every server, too.
    """
    if not any(each.serving for each in status.stages) or size(status) <= limit:
        return status
    stages = tuple(each.replace(serving=()) if each.state == "Done" else each for each in status.stages)
    return status.replace(stages=stages)


def fitted(status: RunStatus, limit: int = LIMIT) -> RunStatus:
    """Return the status with the steps of scenarios left out, passed ones first, until it fits.

    Nothing is lost by that: the report in the artifact store holds every step.
    """
    excess = size(status) - limit
    scenarios = list(status.scenarios)
    for verdict in _LEAST_TELLING_FIRST:
        for index, each in enumerate(scenarios):
            if excess <= 0:
                return status.replace(scenarios=tuple(scenarios))
            if each.verdict is verdict and each.steps:
                excess -= len(json.dumps([step.to_wire() for step in each.steps]).encode())
                note = "steps are in the report"
                message = f"{each.message}; {note}" if each.message else note
                scenarios[index] = each.replace(steps=(), message=message)
                excess += len(note) + 2
    return status.replace(scenarios=tuple(scenarios))
