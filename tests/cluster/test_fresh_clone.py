"""A person's first minutes: a fresh clone, one command, and again."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.full

ROOT = Path(__file__).parents[2]


def make(clone, *arguments, **environment):
    answer = subprocess.run(
        ["make", *arguments], cwd=clone, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        env={name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"} | environment,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


@pytest.fixture
def clone(tmp_path):
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(tmp_path / "clone")], check=True)
    return tmp_path / "clone"


def test_setup_makes_a_working_command_and_is_quick_when_it_has_nothing_to_do(clone):
    assert "making .venv from uv.lock" in make(clone, "setup")
    perfrun = str(clone / ".venv" / "bin" / "perfrun")
    assert (
        "perfrun.dev/v1alpha1"
        in subprocess.run([perfrun, "version"], capture_output=True, text=True, check=True).stdout
    )
    subprocess.run([perfrun, "lint", *map(str, clone.glob("features/*.feature"))], check=True)
    assert "up to date" in make(clone, "setup")
    changed = subprocess.run(["git", "status", "--porcelain"], cwd=clone, capture_output=True, text=True, check=True)
    assert changed.stdout == ""


def test_setup_brings_its_own_uv_where_there_is_none(clone, tmp_path):
    # A path with python, go and the system's programs, and no uv.
    programs = tmp_path / "bin"
    programs.mkdir()
    python = subprocess.run(
        ["python3.11", "-c", "import sys; print(sys.executable)"], capture_output=True, text=True, check=True
    )
    (programs / "python3.11").symlink_to(python.stdout.strip())
    path = f"{programs}:/usr/local/go/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    said = make(clone, "setup", PATH=path, PERFRUN_CACHE=str(tmp_path / "cache"))
    assert (tmp_path / "cache" / "uv" / "bin" / "uv").exists()
    assert "done in" in said
