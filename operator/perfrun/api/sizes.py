"""Amounts of memory as they are written on resources."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

PATTERN = r"^[0-9]+(\.[0-9]+)?(k|M|G|T|Ki|Mi|Gi|Ti)?$"
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(k|M|G|T|Ki|Mi|Gi|Ti)?")
_BYTES = {
    "": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40,
}  # fmt: skip


def bytes_of(text: str) -> float:
    """Return an amount such as ``64Mi``, ``1.5G`` or ``4096`` in bytes.

    Raises:
        ValueError: the text is no amount of memory.
    """
    found = _PART.fullmatch(text)
    if found is None:
        msg = f"{text!r} is no amount of memory; expected a number of bytes with a unit, such as 64Mi, 1.5G or 4096"
        raise ValueError(msg)
    return float(found[1]) * _BYTES[found[2] or ""]


def _checked(text: str) -> str:
    bytes_of(text)
    return text


Size = Annotated[str, AfterValidator(_checked), WithJsonSchema({"type": "string", "pattern": PATTERN, "maxLength": 32})]
"""An amount of memory, such as 64Mi, 1.5G or 4096 (bytes)."""
