"""Pictures on a report's page: shown where they can be read and are what was measured, else it is said why not."""

from __future__ import annotations

import asyncio
import base64
import re
from pathlib import Path

import attrs
import pytest

from perfrun.adapters.artifacts import FsspecArtifacts
from perfrun.api.plan import Plan, PlannedScenario, PlannedStep, Stage
from perfrun.api.run import Frozen, Phase, RunStatus, ScenarioStatus
from perfrun.api.target import TargetSpec
from perfrun.api.verdicts import Verdict
from perfrun.cli import pictures, show
from perfrun.cli.pictures import read_pictures

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


@pytest.fixture
def store(tmp_path):
    return tmp_path / "store"


def put(store, name, content, public=""):
    return asyncio.run(FsspecArtifacts(store.as_uri(), public).put(f"runs/uid-1/{name}", content))


def evidence(links, place=""):
    planned = tuple(
        PlannedScenario(name=name, line=1, steps=(PlannedStep(keyword="Then", text="x", line=2),)) for name in "ab"
    )
    stages = tuple(Stage(id=f"s{index}-telemetry", kind="pod", scenario=index) for index in (0, 1))
    frozen = Frozen(
        feature="f", feature_digest="d", target=TargetSpec(), target_digest="d", plan_digest="d",
        plan=Plan(scenarios=planned, stages=stages),
    )  # fmt: skip
    scenarios = tuple(
        ScenarioStatus(name=name, line=3, verdict=Verdict.PASS, message="why", steps=()) for name in ("First", "Second")
    )
    status = RunStatus(phase=Phase.PASSED, frozen=frozen, scenarios=scenarios, artifacts=tuple(links))
    return show.Evidence("f", status, read_pictures(status.artifacts, place))


def test_a_picture_is_on_the_page_below_its_scenario(store):
    link = put(store, "s1-telemetry.telemetry.svg", SVG)
    page = show.html(evidence([link]))
    [shown] = re.findall('<img src="data:image/svg\\+xml;base64,([^"]+)"', page)
    assert base64.b64decode(shown) == SVG
    assert page.index("Second") < page.index("<img")
    # An image runs no script; a page with the picture's own markup would.
    assert "<script>" not in page


@pytest.mark.parametrize("name", ["s0-telemetry.series.json", "report.json", "s0-telemetry.trace.pftrace"])
def test_what_is_no_picture_is_left_to_its_link(store, name):
    assert evidence([put(store, name, b"{}")]).pictures == ()


def test_a_picture_that_was_changed_is_not_shown(store):
    link = put(store, "s0-telemetry.telemetry.svg", SVG)
    Path(link.url.removeprefix("file://")).write_bytes(SVG + b" ")
    page = show.html(evidence([link]))
    assert "<img" not in page
    assert "s0-telemetry.telemetry is not shown" in page
    assert "its digest is another one" in page


def test_what_the_operator_keeps_is_shown_from_a_copy(store):
    link = put(store, "s0-telemetry.telemetry.svg", SVG, public="https://perfrun.system.svc:8443")
    assert link.url.startswith("https://")
    assert "copy its artifacts and name the directory" in show.html(evidence([link]))
    for place in (str(store), store.as_uri()):
        assert "<img" in show.html(evidence([link], place))
    assert "cannot be read" in show.html(evidence([link], str(store / "elsewhere")))


@pytest.mark.parametrize(
    "url", ["nowhere://bucket/runs/uid-1/s0-telemetry.telemetry.svg", "file:///gone/runs/1/s0-telemetry.t.svg"]
)
def test_a_store_that_cannot_be_read_spoils_no_report(store, url):
    link = put(store, "s0-telemetry.telemetry.svg", SVG).replace(url=url)
    assert f"{url} cannot be read" in show.html(evidence([link]))


def test_a_picture_of_many_megabytes_is_left_to_its_link(store, monkeypatch):
    monkeypatch.setattr(pictures, "MOST_BYTES", len(SVG) - 1)
    assert "a page shows at most" in show.html(evidence([put(store, "s0-telemetry.telemetry.svg", SVG)]))


def test_other_forms_read_no_picture(store):
    found = evidence([put(store, "s0-telemetry.telemetry.svg", SVG)])
    assert show.as_json(found) == show.as_json(attrs.evolve(found, pictures=()))
