"""Durations and times as they are written on resources."""

from __future__ import annotations

import datetime as dt
import re
from typing import Annotated

from pydantic import AfterValidator, PlainSerializer, WithJsonSchema

PATTERN = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+$"
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds(text: str) -> float:
    """Return the length of a duration such as ``90s``, ``1h30m`` or ``7d`` in seconds.

    Raises:
        ValueError: the text is no duration.
    """
    if not re.fullmatch(PATTERN[1:-1], text):
        msg = f"{text!r} is not a duration; expected a number with a unit, such as 90s, 1h30m or 7d"
        raise ValueError(msg)
    return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))


def written(length: float) -> str:
    """Return a length in seconds as a duration, such as ``24h``, ``1h30m`` or ``0.5s``; days are not told apart."""
    minutes, rest = divmod(length, 60)
    hours, minutes = divmod(minutes, 60)
    parts = [f"{number:g}{unit}" for number, unit in ((hours, "h"), (minutes, "m"), (rest, "s")) if number]
    return "".join(parts) or "0s"


def _checked(text: str) -> str:
    seconds(text)
    return text


Duration = Annotated[
    str, AfterValidator(_checked), WithJsonSchema({"type": "string", "pattern": PATTERN, "maxLength": 32})
]
"""A length of time, such as 90s, 1h30m or 7d."""


def _utc(moment: dt.datetime) -> dt.datetime:
    return moment.astimezone(dt.UTC) if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def rfc3339(moment: dt.datetime) -> str:
    """Return a moment as UTC with microseconds, the way Kubernetes writes MicroTime."""
    return _utc(moment).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


Time = Annotated[
    dt.datetime,
    AfterValidator(_utc),
    PlainSerializer(rfc3339, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""A moment in UTC."""


def _whole(moment: dt.datetime) -> dt.datetime:
    return _utc(moment).replace(microsecond=0)


Second = Annotated[
    dt.datetime,
    AfterValidator(_whole),
    PlainSerializer(lambda moment: rfc3339(moment)[:19] + "Z", when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""A moment in UTC to the second, the way Kubernetes writes Time; for what people read in columns."""
