"""A real HTTP server on loopback that streams completions as a script tells it, well or badly."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

Behaviour = Callable[["Server", web.Request, dict[str, Any]], Awaitable[web.StreamResponse]]


class Server:
    """Serves in a thread of its own; ``behaviour`` answers each request and may be replaced at any time."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.metrics: Callable[[Server], str] | None = None
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.open = 0
        self.most_open = 0
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._port = 0
        self.end = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)
        self._thread.start()
        self._started.wait()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self.end.set)
        self._thread.join()
        self._loop.close()

    async def _serve(self) -> None:
        application = web.Application()
        application.router.add_post("/v1/{path:.*}", self._answer)
        application.router.add_get("/metrics", self._show)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        assert site._server is not None
        self._port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        self._started.set()
        await self.end.wait()
        await runner.cleanup()

    async def _show(self, _: web.Request) -> web.StreamResponse:
        if self.metrics is None:
            return web.Response(status=404)
        return web.Response(text=self.metrics(self))

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append(body)
        self.headers.append(dict(request.headers))
        self.paths.append(request.path)
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            return await self.behaviour(self, request, body)
        finally:
            self.open -= 1


def chunk(text: str, finish: str | None = None, *, chat: bool = True) -> bytes:
    choice: dict[str, Any] = {"index": 0, "finish_reason": finish}
    choice |= {"delta": {"content": text}} if chat else {"text": text}
    return f"data: {json.dumps({'choices': [choice]})}\n\n".encode()


async def begin(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    return response


def streaming(per_chunk: int = 1, *, usage: bool = True, cached: int | None = None, done: bool = True) -> Behaviour:
    """Return a server that streams ``max_tokens`` tokens, so many a chunk; ``cached`` of five were in its cache."""

    async def behave(_: Server, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        response = await begin(request)
        chat = "messages" in body
        total = body["max_tokens"]
        for _number in range(0, total, per_chunk):
            await response.write(chunk("word " * per_chunk, chat=chat))
            await asyncio.sleep(0.001)
        await response.write(chunk("", "length", chat=chat))
        if usage:
            counts: dict[str, Any] = {"completion_tokens": total, "prompt_tokens": 5}
            if cached is not None:
                counts["prompt_tokens_details"] = {"cached_tokens": cached}
            await response.write(f"data: {json.dumps({'choices': [], 'usage': counts})}\n\n".encode())
        if done:
            await response.write(b"data: [DONE]\n\n")
        return response

    return behave


def refusing(status: int, text: str = "go away", retry_after: str = "") -> Behaviour:
    """Return a server that turns everyone away."""

    async def behave(_: Server, __: web.Request, ___: dict[str, Any]) -> web.StreamResponse:
        headers = {"Retry-After": retry_after} if retry_after else {}
        return web.Response(status=status, text=text, headers=headers)

    return behave


def saying(*parts: bytes, then: str = "end") -> Behaviour:
    """Return a server that sends these bytes and then ends, hangs, or cuts the connection."""

    async def behave(server: Server, request: web.Request, _: dict[str, Any]) -> web.StreamResponse:
        response = await begin(request)
        for part in parts:
            await response.write(part)
            await asyncio.sleep(0.001)
        if then == "hang":
            await server.end.wait()
        if then == "cut" and request.transport is not None:
            request.transport.abort()
        return response

    return behave


def first(count: int, early: Behaviour, later: Behaviour) -> Behaviour:
    """Return a server whose first ``count`` requests meet ``early`` and the others ``later``."""

    async def behave(server: Server, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        chosen = early if len(server.requests) <= count else later
        return await chosen(server, request, body)

    return behave
