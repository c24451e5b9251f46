"""The other load generators and their server, in pinned versions, fetched into a folder of the user's cache.

Nothing is installed on the machine itself: Debian's packages are unpacked there, and what is written in Go or Rust is
built there. What cannot be had is said, and measured by nobody.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

FOLDER: Final = Path(os.environ.get("PERFRUN_CACHE") or Path.home() / ".cache" / "perfrun") / "bench-tools"
GO_MODULES: Final = {"vegeta": "github.com/tsenart/vegeta/v12@v12.13.0", "hey": "github.com/rakyll/hey@v0.1.5"}
OHA: Final = "1.16.0"
DEBIAN: Final = {"wrk": ("wrk", "libluajit-5.1-2"), "nginx": ("nginx",)}
"""Packages by program; their versions are those of the Debian release that runs."""

LABELS: Final = {"vegeta": "vegeta 12.13.0", "hey": "hey 0.1.5", "oha": f"oha {OHA}", "wrk": "wrk 4.1.0"}
_PLACES: Final = ("usr/bin", "usr/sbin")
_LONGEST_SECONDS: Final = 1800.0


class MissingToolError(Exception):
    """A tool cannot be had here; the message says why in one sentence."""


def find(name: str) -> Path:
    """Return the program, fetched or built where it is missing.

    Raises:
        MissingToolError: it can be had neither from the cache nor from where it comes from.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    if name in GO_MODULES:
        version = GO_MODULES[name].rpartition("@")[2]
        program = FOLDER / f"{name}-{version}" / name
        command, environment = ["go", "install", GO_MODULES[name]], {"GOBIN": str(program.parent), "GOFLAGS": ""}
    elif name == "oha":
        program = FOLDER / f"oha-{OHA}" / "bin" / "oha"
        command = ["cargo", "install", "oha", "--version", OHA, "--locked", "--root", str(program.parents[1])]
        environment = {}
    else:
        return _of_debian(name)
    if not program.is_file():
        _do(command, environment, name)
    return program


def libraries() -> Path:
    """Return where the libraries of unpacked packages lie."""
    return next((FOLDER / "debian").glob("usr/lib/*-linux-gnu"), FOLDER / "debian" / "usr" / "lib")


def _of_debian(name: str) -> Path:
    root = FOLDER / "debian"
    for place in _PLACES:
        if (root / place / name).is_file():
            return root / place / name
    with tempfile.TemporaryDirectory() as scratch:
        _do(["apt-get", "download", *DEBIAN[name]], {}, name, scratch)
        for package in Path(scratch).glob("*.deb"):
            _do(["dpkg", "-x", str(package), str(root)], {}, name)
    for place in _PLACES:
        if (root / place / name).is_file():
            return root / place / name
    raise MissingToolError(f"{name} is not in the packages {' '.join(DEBIAN[name])} of this system")


def _do(command: list[str], environment: dict[str, str], name: str, folder: str | None = None) -> None:
    if shutil.which(command[0]) is None:
        raise MissingToolError(f"{name} is fetched with {command[0]}, which is not here")
    ended = subprocess.run(
        command, env={**os.environ, **environment}, cwd=folder, capture_output=True, text=True, check=False,
        timeout=_LONGEST_SECONDS,
    )  # fmt: skip
    if ended.returncode != 0:
        last = (ended.stderr.strip().splitlines() or ["it did not say why"])[-1]
        raise MissingToolError(f"{name} could not be fetched with `{' '.join(command[:3])}`: {last}")
