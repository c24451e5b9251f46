"""The programs in Go pass their own tests."""

import os
import subprocess

import pytest

from perfrun_kernels.building import SOURCES


@pytest.mark.parametrize(
    ("program", "packages"),
    [
        ("loadgen", ("./...",)),
        ("netpath", ("./...",)),
        ("netwatch", ("./node", "./topology")),
        # What the kernel does within milliseconds: a machine with other work may be late to show it.
        pytest.param("netwatch", (".", "./inject", "./probe", "./trace"), marks=pytest.mark.full),
    ],
)
def test_it_passes_its_own_tests(program, packages):
    environment = {**os.environ, "GOFLAGS": "", "GOWORK": "off", "CGO_ENABLED": "0"}
    path = f"{environment['PATH']}:/usr/local/go/bin:/usr/lib/go/bin"
    # One package at a time: they watch one kernel, and each other's work would be in their way.
    command = ["go", "test", "-mod=readonly", "-p", "1", *packages]
    ended = subprocess.run(
        command, cwd=SOURCES / program, env={**environment, "PATH": path}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
