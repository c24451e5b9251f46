"""A feature's decision to verify becomes a PerfRun manifest, owned by the feature."""

from __future__ import annotations

from typing import Any

from perfrun.api import API_VERSION
from perfrun.api.run import RunSpec
from perfrun.manifests import labels
from perfrun.manifests.names import label_value
from perfrun.manifests.pods import owner_reference


def perf_run(name: str, namespace: str, spec: RunSpec, cause: str, owner: tuple[str, str]) -> dict[str, Any]:
    """Return the manifest of the run that a feature starts; nothing of the feature's own metadata is copied.

    ``owner`` is the feature's name and uid; ``cause`` says in a word or two why the run was started.
    """
    feature, uid = owner
    return {
        "apiVersion": API_VERSION,
        "kind": "PerfRun",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {labels.FEATURE: label_value(feature), labels.MANAGED_BY: "perfrun"},
            "annotations": {labels.CAUSE: cause},
            "ownerReferences": [owner_reference("PerfFeature", feature, uid)],
        },
        "spec": spec.to_wire(),
    }
