"""Where the generator's binary comes from, and that one of another source is never taken for it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from perfrun_kernels import building
from perfrun_kernels.faults import BrokenMeasurementError, UnmeasurableError
from perfrun_kernels.load import finding


@pytest.fixture
def checkout(monkeypatch, tmp_path):
    """A checkout with the smallest program that Go builds, and a virtual environment of its own."""
    source, beside = tmp_path / "loadgen", tmp_path / "venv" / "bin"
    source.mkdir()
    beside.mkdir(parents=True)
    (source / "go.mod").write_text("module small\n\ngo 1.26\n")
    (source / "main.go").write_text("package main\n\nfunc main() {}\n")
    monkeypatch.delenv(finding.BINARY_ENV, raising=False)
    monkeypatch.setenv(finding.CACHE_ENV, str(tmp_path / "cache"))
    monkeypatch.setattr(finding, "SOURCE", source)
    monkeypatch.setattr(sys, "executable", str(beside / "python"))
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
    return tmp_path


def without_go(monkeypatch):
    which = shutil.which
    monkeypatch.setattr(
        shutil, "which", lambda name, *rest, **more: which(name, *rest, **more) if name != "go" else None
    )


def test_a_missing_binary_is_said_in_a_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv(finding.BINARY_ENV, str(tmp_path / "absent"))
    with pytest.raises(UnmeasurableError, match="no program that can be started"):
        finding.binary()


def test_a_changed_source_is_built_anew_and_the_old_binary_goes(checkout, monkeypatch):
    first = finding.binary()
    assert first.parent == checkout / "venv" / "bin"
    subprocess.run([first], check=True)
    without_go(monkeypatch)
    assert finding.binary() == first
    (checkout / "loadgen" / "main.go").write_text('package main\n\nfunc main() { println("new") }\n')
    with pytest.raises(UnmeasurableError, match="must be built and there is no Go here") as raised:
        finding.binary()
    assert raised.value.reason == "MissingGenerator"
    monkeypatch.undo()


def test_a_new_binary_takes_the_place_of_the_old_one(checkout):
    first = finding.binary()
    (checkout / "loadgen" / "main.go").write_text('package main\n\nfunc main() { println("new") }\n')
    second = finding.binary()
    assert subprocess.run([second], check=True, capture_output=True).stderr == b"new\n"
    assert [path for path in second.parent.glob("perfrun-*") if path.is_file()] == [second]
    assert first != second


def test_a_system_python_keeps_no_binary_of_ours(checkout, monkeypatch):
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    assert finding.binary().parent == checkout / "cache" / "loadgen"


def test_a_source_that_does_not_build_is_said(checkout):
    (checkout / "loadgen" / "main.go").write_text("package main\n\nfunc main() { nothing() }\n")
    with pytest.raises(BrokenMeasurementError, match="undefined: nothing"):
        finding.binary()


def test_an_image_has_it_on_its_path(checkout, monkeypatch):
    monkeypatch.setattr(finding, "SOURCE", checkout / "absent")
    monkeypatch.setenv("PATH", str(checkout / "bin"))
    with pytest.raises(UnmeasurableError, match="not in this image"):
        finding.binary()
    (checkout / "bin").mkdir()
    placed = checkout / "bin" / finding.PROGRAM
    placed.write_text("#!/bin/sh\n")
    placed.chmod(0o755)
    assert finding.binary() == placed


def test_the_command_prints_the_path_or_the_reason(checkout, monkeypatch, capsys):
    assert building.tell(finding.binary) == 0
    assert Path(capsys.readouterr().out.strip()).is_file()
    monkeypatch.setenv(finding.BINARY_ENV, str(checkout / "absent"))
    assert building.tell(finding.binary) == 1
    assert "unset it or correct it" in capsys.readouterr().err
