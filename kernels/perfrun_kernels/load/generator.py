"""Finding the generator's binary, building it where there is a Go, and running it.

The generator is a program of its own (kernels/loadgen, in Go): a thread that keeps to a schedule of 100 000 requests
a second has no place in an interpreter.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from perfrun_kernels.faults import BrokenMeasurementError, UnmeasurableError

PROGRAM: Final = "perfrun-loadgen"
BINARY_ENV: Final = "PERFRUN_LOADGEN"
"""Environment variable with the path of the generator's binary."""

CACHE_ENV: Final = "PERFRUN_CACHE"
SOURCE: Final = Path(__file__).resolve().parents[2] / "loadgen"
"""The generator's source in a checkout; an installed package has none."""

_BUILD_FILES: Final = ("*.go", "go.mod", "go.sum")


def binary() -> Path:
    """Return the generator's binary: $PERFRUN_LOADGEN, beside the interpreter, on PATH, or built into the cache.

    Raises:
        UnmeasurableError: it is nowhere, and there is no Go or no source to build it from.
        BrokenMeasurementError: building it failed.
    """
    named = os.environ.get(BINARY_ENV)
    if named:
        if os.access(named, os.X_OK):
            return Path(named)
        msg = f"{BINARY_ENV} is {named!r}, which is no program that can be started: unset it or correct it"
        raise UnmeasurableError("MissingGenerator", msg)
    beside = Path(sys.executable).parent / PROGRAM
    if beside.is_file():
        return beside
    found = shutil.which(PROGRAM)
    return Path(found) if found else _built()


def _built() -> Path:
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin:/usr/lib/go/bin")
    if not (SOURCE / "go.mod").is_file():
        msg = f"the load generator {PROGRAM} is not in this image: use perfrun's benchmark image, or set {BINARY_ENV}"
        raise UnmeasurableError("MissingGenerator", msg)
    configured = os.environ.get(CACHE_ENV)
    cache = Path(configured).absolute() if configured else Path.home() / ".cache" / "perfrun"
    program = cache / "loadgen" / _digest() / PROGRAM
    if program.is_file():
        return program
    if go is None:
        msg = f"the load generator {PROGRAM} must be built and there is no Go here: install Go 1.26 or set {BINARY_ENV}"
        raise UnmeasurableError("MissingGenerator", msg)
    program.parent.mkdir(parents=True, exist_ok=True)
    with _locked(program.parent / "lock"):
        if not program.is_file():
            _build(go, program)
    return program


def _build(go: str, program: Path) -> None:
    with tempfile.TemporaryDirectory(prefix=".building-", dir=program.parent) as scratch:
        made = Path(scratch) / PROGRAM
        # The user's own flags and workspace must not change what the committed go.sum pins.
        environment = {**os.environ, "GOFLAGS": "", "GOWORK": "off", "CGO_ENABLED": "0"}
        command = [go, "build", "-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", str(made)]
        ended = subprocess.run(  # noqa: S603 -- Go, on this package's own source
            [*command, "."], cwd=SOURCE, env=environment, capture_output=True, text=True, check=False
        )
        if ended.returncode != 0:
            last = " ".join(ended.stderr.strip().splitlines()[-3:])
            raise BrokenMeasurementError("GeneratorBuild", f"building {PROGRAM} from {SOURCE} failed: {last}")
        made.replace(program)


def _digest() -> str:
    content = hashlib.sha256()
    for path in sorted(path for pattern in _BUILD_FILES for path in SOURCE.glob(pattern)):
        if path.name.endswith("_test.go"):
            continue
        content.update(path.name.encode() + b"\0" + path.read_bytes())
    return content.hexdigest()[:16]


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def start(config: Mapping[str, Any], progress: Callable[[str], None], *, probe: bool = False) -> dict[str, Any]:
    """Run the generator to its end and return its report; its progress lines are passed on as they come.

    An exception that arrives meanwhile (the pod is told to stop) stops the generator as well.

    Raises:
        UnmeasurableError: there is no binary.
        BrokenMeasurementError: the generator broke; its own sentence is in the message.
    """
    with tempfile.TemporaryFile("w+") as given, tempfile.TemporaryFile("w+") as taken:
        json.dump(dict(config), given)
        given.seek(0)
        with subprocess.Popen(  # noqa: S603 -- the generator's own binary
            [str(binary()), *(["-probe"] if probe else [])],
            stdin=given,
            stdout=taken,
            stderr=subprocess.PIPE,
            text=True,
        ) as running:
            last = ""
            try:
                for line in running.stderr or ():
                    last = line.strip()
                    progress(last)
                code = running.wait()
            except BaseException:
                running.terminate()
                raise
        if code != 0:
            raise BrokenMeasurementError("GeneratorFailed", last or f"{PROGRAM} ended with exit code {code}")
        taken.seek(0)
        report: dict[str, Any] = json.load(taken)
        return report
