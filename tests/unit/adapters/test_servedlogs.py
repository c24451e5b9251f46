"""Which request ids are found in servers' logs, and which gaps are told."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any, cast

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfrun.adapters.api import Api, NotFound
from perfrun.adapters.servedlogs import MOST_BYTES, Finder, ServedLogs, Wanted
from perfrun.api.faults import ServingNode
from perfrun.api.plan import Plan, PlannedScenario, Stage
from perfrun.api.run import Frozen, RunSpec, RunStatus, StageStatus
from perfrun.api.service import RequestLog
from perfrun.api.target import TargetSpec
from perfrun.lifecycle.values import Meta, Run
from perfrun.ports import Unavailable

UID = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"
PREFIX = "0a1b2c3d-4e5f-s1-load-1-"
WANTED = Wanted(re.compile(RequestLog(container="web").good), PREFIX)
IDS = Stage(id="s1-ids", scenario=0, kind="ids", parameters={"after": "s1-load"})
SINCE = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def found(*pieces: bytes) -> set[str]:
    finder = Finder(WANTED)
    for piece in pieces:
        finder.feed(piece)
    finder.end()
    return finder.found


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f"{PREFIX}0-1-0 200", {f"{PREFIX}0-1-0"}),
        (f"GET / {PREFIX}0-1-0 204\r", {f"{PREFIX}0-1-0"}),
        (f"{PREFIX}0-1-0 503", set()),
        (f"probe.{PREFIX}0-1-0 200", set()),
        ("0a1b2c3d-4e5f-s1-load-2-0-1-0 200", set()),
        ("", set()),
    ],
    ids=["good", "in a longer line", "no good answer", "of the probe", "of another attempt", "empty"],
)
def test_good_answers_of_this_attempt_count(line: str, expected: set[str]) -> None:
    assert found(line.encode()) == expected
    assert found(f"noise\n{line}\nnoise".encode()) == expected


@given(st.lists(st.integers(0, 99), max_size=30), st.lists(st.integers(1, 40), max_size=30))
def test_it_does_not_matter_how_a_log_is_cut_into_pieces(numbers: list[int], cuts: list[int]) -> None:
    log = b"".join(f"{PREFIX}0-{each}-0 200\n".encode() for each in numbers)
    pieces, at = [], 0
    for size in cuts:
        pieces.append(log[at : at + size])
        at += size
    assert found(*pieces, log[at:]) == {f"{PREFIX}0-{each}-0" for each in numbers}


def test_a_line_without_end_is_given_up() -> None:
    finder = Finder(WANTED)
    for _ in range(40):
        finder.feed(b"x" * 65_536)
    finder.feed(f"\n{PREFIX}0-1-0 200\n".encode())
    assert finder.found == {f"{PREFIX}0-1-0"}


@attrs.define
class Logs:
    """Stands in for the API server: pods with the container ``web``, and their logs by name."""

    logs: Mapping[str, Any]
    restarts: int = 0
    asked: list[Mapping[str, str]] = attrs.field(factory=list)

    async def get(self, path: str) -> dict[str, Any]:
        if "/services/" in path:
            return {"spec": {"selector": {"app": "web"}}}
        if path.rpartition("/")[2] not in self.logs:
            raise NotFound(path)
        return {"status": {"containerStatuses": [{"name": "web", "restartCount": self.restarts}]}}

    async def pages(self, path: str, selector: str) -> AsyncIterator[dict[str, Any]]:
        assert (path, selector) == ("/api/v1/namespaces/shop/pods", "app=web")
        for name in self.logs:
            yield {"metadata": {"name": name}}

    async def chunks(self, path: str, query: Mapping[str, str], seconds: float) -> AsyncGenerator[bytes, None]:
        self.asked.append(query)
        log = self.logs[path.split("/")[-2]]
        if isinstance(log, Exception):
            raise log
        for piece in log:
            yield piece


def run(good: str = "", pods: tuple[str, ...] = ()) -> Run:
    log = {"container": "web"} | ({"good": good} if good else {})
    target = TargetSpec.from_wire({"service": {"name": "web", "namespace": "shop", "requestLog": log}})
    frozen = Frozen(
        feature="", feature_digest="", target=target, target_digest="", plan_digest="",
        plan=Plan(scenarios=(PlannedScenario(name="x", line=1, steps=()),), stages=(IDS,)),
    )  # fmt: skip
    load = StageStatus(id="s1-load", attempt=1, serving=(ServingNode(node="n", pods=pods),))
    status = RunStatus(frozen=frozen, stages=(load, StageStatus(id=IDS.id)))
    return Run(Meta("r", "ns", UID), RunSpec(feature="x", target_ref="t"), status)


async def read(logs: Logs, about: Run) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    served = await ServedLogs(cast("Api", logs)).ids(about, IDS, SINCE)
    return served.ids, served.pods, "; ".join(served.gaps)


async def test_logs_of_all_pods_are_joined() -> None:
    line = f"{PREFIX}0-1-0 200\n".encode()
    logs = Logs({"a": [line], "b": [line, f"{PREFIX}1-7-2 201\n".encode()]})
    assert await read(logs, run()) == ((f"{PREFIX}0-1-0", f"{PREFIX}1-7-2"), ("a", "b"), "")
    assert logs.asked[0] == {"container": "web", "sinceTime": "2026-01-01T00:00:00Z"}


async def test_a_pod_that_served_and_is_gone_is_a_gap() -> None:
    ids, pods, gaps = await read(Logs({"a": [f"{PREFIX}0-1-0 200".encode()]}), run(pods=("a", "gone")))
    assert (ids, pods) == ((f"{PREFIX}0-1-0",), ("a", "gone"))
    assert gaps == "pod gone is gone, and its log with it"


async def test_a_log_that_cannot_be_read_is_a_gap_and_the_others_count() -> None:
    line = f"{PREFIX}0-1-0 200\n".encode()
    ids, _, gaps = await read(Logs({"a": Unavailable("the kubelet is away"), "b": [line]}), run())
    assert ids == (f"{PREFIX}0-1-0",)
    assert gaps == "the log of pod a cannot be read: the kubelet is away"


async def test_a_restarted_container_has_two_logs_and_older_ones_are_gone() -> None:
    logs = Logs({"a": []}, restarts=1)
    assert (await read(logs, run()))[2] == ""
    assert [each.get("previous") for each in logs.asked] == ["true", None]
    assert "only the last two logs" in (await read(Logs({"a": []}, restarts=2), run()))[2]


async def test_no_more_is_read_than_is_sensible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perfrun.adapters.servedlogs.MOST_BYTES", 10)
    _, _, gaps = await read(Logs({"a": [b"0123456789", b"\n"]}), run())
    assert "was read no further than" in gaps
    assert MOST_BYTES > 10


@pytest.mark.parametrize(
    ("good", "told"), [("(", "expected a regular expression"), ("ok$", "expected a group named id")]
)
async def test_an_expression_that_finds_nothing_is_a_gap(good: str, told: str) -> None:
    ids, _, gaps = await read(Logs({"a": []}), run(good))
    assert ids == ()
    assert told in gaps
