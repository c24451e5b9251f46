"""Finding the binary of a Go program of this package, and building it where its source is at hand.

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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import attrs

from perfrun_kernels.faults import BrokenMeasurementError, UnmeasurableError

CACHE_ENV: Final = "PERFRUN_CACHE"

SOURCES: Final = Path(__file__).resolve().parents[1]
"""Where the sources lie in a checkout, each in a folder of its own; an installed package has none."""

_EMBED: Final = b"//go:embed "


@attrs.frozen
class Program:
    """A program in Go: its ``name``, the environment variable that names its binary, and its ``source``'s folder.

    ``noun`` is what people call it. ``missing`` and ``broken`` are the reasons when there is none, and when it does not
    build.
    """

    name: str
    env: str
    source: Path
    noun: str = "the program"
    missing: str = "MissingProgram"
    broken: str = "ProgramBuild"

    def binary(self) -> Path:
        """Return the binary that ``env`` names, or that of this checkout's source, or the one on PATH.

        A checkout's is built where it is missing: beside the interpreter of a virtual environment, or into the cache.

        Raises:
            UnmeasurableError: it is nowhere, and there is no Go or no source to build it from.
            BrokenMeasurementError: building it failed.
        """
        found = self.present()
        if found is not None:
            return found
        if named := os.environ.get(self.env):
            msg = f"{self.env} is {named!r}, which is no program that can be started: unset it or correct it"
            raise UnmeasurableError(self.missing, msg)
        if self._has_source():
            return self._of_source()
        msg = f"{self.noun} {self.name} is not in this image: use perfrun's benchmark image, or set {self.env}"
        raise UnmeasurableError(self.missing, msg)

    def present(self) -> Path | None:
        """Return the same binary where it is there already, without building it."""
        if named := os.environ.get(self.env):
            return Path(named) if os.access(named, os.X_OK) else None
        if self._has_source():
            name = self._built_name()
            return next((folder / name for folder in self._folders() if (folder / name).is_file()), None)
        found = shutil.which(self.name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
        return None if found is None else Path(found)

    def _has_source(self) -> bool:
        return (self.source / "go.mod").is_file()

    def _built_name(self) -> str:
        return f"{self.name}-{digest(self.source)}"

    def _of_source(self) -> Path:
        name, folders = self._built_name(), self._folders()
        go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin:/usr/lib/go/bin")
        if go is None:
            msg = (
                f"{self.noun} {name} must be built and there is no Go here: install Go 1.26, or set {self.env}; "
                "for pods of a development cluster, `perfrun dev up` builds it"
            )
            raise UnmeasurableError(self.missing, msg)
        # The first that can be written to; the cache is the last, and is made.
        folder = next((each for each in folders if os.access(each, os.W_OK)), folders[-1])
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / f".{self.name}.lock"):
            if not (folder / name).is_file():
                self._build(go, folder / name)
                if folder != folders[-1]:
                    self._clear(folder, name)
        return folder / name

    def _folders(self) -> list[Path]:
        """Return where a checkout's binary may lie; a system's own directory for programs is none of ours."""
        configured = os.environ.get(CACHE_ENV)
        try:
            cache = Path(configured).absolute() if configured else Path.home() / ".cache" / "perfrun"
        except RuntimeError:
            # A pod's user may have no home.
            cache = Path(tempfile.gettempdir()) / "perfrun"
        beside = [Path(sys.executable).parent] if sys.prefix != sys.base_prefix else []
        return [*beside, cache / self.source.name]

    def _clear(self, folder: Path, name: str) -> None:
        """Remove what earlier sources left beside the interpreter, which is this checkout's alone."""
        for path in folder.glob(f"{self.name}-*"):
            if path.name != name:
                path.unlink(missing_ok=True)

    def _build(self, go: str, program: Path) -> None:
        with tempfile.TemporaryDirectory(prefix=".building-", dir=program.parent) as scratch:
            made = Path(scratch) / self.name
            # The user's own flags and workspace must not change what the committed go.sum pins.
            environment = {**os.environ, "GOFLAGS": "", "GOWORK": "off", "CGO_ENABLED": "0"}
            command = [go, "build", "-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w"]
            ended = subprocess.run(  # noqa: S603 -- Go, on this package's own source
                [*command, "-o", str(made), "."],
                cwd=self.source, env=environment, capture_output=True, text=True, check=False,
            )  # fmt: skip
            if ended.returncode != 0:
                last = " ".join(ended.stderr.strip().splitlines()[-3:])
                raise BrokenMeasurementError(self.broken, f"building {self.name} from {self.source} failed: {last}")
            made.replace(program)


def digest(source: Path) -> str:
    """Return 16 hexadecimal digits that change with anything the program in folder ``source`` is made of.

    That is the code of all its packages without tests, the versions of its modules, and the files that it embeds.
    """
    code = [path for path in source.rglob("*.go") if not path.name.endswith("_test.go")]
    parts = {*code, source / "go.mod", source / "go.sum"}
    for path in code:
        parts.update(_embedded(path))
    content = hashlib.sha256()
    for path in sorted(path for path in parts if path.is_file()):
        content.update(path.relative_to(source).as_posix().encode() + b"\0" + path.read_bytes())
    return content.hexdigest()[:16]


def _embedded(code: Path) -> Iterator[Path]:
    for line in code.read_bytes().splitlines():
        if line.startswith(_EMBED):
            for pattern in line.removeprefix(_EMBED).decode().split():
                yield from code.parent.glob(pattern.removeprefix("all:").strip('"`'))


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def tell(find: Callable[[], Path]) -> int:
    """Print the path of what is found or built and return 0, or say in a sentence what is missing and return 1."""
    try:
        found = find()
    except (BrokenMeasurementError, UnmeasurableError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{found}\n")
    return 0
