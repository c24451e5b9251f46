"""What is sent to the API server: status bodies and Events, as pure functions of values.

A status body names the version that it was decided from, so a newer object refuses it. Metadata other than what
identifies the object is never sent: an operator that echoes annotations or labels overwrites what others wrote.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, Final

from perfrun.api import API_VERSION, GROUP
from perfrun.api.durations import rfc3339
from perfrun.lifecycle.values import Emit, Feature, Kept, Kind, Ours, Run, Target
from perfrun.manifests.names import event_name

_LONGEST_NOTE: Final = 1024
_LONGEST_INSTANCE: Final = 128


def kind_of(about: Ours) -> Kind:
    """Return the kind of an object that was read."""
    match about:
        case Run():
            return "PerfRun"
        case Feature():
            return "PerfFeature"
        case Target():
            return "PerfTarget"
        case Kept():
            return "PerfForecast"


def status_body(about: Ours, status: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body that replaces an object's status, unless the object changed since it was read."""
    meta = about.meta
    return {
        "apiVersion": API_VERSION,
        "kind": kind_of(about),
        "metadata": {
            "name": meta.name, "namespace": meta.namespace, "uid": meta.uid, "resourceVersion": meta.resource_version,
        },
        "spec": about.spec.to_wire(),
        "status": dict(status),
    }  # fmt: skip


def event_body(about: Ours, event: Emit, now: dt.datetime, instance: str) -> dict[str, Any]:
    """Return an Event whose name follows from what it tells, so that telling it twice is found out."""
    meta = about.meta
    regarding = {
        "apiVersion": API_VERSION, "kind": kind_of(about), "name": meta.name, "namespace": meta.namespace,
        "uid": meta.uid,
    }  # fmt: skip
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": event_name(meta.uid, event.reason, event.message), "namespace": meta.namespace},
        "eventTime": rfc3339(now),
        "type": event.type,
        "reason": event.reason,
        "note": event.message.encode()[:_LONGEST_NOTE].decode(errors="ignore"),
        "action": event.reason,
        "regarding": regarding,
        "reportingController": GROUP,
        "reportingInstance": (instance or "perfrun")[:_LONGEST_INSTANCE],
    }


def again(stored: Mapping[str, Any], now: dt.datetime) -> dict[str, Any]:
    """Return the patch that turns a stored Event into a series with one more occurrence."""
    count = (stored.get("series") or {}).get("count", 1)
    return {"series": {"count": count + 1, "lastObservedTime": rfc3339(now)}}
