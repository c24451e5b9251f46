"""``perfrun run``: a real benchmark without a cluster, with exit codes that pipelines read."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from perfrun.api.verdicts import Verdict, worst
from perfrun.cli.stop import EXIT_CODES

FEATURE = """Feature: Tiny
  Background:
    Given the following model configurations:
      | model_size | batch_size | sequence_length |
      | small      | 2          | 8               |
    And a model of size "small"
    And a batch size of 2

  @good
  Scenario: Loose
    When sampling 600 tokens
    Then throughput should exceed 1 token per second

  @bad
  Scenario: Tight
    When sampling 600 tokens
    Then throughput should exceed 1000000000 tokens per second

  @gpu
  Scenario: Memory
    When sampling 20 tokens
    Then GPU memory usage should not exceed 1 GB
"""
TARGET = """apiVersion: perfrun.dev/v1alpha1
kind: PerfTarget
metadata: {name: default}
spec:
  llm:
    device: cpu
    budget: 20s
    models:
      small: {config: {hiddenSize: 16, intermediateSize: 32, layers: 1, heads: 2, kvHeads: 1, vocabSize: 64}}
"""


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, ...]:
    (tmp_path / "tiny.feature").write_text(FEATURE)
    (tmp_path / "target.yaml").write_text(TARGET)
    return (str(tmp_path / "tiny.feature"), "--target", str(tmp_path / "target.yaml"))


def perfrun(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "perfrun.cli", *arguments], capture_output=True, text=True, check=False, **options
    )


def test_a_real_measurement_passes_fails_or_says_what_it_lacks(files, tmp_path):
    answer = perfrun("run", *files, "--format", "json", "--artifacts", str(tmp_path / "kept"))
    status = json.loads(answer.stdout)["status"]
    verdicts = {each["name"]: each["verdict"] for each in status["scenarios"]}
    # On a busy machine a measurement may not settle; it is then no verdict, but never a wrong one.
    assert verdicts["Loose"] in ("Pass", "Inconclusive"), answer.stdout
    assert verdicts["Tight"] in ("Fail", "Inconclusive"), answer.stdout
    assert verdicts["Memory"] == "Inconclusive"
    assert answer.returncode == EXIT_CODES[status["verdict"]]
    assert status["verdict"] == worst(Verdict(each) for each in verdicts.values())
    assert "measuring in pod" in answer.stderr
    measured = status["scenarios"][0]["steps"][-1]
    assert verdicts["Loose"] == "Inconclusive" or measured["value"] > measured["limit"] == 1
    assert measured["facts"]["device"] == "cpu"
    for link in status["artifacts"]:
        assert Path(link["url"].removeprefix("file://")).stat().st_size == link["bytes"]


def test_what_a_machine_without_gpu_cannot_tell_is_inconclusive(files):
    answer = perfrun("run", *files, "--tags", "@gpu", "--format", "junit")
    assert answer.returncode == 2
    assert 'type="Inconclusive"' in answer.stdout


def test_a_feature_that_cannot_be_understood_is_told_problem_by_problem(files, tmp_path):
    wrong = tmp_path / "wrong.feature"
    wrong.write_text(FEATURE.replace("a batch size of 2", "a bunch size of 2").replace("1 GB", "1 hour"))
    answer = perfrun("run", str(wrong), *files[1:])
    assert answer.returncode == 3
    assert f"{wrong}:7:" in answer.stderr
    assert f"{wrong}:22:" in answer.stderr
    assert answer.stdout == ""


def test_a_run_that_takes_too_long_is_a_time_out(files):
    answer = perfrun("run", *files, "--tags", "@good", "--timeout", "300ms")
    assert answer.returncode == 124
    assert "exceeded its timeout of 300ms" in answer.stdout


def test_an_interrupt_cancels_and_leaves_no_process(files, tmp_path):
    marker = f"interrupted-{tmp_path}"
    command = [sys.executable, "-m", "perfrun.cli", "run", *files, "--tags", "@good"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PERFRUN_TEST_MARKER": marker, "PATH": "/usr/bin:/bin"},
    )
    for line in process.stderr:
        if "measuring in pod" in line:
            break
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate()
    assert process.returncode == 130
    assert "cancelled" in out
    assert running(marker) == []


def running(marker: str) -> list[str]:
    # A process that was just killed may stay in the table for a moment until its parent has taken note.
    for _ in range(50):
        found = []
        for process in Path("/proc").iterdir():
            try:
                if process.name.isdigit() and marker in (process / "environ").read_bytes().decode(errors="replace"):
                    found.append(process.name)
            except OSError:
                continue
        if not found:
            return []
        time.sleep(0.1)
    return found
