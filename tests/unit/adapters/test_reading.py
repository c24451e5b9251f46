"""Objects that cannot be read say where and why, for a person will have to change them."""

from __future__ import annotations

from typing import Any

import pytest

from perfrun.adapters.reading import MalformedError, feature_of, forecast_of, owned_by, run_of, target_of
from perfrun.lifecycle.values import Key

METADATA = {
    "name": "x", "namespace": "ns", "uid": "u", "generation": 3, "resourceVersion": "7",
    "creationTimestamp": "2026-01-01T00:00:00Z", "managedFields": [{}], "finalizers": ["a/b"],
}  # fmt: skip


def stored(**parts: Any) -> dict[str, Any]:
    return {"metadata": METADATA, "spec": {"targetRef": "t"}} | parts


def test_a_feature_as_the_api_server_first_stores_it() -> None:
    feature = feature_of(stored(status={"observedGeneration": -1}))
    assert (feature.meta.generation, feature.meta.resource_version, feature.meta.finalizers) == (3, "7", ("a/b",))
    assert (feature.spec.target_ref, feature.status.observed_generation, feature.meta.deleting) == ("t", -1, False)


def test_a_run_without_a_status_is_pending() -> None:
    assert run_of(stored()).status.phase == "Pending"


def test_an_object_on_its_way_out() -> None:
    assert target_of({"metadata": METADATA | {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "spec": {}}).meta.deleting


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"spec": {}}, "PerfRun ns/x: spec.targetRef: Field required"),
        ({"spec": {"targetRef": "t", "colour": "red"}}, "spec.colour: Extra inputs are not permitted, found 'red'"),
        ({"spec": {"targetRef": "t", "timeout": "soon"}}, "spec.timeout: "),
        ({"status": {"phase": "Dancing"}}, "status.phase: "),
        ({"spec": {"colour": "red"}}, "(1 more)"),
    ],
    ids=["missing", "of a newer version", "no duration", "status", "several"],
)
def test_what_cannot_be_read_is_told_with_its_place(parts: dict[str, Any], message: str) -> None:
    with pytest.raises(MalformedError) as raised:
        run_of(stored(**parts))
    assert message in str(raised.value)
    assert raised.value.key == Key("PerfRun", "ns", "x")


def test_a_forecast_that_cannot_be_read_is_told_with_its_place() -> None:
    with pytest.raises(MalformedError, match=r"PerfForecast ns/x: spec\.run: Field required, .* \(7 more\)"):
        forecast_of(stored())


def test_owners_are_known_by_uid_not_by_name() -> None:
    owner = {"kind": "PerfFeature", "name": "f", "uid": "1"}
    child = {"metadata": METADATA | {"ownerReferences": [owner]}}
    assert owned_by(child, "1")
    assert not owned_by(child, "2")
    assert not owned_by({"metadata": METADATA}, "1")
