"""What every command has in common: exit codes of bad use, help, and what importing them costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from perfrun.cli.main import COMMANDS


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "operator"])
def test_every_command_loads_and_explains_itself(cli, name):
    answer = cli(name, "--help")
    assert answer.code == 0
    assert "Usage" in answer.out


def test_the_operator_command_is_the_operator_itself():
    command = [sys.executable, "-m", "perfrun.cli", "operator", "--help"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "--probe-port" in answer.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("plam", "x"), "No such command 'plam'"),
        (("plan", "x", "--colour"), "No such option: --colour"),
        (("plan",), "Missing argument"),
        (("plan", "nowhere.feature"), "nowhere.feature cannot be read: No such file"),
        (("run", "nowhere.feature"), "nowhere.feature cannot be read: No such file"),
        (("plan", "features/slo.feature", "--target", "nowhere.yaml"), "nowhere.yaml cannot be read"),
        (("gate", "x", "--timeout", "soon"), "--timeout: 'soon' is not a duration"),
        (("gate", "pod/x"), "kind 'pod' has no verdict"),
        (("gate", "x", "--kubeconfig", "/nowhere"), "/nowhere"),
        (("report", "x", "--kubeconfig", "/nowhere"), "/nowhere"),
    ],
)
def test_bad_use_exits_3_with_one_sentence(cli, arguments, sentence):
    answer = cli(*arguments)
    assert answer.code == 3
    assert sentence in answer.err
    assert len(answer.err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "module", ["perfrun.cli.main", "perfrun.cli.run", "perfrun.cli.gate", "perfrun.controller.app"]
)
def test_importing_loads_no_heavy_library(module):
    heavy = ("torch", "triton", "transformers", "pandas")
    program = f"import sys, {module}; print([each for each in {heavy} if each in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_lint_loads_neither_the_cluster_client_nor_the_models():
    heavy = ("kubernetes", "aiohttp", "numpy", "scipy", "kopf")
    program = f"import sys, perfrun.cli.main, perfrun.cli.lint; print([e for e in {heavy} if e in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_version_names_what_a_bug_report_needs(cli):
    answer = cli("version")
    assert answer.code == 0
    assert "perfrun.dev/v1alpha1" in answer.out
    assert "result contract" in answer.out
