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
