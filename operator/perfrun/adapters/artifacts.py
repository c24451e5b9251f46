"""Bulk evidence in any store that fsspec reaches; a directory by default.

What ``put`` returned from is there after a crash: on a local disk a file is written beside its place, flushed to
the medium and renamed; an object store takes an object whole or not at all.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec

from perfrun.api.run import ArtifactLink
from perfrun.ports import Unavailable


class FsspecArtifacts:
    """Implements ports.Artifacts.

    ``url`` is an fsspec URL or a directory. ``public`` is the URL under which the operator serves the store;
    without it, links name the store itself.
    """

    def __init__(self, url: str, public: str = "") -> None:
        self._fs, self._root = fsspec.core.url_to_fs(url)
        self._local = "file" in _protocols(self._fs)
        self._public = public.rstrip("/")

    async def put(self, path: str, content: bytes) -> ArtifactLink:
        """Store durably under a relative path, replacing what is there; raises OSError where it cannot."""
        relative = _relative(path)
        await asyncio.to_thread(self._write, self._full(relative), content)
        return self._link(relative, content)

    async def get(self, path: str) -> tuple[ArtifactLink, bytes] | None:
        """Read what is stored under a path; None where nothing is; raises Unavailable where the store fails."""
        relative = _relative(path)
        try:
            content: bytes = await asyncio.to_thread(self._fs.cat_file, self._full(relative))
        except (FileNotFoundError, IsADirectoryError):
            return None
        except OSError as error:
            msg = f"the artifact store did not give {path}: {error}"
            raise Unavailable(msg) from error
        return self._link(relative, content), content

    async def delete_tree(self, path: str) -> None:
        """Remove everything below a path; nothing there is fine; raises Unavailable where the store fails."""
        full = self._full(_relative(path))
        try:
            await asyncio.to_thread(self._fs.rm, full, recursive=True)
        except FileNotFoundError:
            return
        except OSError as error:
            msg = f"the artifact store did not remove {path}: {error}"
            raise Unavailable(msg) from error

    async def children(self, path: str) -> tuple[str, ...]:
        """Return the names directly below a path, sorted; raises Unavailable where the store fails."""
        full = self._full(_relative(path))
        try:
            found: list[str] = await asyncio.to_thread(self._fs.ls, full, detail=False)
        except FileNotFoundError:
            return ()
        except OSError as error:
            msg = f"the artifact store did not list {path}: {error}"
            raise Unavailable(msg) from error
        return tuple(sorted(PurePosixPath(each).name for each in found))

    def _full(self, relative: PurePosixPath) -> str:
        return f"{self._root.rstrip('/')}/{relative}"

    def _link(self, relative: PurePosixPath, content: bytes) -> ArtifactLink:
        if self._public:
            url = f"{self._public}/artifacts/{relative}"
        else:
            url = str(self._fs.unstrip_protocol(self._full(relative)))
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        return ArtifactLink(name=relative.stem, url=url, digest=digest, bytes=len(content))

    def _write(self, full: str, content: bytes) -> None:
        if self._local:
            _write_durably(Path(full), content)
        else:
            self._fs.pipe_file(full, content)


def _relative(path: str) -> PurePosixPath:
    relative = PurePosixPath(path)
    if relative.is_absolute() or ".." in relative.parts or not relative.parts or "\0" in path:
        msg = f"{path!r} is no path below the artifact store"
        raise ValueError(msg)
    return relative


def _protocols(filesystem: Any) -> tuple[str, ...]:
    protocol = filesystem.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)


def _write_durably(path: Path, content: bytes) -> None:
    made = [each for each in path.parents if not each.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=".partial-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(beside).replace(path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise
    # A directory entry is durable once its directory is flushed, those that were just made included.
    for directory in (path.parent, *(each.parent for each in made)):
        _sync_directory(directory)


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
