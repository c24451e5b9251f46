"""One streamed completion, timed as its client sees it, and every way in which it can go wrong.

A stream counts only when it is whole: text came, nothing stalled or broke off, and the server ended it with ``[DONE]``,
or, as servers do that never send that, with a reason why it finished and an orderly end of its answer.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import attrs

from perfrun_kernels.sampling.sse import Event, Events, MalformedEventError

if TYPE_CHECKING:
    from collections.abc import Mapping

REASONS: Final[Mapping[int, str]] = {
    400: "BadRequest", 401: "Unauthorized", 403: "Unauthorized", 404: "NotFound", 422: "BadRequest", 429: "RateLimited",
}  # fmt: skip
LEAST_CHUNKS: Final = 2
"""With fewer there is no gap between tokens."""


@attrs.frozen
class Completion:
    """A whole stream. Times are seconds of the monotonic clock.

    ``arrivals`` are those of the chunks with text. The token counts are the server's own, None where it gave none;
    ``cached_tokens`` are those of the prompt that it found in its cache.
    ``handling_seconds`` is what this client spent on reading events.
    """

    sent: float
    arrivals: tuple[float, ...]
    completion_tokens: int | None
    prompt_tokens: int | None
    handling_seconds: float
    cached_tokens: int | None = None

    @property
    def tokens(self) -> int:
        """Return the generated tokens: as the server counts, else one for each chunk."""
        return self.completion_tokens or len(self.arrivals)


class StreamFault(Exception):  # noqa: N818 -- a finding about the server
    """Why a stream is not whole.

    ``passing`` faults came before the server began to answer and may be gone on another try. The others are part of
    how it serves: leaving such a stream out would flatter every percentile.
    """

    def __init__(self, reason: str, detail: str, *, passing: bool = False, wait_seconds: float = 0.0) -> None:
        super().__init__(detail)
        self.reason = reason
        self.passing = passing
        self.wait_seconds = wait_seconds


async def complete(
    session: aiohttp.ClientSession, url: str, body: Mapping[str, Any], stall_seconds: float
) -> Completion:
    """Stream one completion.

    Raises:
        StreamFault: it did not become whole; ``stall_seconds`` without a token is a stall.
    """
    sent = time.perf_counter()
    answered = False
    try:
        async with asyncio.timeout(stall_seconds) as patience, session.post(url, json=body) as answer:
            await _accept(answer)
            answered = True
            return await _read(answer, sent, patience, stall_seconds)
    except TimeoutError as error:
        detail = f"the server sent no token for {stall_seconds:g} s"
        raise StreamFault("Stalled", detail) from error
    except MalformedEventError as error:
        raise StreamFault("MalformedStream", str(error)) from error
    except aiohttp.ClientConnectorError as error:
        raise StreamFault("Unreachable", f"{url} cannot be reached: {error}", passing=True) from error
    except (aiohttp.ClientError, OSError) as error:
        detail = f"the connection broke off: {type(error).__name__} {error}".strip()
        raise StreamFault("ConnectionDropped", detail, passing=not answered) from error


async def _accept(answer: aiohttp.ClientResponse) -> None:
    if answer.status == 200:  # noqa: PLR2004 -- the one status with a stream
        return
    said = (await answer.text(errors="replace"))[:300].strip()
    reason = REASONS.get(answer.status, "ServerError" if answer.status >= 500 else "UnexpectedStatus")  # noqa: PLR2004
    wait = answer.headers.get("Retry-After", "")
    raise StreamFault(
        reason, f"the server answered with status {answer.status}: {said}".rstrip(": "),
        passing=reason in ("RateLimited", "ServerError"), wait_seconds=float(wait) if wait.isdecimal() else 0.0,
    )  # fmt: skip


async def _read(
    answer: aiohttp.ClientResponse, sent: float, patience: asyncio.Timeout, stall_seconds: float
) -> Completion:
    events, arrivals, handling, finished = Events(), list[float](), 0.0, False
    completion = prompt = cached = None
    loop = asyncio.get_running_loop()
    async for data in answer.content.iter_any():
        arrived = time.perf_counter()
        for event in events.feed(data):
            if event.done:
                handling += time.perf_counter() - arrived
                return _whole(Completion(sent, tuple(arrivals), completion, prompt, handling, cached))
            _reject_error(event)
            if event.text:
                arrivals.append(arrived)
                patience.reschedule(loop.time() + stall_seconds)
            finished = finished or event.finished
            completion = event.completion_tokens or completion
            prompt = event.prompt_tokens or prompt
            cached = cached if event.cached_tokens is None else event.cached_tokens
        handling += time.perf_counter() - arrived
    if events.rest and not events.rest.startswith(b"data:"):
        raise MalformedEventError(f"found {events.rest[:80]!r}; expected server-sent events")
    if finished and not events.rest:
        return _whole(Completion(sent, tuple(arrivals), completion, prompt, handling, cached))
    raise StreamFault("ConnectionDropped", f"the stream ended after {len(arrivals)} chunks and was not finished")


def _reject_error(event: Event) -> None:
    if event.error:
        raise StreamFault("ServerError", f"the server reported inside the stream: {event.error}")


def _whole(completion: Completion) -> Completion:
    if len(completion.arrivals) >= LEAST_CHUNKS:
        return completion
    raise StreamFault(
        "NotStreaming",
        f"the server sent {completion.tokens} tokens in {len(completion.arrivals)} chunks; "
        "inter-token latency needs at least two chunks",
    )
