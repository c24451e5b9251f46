"""What a TokenReview's answer makes of a caller."""

from __future__ import annotations

from typing import Any

import pytest

from perfrun.controller.access import DeniedError, bearer, caller_of
from perfrun_kernels.contract import AUDIENCE

EXTRA = {"authentication.kubernetes.io/pod-name": ["p"], "authentication.kubernetes.io/pod-uid": ["u"]}
USER = {"username": "system:serviceaccount:ns:default", "groups": ["system:authenticated"], "extra": EXTRA}
GOOD = {"authenticated": True, "audiences": [AUDIENCE], "user": USER}


def test_a_pod_is_known_by_its_token() -> None:
    caller = caller_of(GOOD, AUDIENCE)
    assert (caller.namespace, caller.pod, caller.pod_uid) == ("ns", "p", "u")


@pytest.mark.parametrize(
    "status",
    [{}, {"authenticated": False, "error": "expired"}, GOOD | {"audiences": ["x"]}, GOOD | {"audiences": []}],
    ids=["nothing", "not authenticated", "another audience", "no audience"],
)
def test_whoever_is_not_known_is_denied(status: dict[str, Any]) -> None:
    with pytest.raises(DeniedError) as raised:
        caller_of(status, AUDIENCE)
    assert raised.value.status == 401


def test_a_user_is_no_pod_whatever_they_are_called() -> None:
    caller = caller_of({"authenticated": True, "user": {"username": "ns:default"}}, None)
    assert (caller.namespace, caller.pod) == ("", "")


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic abc", "abc"])
def test_no_bearer_token_no_entry(header: str | None) -> None:
    with pytest.raises(DeniedError):
        bearer(header)


@pytest.mark.parametrize("header", ["Bearer abc", "bearer abc ", "BEARER abc"])
def test_a_bearer_token_is_read_in_any_case(header: str) -> None:
    assert bearer(header) == "abc"
