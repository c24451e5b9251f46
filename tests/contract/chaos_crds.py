"""The kinds of Chaos Mesh and Litmus, as far as the API server has to know them: names, and no schema.

Their controllers are not there. Where a test needs one, it writes the status that such a controller would write.
"""

from __future__ import annotations

from typing import Any, Final

_KINDS: Final = (
    ("chaos-mesh.org", "NetworkChaos", "networkchaos", "networkchaos"),
    ("chaos-mesh.org", "PodChaos", "podchaos", "podchaos"),
    ("litmuschaos.io", "ChaosEngine", "chaosengines", "chaosengine"),
    ("litmuschaos.io", "ChaosResult", "chaosresults", "chaosresult"),
)


def definitions() -> list[dict[str, Any]]:
    """Return their CustomResourceDefinitions."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return [
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{plural}.{group}"},
            "spec": {
                "group": group,
                "scope": "Namespaced",
                "names": {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": singular},
                "versions": [
                    {"name": "v1alpha1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
                ],
            },
        }
        for group, kind, plural, singular in _KINDS
    ]
