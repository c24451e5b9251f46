"""A model's files on a disk: by what they are told apart, and what is said of them where they cannot be used."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from perfrun_kernels.faults import UnmeasurableError


def digest_of(files: Iterable[Path]) -> str:
    """Return the SHA-256 over the names and contents of files, prefixed with ``sha256:``."""
    whole = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            whole.update(f"{file.name} {hashlib.file_digest(stream, 'sha256').hexdigest()}\n".encode())
    return "sha256:" + whole.hexdigest()


def unusable(message: str) -> UnmeasurableError:
    """Return what to raise of a model that cannot be used, whose ``message`` says why and what to do."""
    return UnmeasurableError("ModelUnusable", message)
