"""Turns events into wake-ups. It knows who is concerned by a change, and decides nothing.

Events are hints: every turn reads the world anew, so one that comes twice, late or not at all costs time, never
correctness. What is kept of an object is the little that answers whom to wake, and what the gauges count.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from perfrun.api.run import Phase
from perfrun.controller.forecasts import Forecasts
from perfrun.controller.references import References
from perfrun.controller.telemetry import Telemetry
from perfrun.lifecycle.values import Key, Kind
from perfrun.manifests import labels

_FINISHED: Final = frozenset(phase.value for phase in Phase if phase.finished)


@attrs.frozen
class _Known:
    namespace: str
    name: str
    phase: str
    verdict: str


class Hub:
    """Hears every event; ``wake`` gives a key its turn, ``orphaned`` hears the uid of each run that went."""

    def __init__(self, wake: Callable[[Key], None], orphaned: Callable[[str], None], telemetry: Telemetry) -> None:
        self._wake = wake
        self._orphaned = orphaned
        self._telemetry = telemetry
        self._references = References()
        self.forecasts = Forecasts()
        self._runs: dict[str, _Known] = {}
        self._generations: dict[Key, int] = {}

    def namespace_of(self, uid: str) -> str | None:
        """Return the namespace of a run that exists."""
        known = self._runs.get(uid)
        return None if known is None else known.namespace

    def phases(self) -> Counter[tuple[str, ...]]:
        """Count runs by phase and verdict."""
        return Counter((known.phase, known.verdict) for known in self._runs.values())

    def poll(self) -> None:
        """Wake the features whose text is kept in a ConfigMap, for those are not watched."""
        for key in self._references.in_config_maps():
            self._wake(key)

    def object_event(self, kind: Kind, stored: Mapping[str, Any], *, gone: bool) -> None:
        """Hear of one of our own objects."""
        metadata = stored["metadata"]
        key = Key(kind, sys.intern(metadata["namespace"]), metadata["name"])
        match kind:
            case "PerfFeature":
                self._feature(key, stored, gone=gone)
            case "PerfRun":
                self._run(key, stored, gone=gone)
            case "PerfTarget":
                self._target(key, stored, gone=gone)
            case "PerfForecast":
                self._forecast(key, stored, gone=gone)

    def pod_event(self, stored: Mapping[str, Any]) -> None:
        """Hear of a pod of a run, whether the run owns it, or its Job does, or (a fault agent) nobody."""
        metadata = stored["metadata"]
        marks = metadata.get("labels") or {}
        run = self._runs.get(marks.get(labels.RUN_UID, ""))
        if run is not None and run.phase not in _FINISHED:
            self._wake(Key("PerfRun", run.namespace, run.name))
        feature = marks.get(labels.FEATURE)
        if feature:
            self._telemetry.pod_appeared(Key("PerfFeature", metadata["namespace"], feature))

    def _feature(self, key: Key, stored: Mapping[str, Any], *, gone: bool) -> None:
        if gone:
            self._references.forget(key)
            self._generations.pop(key, None)
            self._telemetry.forget(key)
            return
        self._references.note(key, stored.get("spec") or {})
        status = stored.get("status") or {}
        generation = stored["metadata"].get("generation", 1)
        if self._generations.get(key) != generation:
            self._generations[key] = generation
            if status.get("observedGeneration") != generation:
                self._telemetry.feature_changed(key)
        self._telemetry.verdict(key, status.get("verdict"))
        self._wake(key)

    def _run(self, key: Key, stored: Mapping[str, Any], *, gone: bool) -> None:
        metadata, spec, status = stored["metadata"], stored.get("spec") or {}, stored.get("status") or {}
        uid, phase = metadata["uid"], str(status.get("phase") or Phase.PENDING.value)
        known = _Known(key.namespace, key.name, sys.intern(phase), sys.intern(str(status.get("verdict") or "")))
        before = self._runs.get(uid)
        # A feature follows its runs' phases and verdicts; that a run is there now, it knows: it created it.
        concerned = gone or (known != before and (before is not None or phase != Phase.PENDING.value))
        if concerned and (feature := spec.get("featureRef")):
            self._wake(Key("PerfFeature", key.namespace, feature))
        if gone:
            self._references.forget(key)
            self._runs.pop(uid, None)
            self._orphaned(uid)
            return
        self._runs[uid] = known
        if phase in _FINISHED:
            self._references.forget(key)
            # Nothing can happen to a finished run but its deletion, so without a time to live it gets no turn.
            if spec.get("ttlAfterFinished") is None and metadata.get("deletionTimestamp") is None:
                return
        else:
            self._references.note(key, spec)
        self._wake(key)

    def _target(self, key: Key, stored: Mapping[str, Any], *, gone: bool) -> None:
        if not gone:
            self._wake(key)
        if self._references.changed(key, None if gone else stored["metadata"].get("generation", 1)):
            for user in self._references.users(key):
                self._wake(user)

    def _forecast(self, key: Key, stored: Mapping[str, Any], *, gone: bool) -> None:
        if gone:
            self.forecasts.forget(key)
            return
        if self.forecasts.note(key, stored):
            # What a target keeps depends on how many forecasts there are, and on which of them are over.
            self._wake(Key("PerfTarget", key.namespace, str((stored.get("spec") or {}).get("targetRef", ""))))
        if not self.forecasts.over(key):
            self._wake(key)
