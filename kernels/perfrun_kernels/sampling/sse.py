"""Server-sent events as OpenAI-compatible servers send them, read from bytes as they arrive.

A network splits a stream anywhere, within a character too, so bytes are kept until a whole event is there.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator

DONE = "[DONE]"
LONGEST_EVENT = 1 << 20
"""Bytes that one event may take; a server that never ends one is not sending events."""


class MalformedEventError(ValueError):
    """The stream holds something that is no event of this protocol; the message shows it."""


@attrs.frozen
class Event:
    """What one event says.

    ``text`` is the generated text that it carries, ``finished`` that the generation has ended, ``done`` that the
    stream has. Token counts are those of its ``usage``, or None; ``cached_tokens`` of the prompt were in the server's
    cache.
    """

    text: str = ""
    finished: bool = False
    done: bool = False
    completion_tokens: int | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    error: str = ""


class Events:
    """Cuts a byte stream into events."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[Event]:
        """Take bytes and yield the events that are complete with them.

        Raises:
            MalformedEventError: an event is no JSON of this protocol, or has no end.
        """
        *blocks, self._rest = (self._rest + data).replace(b"\r\n", b"\n").split(b"\n\n")
        for block in blocks:
            event = read(block)
            if event is not None:
                yield event
        if len(self._rest) > LONGEST_EVENT:
            raise MalformedEventError(f"an event is longer than {LONGEST_EVENT} bytes; expected server-sent events")

    @property
    def rest(self) -> bytes:
        """Return what has arrived of an event that is not complete."""
        return self._rest.strip()


def read(block: bytes) -> Event | None:
    """Read one event; comments (keep-alives) and other fields without data give None.

    Raises:
        MalformedEventError: its data is no JSON object of this protocol.
    """
    lines = block.decode(errors="replace").split("\n")
    unknown = [line for line in lines if line and not line.startswith((":", "data:", "event:", "id:", "retry:"))]
    if unknown:
        raise MalformedEventError(f"found the line {unknown[0][:80]!r}; expected server-sent events")
    text = "\n".join(line.removeprefix("data:").removeprefix(" ") for line in lines if line.startswith("data:"))
    if not text:
        return None
    if text.strip() == DONE:
        return Event(done=True)
    try:
        data = json.loads(text)
    except ValueError as error:
        raise MalformedEventError(f"found the event {text[:80]!r}; expected JSON") from error
    return _event(data, text)


def _event(data: Any, text: str) -> Event:
    try:
        if data.get("error"):
            return Event(error=json.dumps(data["error"])[:300])
        choices, usage = data.get("choices") or [], data.get("usage") or {}
        choice = choices[0] if choices else {}
        delta = choice.get("delta") or {}
        words = choice.get("text") or delta.get("content") or delta.get("reasoning_content") or delta.get("reasoning")
        return Event(
            text=_text(words),
            finished=bool(choice.get("finish_reason")),
            completion_tokens=_count(usage.get("completion_tokens")),
            prompt_tokens=_count(usage.get("prompt_tokens")),
            cached_tokens=_count((usage.get("prompt_tokens_details") or {}).get("cached_tokens")),
        )
    except (AttributeError, TypeError, LookupError) as error:
        raise MalformedEventError(f"found the event {text[:80]!r}; expected a completion chunk") from error


def _text(words: Any) -> str:
    if words is None or isinstance(words, str):
        return words or ""
    raise TypeError


def _count(value: Any) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise TypeError
