"""Samples pushed into a running Prometheus by its remote write protocol.

Backfilled text has no way to say that a series went stale: its marker is one particular NaN. The messages are small
and the protocol is stable, so that they are put together here: https://prometheus.io/docs/specs/prw/remote_write_spec/
"""

from __future__ import annotations

import struct
import urllib.request
from collections.abc import Iterable, Iterator
from typing import Final

from historybed.series import Series

STALE: Final = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
"""The NaN that marks a series as stale; arithmetic may lose its bits, so that it is only copied."""

_STALE_BYTES: Final = struct.pack("<Q", 0x7FF0000000000002)


def push(url: str, series: Iterable[Series], stale_at: float | None = None) -> None:
    """Send the samples to the server at ``url``, and that each series went stale at ``stale_at``, where given.

    Raises:
        urllib.error.URLError: the server took them not.
    """
    message = b"".join(_field(1, _series(each, stale_at)) for each in series)
    request = urllib.request.Request(  # noqa: S310 -- a server that was started here
        f"{url}/api/v1/write", data=_snappy(message), method="POST",
        headers={
            "Content-Type": "application/x-protobuf", "Content-Encoding": "snappy",
            "X-Prometheus-Remote-Write-Version": "0.1.0",
        },
    )  # fmt: skip
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 -- the same
        answer.read()


def _series(series: Series, stale_at: float | None) -> bytes:
    labels = b"".join(
        _field(1, _field(1, name.encode()) + _field(2, value.encode())) for name, value in sorted(series.labels.items())
    )
    return labels + b"".join(_field(2, each) for each in _samples(series, stale_at))


def _samples(series: Series, stale_at: float | None) -> Iterator[bytes]:
    for moment, value in zip(series.times.tolist(), series.values.tolist(), strict=True):
        yield _sample(struct.pack("<d", value), moment)
    if stale_at is not None:
        yield _sample(_STALE_BYTES, stale_at)


def _sample(value: bytes, moment: float) -> bytes:
    return b"\x09" + value + b"\x10" + _varint(round(1000 * moment))


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def _snappy(content: bytes) -> bytes:
    """Return the content in snappy's block format, as one literal: nothing here needs to be small."""
    return _varint(len(content)) + b"\xfc" + struct.pack("<I", len(content) - 1) + content
