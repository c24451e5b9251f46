"""What the documents say is there, is there: links, commands, manifests."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from perfrun.api.target import TargetSpec
from perfrun.cli.inputs import load_target
from perfrun.cli.main import COMMANDS
from perfrun.lifecycle.check_target import target_problems
from perfrun.planning.compile import plan as compile_text

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
NAMES = [page.name for page in PAGES]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert "://" in target or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_command_that_is_named_exists(page):
    text = page.read_text()
    for command in re.findall(r"(?:^|[`$] ?|\| )perfrun ([a-z]+)", text, re.MULTILINE):
        assert command in COMMANDS, command
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for target in re.findall(r"`make ([a-z-]+)`|^make ([a-z-]+)", text, re.MULTILINE):
        assert set(target) - {""} <= targets


def test_make_help_names_every_target_that_people_call():
    said = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("demo", "test", "test-full", "setup", "lint", "bench", "down", "clean"):
        assert re.search(rf"^  make {target} +\w", said, re.MULTILINE), target


PAGES_ON_TARGETS = [
    "target.md", "load.md", "faults.md", "network.md", "spikes.md", "telemetry.md", "kernels.md", "memory.md",
]  # fmt: skip


@pytest.mark.parametrize("page", PAGES_ON_TARGETS)
def test_the_examples_in_the_pages_on_targets_are_targets(page):
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        assert target_problems(TargetSpec.from_wire({"service": {"name": "web"}} | yaml.safe_load(block))) == ()


def test_the_examples_are_sound_and_fit_each_other():
    target = load_target(str(ROOT / "examples" / "target.yaml"))
    assert {metric.name for metric in target.metrics} >= {"API server availability"}
    patch = yaml.safe_load((ROOT / "examples" / "cpu-models.yaml").read_text())["spec"]
    assert TargetSpec.from_wire(target.to_wire() | {"llm": patch["llm"]}).llm is not None


@pytest.mark.parametrize("feature", ["load_balancing", "fault_tolerance", "network_performance"])
def test_the_example_that_serves_fits_the_features_that_load_and_break_it(feature):
    target = load_target(str(ROOT / "examples" / "served-target.yaml"))
    plan = compile_text((ROOT / "features" / f"{feature}.feature").read_text(), target)
    assert not any(scenario.not_implemented for scenario in plan.scenarios)
    assert any(stage.kind == "load" for stage in plan.stages)


def test_the_example_with_gpus_asks_for_them_and_for_the_whole_day():
    target = load_target(str(ROOT / "examples" / "gpu-target.yaml"))
    assert target_problems(target) == ()
    plan = compile_text((ROOT / "features" / "gpu_kernel_optimization.feature").read_text(), target)
    assert [(stage.gpus, stage.attempts) for stage in plan.stages] == [(1, 5), (1, 5)]
    assert plan.stages[-1].seconds == 24 * 3600


REASONS = re.compile(
    r"(?:(?:Trouble|NotMeasured|Refusal|Missing|UnmeasurableError|BrokenMeasurementError|RefusedError|LeftError|nothing)"
    r"\((?:\s*\w+,)?\s*|reason=(?:[\w.]+ or )?)\"([A-Z][A-Za-z]+)\""
)


def test_every_reason_that_a_verdict_can_have_is_explained():
    sources = [*(ROOT / "operator").rglob("*.py"), *(ROOT / "kernels").rglob("*.py")]
    given = {reason for source in sources for reason in REASONS.findall(source.read_text())}
    rows = [line for page in (ROOT / "docs").glob("*.md") for line in page.read_text().splitlines() if line[:1] == "|"]
    explained = {word for row in rows for word in re.findall(r"\w+", row.split("|")[1])}
    assert len(given) > 40
    assert given - explained == set()


def test_the_gherkin_in_the_readme_is_the_example():
    shown = re.search(r"```gherkin\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert shown is not None
    example = " ".join((ROOT / "examples" / "slo.feature").read_text().split())
    assert " ".join(shown.group(1).split()) in example


def test_continuous_integration_calls_what_people_call():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert "make test" in script.read_text()


def test_the_licence_is_whole():
    text = (ROOT / "LICENSE").read_text()
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
