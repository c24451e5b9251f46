"""Finding the generator's binary, and building it where its source is at hand.

In a checkout only a binary of this very source is used: its name ends in a digest of the source, so that one that is
older is never taken for it. It lies beside the interpreter of a virtual environment, where pods that see the host's
Python find it too, and cannot build it themselves. An image has no source, and the program under its plain name.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from perfrun_kernels.faults import BrokenMeasurementError, UnmeasurableError

PROGRAM: Final = "perfrun-loadgen"
BINARY_ENV: Final = "PERFRUN_LOADGEN"
"""Environment variable with the path of the generator's binary."""

CACHE_ENV: Final = "PERFRUN_CACHE"
SOURCE: Final = Path(__file__).resolve().parents[2] / "loadgen"
"""The generator's source in a checkout; an installed package has none."""

_BUILD_FILES: Final = ("*.go", "go.mod", "go.sum")


def binary() -> Path:
    """Return the generator's binary: $PERFRUN_LOADGEN, or that of this checkout's source, or the one on PATH.

    A checkout's is built where it is missing: beside the interpreter of a virtual environment, or into the cache.

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
    if (SOURCE / "go.mod").is_file():
        return _of_source(f"{PROGRAM}-{_digest()}")
    found = shutil.which(PROGRAM, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        msg = f"the load generator {PROGRAM} is not in this image: use perfrun's benchmark image, or set {BINARY_ENV}"
        raise UnmeasurableError("MissingGenerator", msg)
    return Path(found)


def _of_source(name: str) -> Path:
    folders = _folders()
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin:/usr/lib/go/bin")
    if go is None:
        msg = (
            f"the load generator {name} must be built and there is no Go here: install Go 1.26, or set {BINARY_ENV}; "
            "for pods of a development cluster, `perfrun dev up` builds it"
        )
        raise UnmeasurableError("MissingGenerator", msg)
    # The first that can be written to; the cache is the last, and is made.
    folder = next((each for each in folders if os.access(each, os.W_OK)), folders[-1])
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / f".{PROGRAM}.lock"):
        if not (folder / name).is_file():
            _build(go, folder / name)
            if folder != folders[-1]:
                _clear(folder, name)
    return folder / name


def _folders() -> list[Path]:
    """Return where a checkout's binary may lie; a system's own directory for programs is none of ours."""
    configured = os.environ.get(CACHE_ENV)
    try:
        cache = Path(configured).absolute() if configured else Path.home() / ".cache" / "perfrun"
    except RuntimeError:
        # A pod's user may have no home.
        cache = Path(tempfile.gettempdir()) / "perfrun"
    beside = [Path(sys.executable).parent] if sys.prefix != sys.base_prefix else []
    return [*beside, cache / "loadgen"]


def _clear(folder: Path, name: str) -> None:
    """Remove what earlier sources left beside the interpreter, which is this checkout's alone."""
    for path in folder.glob(f"{PROGRAM}-*"):
        if path.name != name:
            path.unlink(missing_ok=True)


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
