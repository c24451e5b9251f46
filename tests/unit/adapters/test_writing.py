from __future__ import annotations

import datetime as dt

import pytest

from perfrun.adapters.writing import again, event_body, status_body
from perfrun.api.run import RunSpec, RunStatus
from perfrun.lifecycle.values import Emit, Meta, Run

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
META = Meta("x", "ns", "uid", resource_version="7", labels={"a": "b"}, annotations={"c": "d"}, finalizers=("e/f",))
RUN = Run(META, RunSpec(target_ref="t"), RunStatus())


def test_a_status_names_its_version_and_echoes_no_metadata() -> None:
    body = status_body(RUN, {"phase": "Running"})
    assert body["metadata"] == {"name": "x", "namespace": "ns", "uid": "uid", "resourceVersion": "7"}
    assert body["status"] == {"phase": "Running"}


@pytest.mark.parametrize("message", ["short", "x" * 5000, "ü" * 5000])
def test_an_event_fits_what_the_api_server_takes(message: str) -> None:
    body = event_body(RUN, Emit("Warning", "Odd", message), NOW, "i" * 500)
    assert len(body["note"].encode()) <= 1024
    assert len(body["reportingInstance"]) <= 128
    assert len(body["metadata"]["name"]) <= 63


def test_the_same_news_has_the_same_name_and_other_news_another() -> None:
    def name(reason: str, message: str) -> str:
        return str(event_body(RUN, Emit("Normal", reason, message), NOW, "")["metadata"]["name"])

    assert name("A", "m") == name("A", "m")
    assert len({name("A", "m"), name("B", "m"), name("A", "n")}) == 3


def test_a_repeated_event_counts() -> None:
    assert again({}, NOW)["series"]["count"] == 2
    assert again({"series": {"count": 5}}, NOW)["series"]["count"] == 6
