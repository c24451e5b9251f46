"""A forecast that a run made becomes a PerfForecast manifest, owned by the run's target: it outlives the run."""

from __future__ import annotations

from typing import Any

from perfrun.api import API_VERSION
from perfrun.api.kept import ForecastSpec
from perfrun.manifests import labels
from perfrun.manifests.names import label_value
from perfrun.manifests.pods import owner_reference


def perf_forecast(name: str, namespace: str, spec: ForecastSpec, target_uid: str) -> dict[str, Any]:
    """Return the manifest of a forecast; ``target_uid`` is that of the target which the spec names."""
    return {
        "apiVersion": API_VERSION,
        "kind": "PerfForecast",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {
                labels.TARGET: label_value(spec.target_ref), labels.METRIC: label_value(spec.key),
                labels.RUN: label_value(spec.run), labels.MANAGED_BY: "perfrun",
            },
            "ownerReferences": [owner_reference("PerfTarget", spec.target_ref, target_uid)],
        },
        "spec": spec.to_wire(),
    }  # fmt: skip
