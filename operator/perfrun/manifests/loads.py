"""One attempt at a load becomes an Indexed Job: generator pods that share its rate, alike but for their index.

A Job rather than pods, because the pods of a load belong together: each index is made once, none is made anew after
one failed, and all of them go with one deletion. They begin together at a moment that each of them is told.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, Final

import attrs

from perfrun.api.base import JSON
from perfrun.capabilities.traffic import NAMESPACE, OPERATORS
from perfrun.manifests import labels
from perfrun.manifests.names import label_value
from perfrun.manifests.pods import Attempt, PodSettings, benchmark_pod, not_on

LEAD: Final = "lead_seconds"
"""Parameter of a load stage that is for the operator: how long its pods get from creation to the first request."""

_UID_PART: Final = 13


@attrs.frozen
class LoadAttempt:
    """One attempt at a load stage; ``attempt.pod`` is the name of the Job.

    Generators begin together at ``start_at``. They never run on the nodes ``avoid``, and rather not on those in
    ``rather_not``.
    """

    attempt: Attempt
    start_at: dt.datetime
    avoid: tuple[str, ...] = ()
    rather_not: tuple[str, ...] = ()


def request_prefix(run_uid: str, stage: str, attempt: int) -> str:
    """Return what the ids of all requests of one attempt begin with; no two attempts of any runs share it."""
    return f"{run_uid[:_UID_PART]}-{stage}-{attempt}"


def load_job(load: LoadAttempt, settings: PodSettings) -> dict[str, Any]:
    """Return the manifest of the Job that makes one attempt at a load stage."""
    attempt = load.attempt
    shards = attempt.stage.shards
    stage = attempt.stage.replace(parameters=_parameters(load), seconds=_budget(attempt))
    pod = benchmark_pod(attrs.evolve(attempt, stage=stage), settings)
    metadata = pod["metadata"]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": attempt.pod, "namespace": attempt.namespace, "labels": metadata["labels"],
            "ownerReferences": metadata["ownerReferences"],
        },
        "spec": {
            "completions": shards,
            "parallelism": shards,
            "completionMode": "Indexed",
            # A generator that is made anew would begin late; whether all are tried again is decided with all in view.
            "backoffLimit": 0,
            "podReplacementPolicy": "Failed",
            "template": {
                "metadata": {name: metadata[name] for name in ("labels", "annotations") if name in metadata},
                "spec": pod["spec"] | _placement(load),
            },
        },
    }  # fmt: skip


def _parameters(load: LoadAttempt) -> dict[str, JSON]:
    attempt = load.attempt
    planned = {name: value for name, value in attempt.stage.parameters.items() if name not in OPERATORS}
    return planned | {
        "url": str(planned["url"]).replace(NAMESPACE, attempt.namespace),
        "run": request_prefix(attempt.run_uid, attempt.stage.id, attempt.number),
        "shards": attempt.stage.shards,
        "start_at": load.start_at.timestamp(),
    }


def _budget(attempt: Attempt) -> float:
    """Return the seconds from a generator's start to its last answer: what it waits for, the schedule, the deadline."""
    planned = attempt.stage.parameters
    return attempt.stage.seconds + _number(planned, LEAD) * attempt.number + _number(planned, "deadline_seconds")


def _number(parameters: Mapping[str, JSON], name: str) -> float:
    value = parameters.get(name)
    return float(value) if isinstance(value, int | float) else 0.0


def _placement(load: LoadAttempt) -> dict[str, Any]:
    target = load.attempt.target
    affinity: dict[str, Any] = {}
    if load.avoid:
        affinity["requiredDuringSchedulingIgnoredDuringExecution"] = {"nodeSelectorTerms": [not_on(load.avoid)]}
    if load.rather_not:
        affinity["preferredDuringSchedulingIgnoredDuringExecution"] = [
            {"weight": 100, "preference": not_on(load.rather_not)}
        ]
    placement: dict[str, Any] = {
        # Generators that share a node share its CPU and its network.
        "topologySpreadConstraints": [
            {
                "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {
                    "matchLabels": {
                        labels.RUN_UID: load.attempt.run_uid, labels.ATTEMPT: str(load.attempt.number),
                        labels.STAGE: label_value(load.attempt.stage.id),
                    }
                },
            }
        ]
    }  # fmt: skip
    if affinity:
        placement["affinity"] = {"nodeAffinity": affinity}
    if selector := target.pods.node_selector | target.load.node_selector:
        placement["nodeSelector"] = selector
    return placement
