"""One line per record: JSON for machines, or plain text for a person at a terminal."""

from __future__ import annotations

import datetime as dt
import json
import logging
import sys
from typing import Final, Literal

_PLAIN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "settings", "k8s_skip", "k8s_ref"}


def fields(record: logging.LogRecord) -> dict[str, object]:
    """Return what the record carries beside its message."""
    return {name: value for name, value in vars(record).items() if name not in _PLAIN}


class JsonFormatter(logging.Formatter):
    """Writes a record as one JSON object; values that are not JSON are written as text."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        when = dt.datetime.fromtimestamp(record.created, dt.UTC)
        head: dict[str, object] = {
            "time": when.isoformat(timespec="milliseconds"), "level": record.levelname.lower(), "logger": record.name,
            "message": record.getMessage(),
        }  # fmt: skip
        if record.exc_info:
            head["traceback"] = self.formatException(record.exc_info)
        return json.dumps(head | fields(record), default=str)


class ConsoleFormatter(logging.Formatter):
    """Writes a record as a line for people: time, level, message, then the fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line, a traceback below it."""
        when = dt.datetime.fromtimestamp(record.created, dt.UTC)
        extra = " ".join(f"{name}={value}" for name, value in fields(record).items())
        line = f"{when:%H:%M:%S}.{int(record.msecs):03d} {record.levelname[0]} {record.getMessage()} {extra}".rstrip()
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def configure(style: Literal["json", "console"], level: str) -> None:
    """Send all records of this process to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if style == "json" else ConsoleFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # kopf tells of every event of every object at INFO; what we do with them is told by ourselves.
    for chatty in ("kopf", "aiohttp.access", "asyncio", "urllib3"):
        logging.getLogger(chatty).setLevel(logging.WARNING if level != "debug" else logging.DEBUG)
