"""Runs the stages of features as their pods do, one process each, on the GPU that is here."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import yaml

from perfrun.api.feature import Policy
from perfrun.api.run import ScenarioStatus, StepStatus
from perfrun.api.target import TargetSpec
from perfrun.capabilities.base import Evidence
from perfrun.cli.demo import merged
from perfrun.judging.scenario import judge_scenario
from perfrun.planning.compile import plan
from perfrun_kernels.contract import REQUEST_ENV, TERMINATION_LOG_ENV, Request, Result
from perfrun_kernels.runner import RESULT_PREFIX

ROOT = Path(__file__).parents[2]
CONFIDENCE = 0.99
PATIENCE_SECONDS = 420


@attrs.frozen
class Answer:
    """What came of a feature: the scenarios as a run's status would show them, and the results behind them."""

    scenarios: tuple[ScenarioStatus, ...]
    results: Mapping[str, Result]

    @property
    def claims(self) -> tuple[StepStatus, ...]:
        """The steps that promise something."""
        return tuple(step for scenario in self.scenarios for step in scenario.steps if step.limit is not None)

    @property
    def verdicts(self) -> dict[str, str]:
        """The verdict and the reason of each claim, by its text."""
        return {step.text: f"{step.verdict} {step.reason}" for step in self.claims}

    def __str__(self) -> str:
        return "\n".join(f"{step.verdict:12} {step.text}: {step.message}" for step in self.claims)


def process(kind: str, parameters: Mapping[str, Any], seconds: float) -> Result:
    """Run one program as a container does and return what it hands in."""
    request = Request(run="gpu", stage=kind, attempt=1, kind=kind, parameters=dict(parameters), budget_seconds=seconds)
    done = subprocess.run(
        [sys.executable, "-m", "perfrun_kernels"],
        env=os.environ | {REQUEST_ENV: request.to_json(), TERMINATION_LOG_ENV: "/dev/null"},
        capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS,
    )  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if line.startswith(RESULT_PREFIX)]
    assert lines, done.stderr[-4000:]
    return Result.from_json(lines[0].removeprefix(RESULT_PREFIX))


def judged(
    name: str, target: dict[str, Any] | None = None, program: Callable[..., Result] = process,
    policy: Policy | None = None,
) -> Answer:  # fmt: skip
    """Plan a feature file against the example target, run the program of each pod, and judge what they hand in.

    ``target`` is what the target says instead of the example's.
    """
    text = (ROOT / "features" / f"{name}.feature").read_text()
    spec = yaml.safe_load((ROOT / "examples" / "gpu-target.yaml").read_text())["spec"]
    made = plan(text, TargetSpec.model_validate(merged(spec, target or {})))
    results = {
        stage.id: program(str(stage.program), stage.parameters, stage.seconds)
        for stage in made.stages
        if stage.kind == "pod"
    }
    evidence = {stage: Evidence(result=result, pod=stage) for stage, result in results.items()}
    scenarios = tuple(judge_scenario(each, evidence, policy or Policy(), CONFIDENCE) for each in made.scenarios)
    return Answer(scenarios, results)
