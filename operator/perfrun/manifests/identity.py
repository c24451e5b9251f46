"""With what a pod hands its result in: where to, a token that only the operator takes, and who vouches for it.

The same for benchmark pods and for agents that hand in: no pod of ours has any other way to talk to anything.
"""

from __future__ import annotations

from typing import Any, Final

from perfrun.manifests import labels
from perfrun_kernels import contract

MOUNTED: Final = "/var/run/perfrun"
VOLUME: Final = "identity"

_TOKEN_SECONDS: Final = 600


def result_url(base: str, namespace: str, run: str, stage: str, attempt: int) -> str:
    """Return where the pod of one attempt hands in its result."""
    return f"{base.rstrip('/')}/results/{namespace}/{run}/{stage}/{attempt}"


def environment(url: str, ca_bundle: str) -> dict[str, str]:
    """Return the variables that tell a pod where it hands in; ``ca_bundle`` is empty for plain HTTP."""
    told = {contract.RESULT_URL_ENV: url, contract.TOKEN_FILE_ENV: f"{MOUNTED}/token"}
    return told | ({contract.CA_FILE_ENV: f"{MOUNTED}/ca.crt"} if ca_bundle else {})


def annotation(ca_bundle: str) -> dict[str, str]:
    """Return the annotations of the pod, from which the volume takes the certificates."""
    return {labels.CA_BUNDLE: ca_bundle} if ca_bundle else {}


def mount() -> dict[str, Any]:
    """Return how the container mounts the volume."""
    return {"name": VOLUME, "mountPath": MOUNTED, "readOnly": True}


def volume(ca_bundle: str) -> dict[str, Any]:
    """Return the volume with the token, and the certificates where there are any."""
    token = {"audience": contract.AUDIENCE, "expirationSeconds": _TOKEN_SECONDS, "path": "token"}
    sources: list[dict[str, Any]] = [{"serviceAccountToken": token}]
    if ca_bundle:
        field = {"fieldPath": f"metadata.annotations['{labels.CA_BUNDLE}']"}
        sources.append({"downwardAPI": {"items": [{"path": "ca.crt", "fieldRef": field}]}})
    return {"name": VOLUME, "projected": {"sources": sources}}
