"""Who is asking, and may they: answered by the API server itself, so that perfrun keeps no secrets and no users."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs

from perfrun.adapters.api import Api, Refused
from perfrun.api import GROUP
from perfrun.ports import Unavailable
from perfrun_kernels.contract import AUDIENCE

_POD_NAME: Final = "authentication.kubernetes.io/pod-name"
_POD_UID: Final = "authentication.kubernetes.io/pod-uid"
_SERVICE_ACCOUNT: Final = "system:serviceaccount:"


class DeniedError(Exception):
    """The caller is not who may do this; ``status`` is the HTTP status, the message a sentence."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@attrs.frozen
class Caller:
    """Who a token speaks for; ``namespace`` and ``pod`` are those of the pod that it is bound to, or empty."""

    username: str
    groups: tuple[str, ...]
    extra: Mapping[str, tuple[str, ...]]
    namespace: str = ""
    pod: str = ""
    pod_uid: str = ""


def bearer(header: str | None) -> str:
    """Return the token of an Authorization header; raises DeniedError where there is none."""
    scheme, _, token = (header or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise DeniedError(401, "a bearer token is needed: send 'Authorization: Bearer TOKEN'")
    return token.strip()


def caller_of(status: Mapping[str, Any], audience: str | None) -> Caller:
    """Read the status of a TokenReview; raises DeniedError where the token speaks for nobody or not to us."""
    if not status.get("authenticated"):
        raise DeniedError(401, f"the token is not valid: {status.get('error') or 'the API server does not know it'}")
    if audience is not None and audience not in (status.get("audiences") or ()):
        raise DeniedError(401, f"the token is meant for {status.get('audiences')}, expected audience {audience}")
    user = status.get("user") or {}
    extra = {name: tuple(values) for name, values in (user.get("extra") or {}).items()}
    username = str(user.get("username", ""))
    namespace = username[len(_SERVICE_ACCOUNT) :].partition(":")[0] if username.startswith(_SERVICE_ACCOUNT) else ""
    return Caller(
        username=username, groups=tuple(user.get("groups") or ()), extra=extra, namespace=namespace,
        pod=next(iter(extra.get(_POD_NAME, ())), ""), pod_uid=next(iter(extra.get(_POD_UID, ())), ""),
    )  # fmt: skip


class Access:
    """Asks the API server about tokens and permissions."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def pod(self, token: str) -> Caller:
        """Return the pod that a result token speaks for.

        Raises:
            DeniedError: it is no valid token of a pod for this audience.
            Unavailable: the API server did not answer.
        """
        caller = await self._review(token, AUDIENCE)
        if not caller.pod or not caller.namespace:
            raise DeniedError(403, "the token is not bound to a pod; expected the projected token of a benchmark pod")
        return caller

    async def reader(self, token: str, namespace: str) -> Caller:
        """Return who asks, if they may read the PerfRuns of a namespace.

        Raises:
            DeniedError: they may not, or the token is not valid.
            Unavailable: the API server did not answer.
        """
        caller = await self._review(token, None)
        review = {
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "spec": {
                "user": caller.username, "groups": list(caller.groups),
                "extra": {name: list(values) for name, values in caller.extra.items()},
                "resourceAttributes": {
                    "group": GROUP, "resource": "perfruns", "verb": "get", "namespace": namespace,
                },
            },
        }  # fmt: skip
        answer = await self._ask("/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
        if not answer.get("allowed"):
            msg = f"{caller.username} may not get perfruns in namespace {namespace}; ask for a role that allows it"
            raise DeniedError(403, msg)
        return caller

    async def _review(self, token: str, audience: str | None) -> Caller:
        spec = {"token": token} | ({"audiences": [audience]} if audience else {})
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
        return caller_of(await self._ask("/apis/authentication.k8s.io/v1/tokenreviews", review), audience)

    async def _ask(self, path: str, review: Mapping[str, Any]) -> dict[str, Any]:
        try:
            answer = await self._api.create(path, review)
        except Refused as refusal:
            # That we may not ask is a fault of the installation, not of the caller's, so they may come again.
            msg = f"the operator may not create {path.rpartition('/')[2]}: {refusal}"
            raise Unavailable(msg) from refusal
        return dict(answer.get("status") or {})
