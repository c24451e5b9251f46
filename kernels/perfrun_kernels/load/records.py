"""Reading the generator's raw records: one for each request, the bulk evidence behind histograms and ledgers."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs

MAGIC: Final = b"PERFRUN1"
OUTCOMES: Final = ("in_flight", "ok", "error", "timeout", "never_sent")
_RECORD: Final = struct.Struct("<QqqqqHHBBH")
_AT_ONCE: Final = 4096
_NANOSECOND: Final = 1e-9


class RecordsError(ValueError):
    """The file is no file of records, or was cut off; the message says where."""


@attrs.frozen
class Record:
    """One request; times in seconds after the common start, ``sent`` None where it was never sent.

    ``handled`` is when the generator turned to it, ``done`` when it ended. ``server`` indexes the report's
    ``servers``; ``status`` is the last answer's, 0 without one.
    """

    number: int
    intended: float
    handled: float
    sent: float | None
    done: float
    server: int
    status: int
    outcome: str
    attempts: int

    def id(self, run: str, shard: int) -> str:
        """Return its id without the attempt, as X-Request-Id begins."""
        return f"{run}-{shard}-{self.number}"


def read(path: Path) -> Iterator[Record]:
    """Yield the records of a file in the order in which requests ended.

    Raises:
        RecordsError: the file is not one of records, or ends within one.
    """
    with gzip.open(path) as file:
        try:
            if file.read(len(MAGIC)) != MAGIC:
                msg = f"{path} is no file of records: it does not begin with {MAGIC.decode()}"
                raise RecordsError(msg)
            while chunk := file.read(_AT_ONCE * _RECORD.size):
                if len(chunk) % _RECORD.size:
                    msg = f"{path} ends within a record"
                    raise RecordsError(msg)
                for fields in _RECORD.iter_unpack(chunk):
                    yield _record(fields)
        except (EOFError, gzip.BadGzipFile) as error:
            msg = f"{path} is cut off or damaged: {error}"
            raise RecordsError(msg) from error


def _record(fields: tuple[int, ...]) -> Record:
    number, intended, handled, sent, done, server, status, outcome, attempts, _ = fields
    return Record(
        number, intended * _NANOSECOND, handled * _NANOSECOND, sent * _NANOSECOND if attempts else None,
        done * _NANOSECOND, server, status, OUTCOMES[outcome], attempts,
    )  # fmt: skip
