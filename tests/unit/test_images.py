"""The Dockerfiles cannot be built everywhere the tests run, so what they take for granted is checked instead."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PRIVATE = Path(os.environ.get("PERFRUN_CACHE", Path.home() / ".cache" / "perfrun")) / "uv" / "bin" / "uv"
FILES = {"operator": (), "kernels": ("--extra", "kernels")}


def lines(name):
    text = (ROOT / "docker" / f"{name}.Dockerfile").read_text().replace("\\\n", " ")
    return [shlex.split(line, comments=True) for line in text.splitlines() if line.strip() and not line.startswith("#")]


@pytest.mark.parametrize("name", FILES)
def test_everything_that_is_copied_exists_and_is_let_into_the_build(name):
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    sources = [
        source
        for line in lines(name)
        if line[0] == "COPY" and not line[1].startswith("--from")
        for source in line[1:-1]
    ]
    assert sources
    # What is let in is let in whole.
    assert {source.partition("/")[0] for source in sources} <= let_in
    assert all((ROOT / source).exists() for source in sources)


@pytest.mark.parametrize("name", FILES)
def test_the_image_runs_as_nobody_and_its_stages_exist(name):
    instructions = lines(name)
    stages = {line[3] for line in instructions if line[0] == "FROM" and len(line) > 2}
    taken = {line[1].partition("=")[2] for line in instructions if line[0] == "COPY" and line[1].startswith("--from")}
    assert taken <= stages
    assert ["USER", "65532:65532"] in instructions


@pytest.mark.parametrize(("name", "extra"), FILES.items())
def test_the_lock_file_gives_the_image_its_packages_and_only_kernels_get_torch(name, extra):
    synced = next(line for line in lines(name) if line[:3] == ["RUN", "uv", "sync"])
    assert synced[3:] == ["--locked", "--no-dev", "--no-editable", *extra]
    uv = shutil.which("uv") or str(PRIVATE)
    command = [uv, "export", "--locked", "--no-dev", "--no-hashes", "--no-emit-project", "--quiet", *extra]
    exported = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "kopf==" in exported
    assert any(exported.count(f"\n{each}") for each in ("torch==", "transformers==")) is (name == "kernels")
