"""Pictures among a run's bulk evidence, read so that a page can show them where their promises are.

They come from pods. So what is read has to have the digest that the run's status names, and a page shows it as an
image, which runs no script and loads nothing.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import attrs
import fsspec

from perfrun.api.run import ArtifactLink
from perfrun.lifecycle.attachments import media_type_of

KINDS: Final = ("image/svg+xml", "image/png")
"""Media types that a page shows."""

MOST_BYTES: Final = 8 * 1024 * 1024
"""Larger ones are left to their links."""

_RUNS: Final = "/runs/"
"""What the path of a run's evidence begins with, in every store."""


@attrs.frozen
class Picture:
    """A picture by the name of its evidence, or the sentence ``why`` it is not shown."""

    name: str
    media_type: str
    content: bytes = b""
    why: str = ""

    @property
    def source(self) -> str:
        """The picture as a URL that holds all of it."""
        return f"data:{self.media_type};base64,{base64.b64encode(self.content).decode()}"


def read_pictures(links: Sequence[ArtifactLink], place: str = "") -> tuple[Picture, ...]:
    """Return the pictures among bulk evidence.

    ``place`` is a directory or an fsspec URL that holds the store's content, for who cannot read what the links name.
    """
    return tuple(_read(each, place) for each in links if media_type_of(urlsplit(each.url).path) in KINDS)


def _read(link: ArtifactLink, place: str) -> Picture:
    unread = Picture(link.name, media_type_of(urlsplit(link.url).path))
    if link.bytes > MOST_BYTES:
        return attrs.evolve(unread, why=f"it has {link.bytes} bytes; a page shows at most {MOST_BYTES}")
    if not place and urlsplit(link.url).scheme in {"http", "https"}:
        return attrs.evolve(
            unread, why="the operator keeps it; copy its artifacts and name the directory, or their store: --artifacts"
        )
    url = f"{_url(place)}{_RUNS}{link.url.rpartition(_RUNS)[2]}" if place else link.url
    try:
        with fsspec.open(url, "rb") as file:
            content: bytes = file.read(MOST_BYTES + 1)
    # A store raises what its library raises, and one that has no library here raises ImportError.
    except Exception as error:  # noqa: BLE001 -- a picture that cannot be had spoils no report
        return attrs.evolve(unread, why=f"{url} cannot be read: {error or type(error).__name__}")
    if "sha256:" + hashlib.sha256(content).hexdigest() != link.digest:
        return attrs.evolve(unread, why=f"{url} is not what was measured: its digest is another one")
    return attrs.evolve(unread, content=content)


def _url(place: str) -> str:
    return (place if urlsplit(place).scheme else Path(place).absolute().as_uri()).rstrip("/")
