"""Files that go with a result, such as a trace or a picture: kept as they are, so that people open them directly.

They come from pods, so their names are checked before anything is stored under them.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Final

from perfrun.lifecycle.values import Store
from perfrun_kernels.contract import ContractError, Result

BINARY: Final = "application/octet-stream"

PERFETTO: Final = "application/x-protobuf"
"""What a Perfetto trace is: packets of TrackEvents in protocol buffers."""

SUFFIXES: Final[Mapping[str, str]] = {
    "application/json": ".json", "image/svg+xml": ".svg", "image/png": ".png", "text/plain": ".txt",
    PERFETTO: ".pftrace", "application/gzip": ".gz", BINARY: ".bin",
}  # fmt: skip
"""What a stored file's name ends with, by its media type; any other type is kept as plain bytes."""

_MEDIA_TYPES: Final = {suffix: media_type for media_type, suffix in SUFFIXES.items()}
_NAME: Final = re.compile("[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


def suffix_of(media_type: str) -> str:
    """Return what the name of a stored file of this type ends with."""
    return SUFFIXES.get(media_type, SUFFIXES[BINARY])


def media_type_of(path: str) -> str:
    """Return the type of what is stored under a path."""
    return _MEDIA_TYPES.get(path[path.rfind(".") :], BINARY)


def attached(stage: str, result: Result) -> tuple[Store, ...]:
    """Return what keeps the files that go with a stage's result, each named after both.

    Raises:
        ContractError: a file's name may not be part of a path, or its content is no base64.
    """
    return tuple(_store(stage, name, each.media_type, each.data) for name, each in sorted(result.attachments.items()))


def _store(stage: str, name: str, media_type: str, data: str) -> Store:
    if not _NAME.fullmatch(name):
        msg = f"attachment {name[:80]!r}: expected a name of at most 40 lower-case letters, digits and hyphens"
        raise ContractError(msg)
    try:
        content = base64.b64decode(data, validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        msg = f"attachment {name!r}: expected its content in base64 ({error})"
        raise ContractError(msg) from error
    return Store(f"{stage}.{name}", content, media_type)
