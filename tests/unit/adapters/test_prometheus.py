"""What a server says, and what it fails to say, over a real connection on the loopback."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from perfrun.adapters.prometheus import PrometheusMetrics
from perfrun.api.run import TimeWindow
from perfrun.api.target import Prometheus
from perfrun.capabilities.base import QueryAnswer

WINDOW = TimeWindow(
    start=dt.datetime(2026, 1, 1, 0, 0, 0, 250_000, tzinfo=dt.UTC), end=dt.datetime(2026, 1, 1, 0, 1, tzinfo=dt.UTC)
)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def server(handler: Handler) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def answering(data: object, status: int = 200) -> Handler:
    async def handler(_: web.Request) -> web.Response:
        return web.json_response(data, status=status)

    return handler


async def instant(handler: Handler) -> QueryAnswer:
    async with server(handler) as url:
        return await PrometheusMetrics().instant(Prometheus(url=url), "up", WINDOW)


async def test_a_vector_becomes_series() -> None:
    result = [
        {"metric": {"__name__": "up", "job": 'a"b\\c'}, "value": [1.5, "1"]},
        {"metric": {}, "value": [1.5, "NaN"]},
        {"metric": {"x": "y"}, "value": [1.5, "+Inf"]},
    ]
    answer = await instant(answering({"status": "success", "data": {"resultType": "vector", "result": result}}))
    assert answer.error == ""
    assert answer.series == {
        '{__name__="up", job="a\\"b\\\\c"}': ((1.5, 1.0),),
        "{}": (),
        '{x="y"}': ((1.5, float("inf")),),
    }


async def test_a_scalar_is_a_series_without_labels() -> None:
    answer = await instant(answering({"status": "success", "data": {"resultType": "scalar", "result": [2, "7"]}}))
    assert answer.series == {"{}": ((2.0, 7.0),)}


async def test_warnings_are_kept() -> None:
    body = {"status": "success", "data": {"resultType": "vector", "result": []}, "warnings": ["a store is down"]}
    answer = await instant(answering(body))
    assert (answer.warnings, answer.error, answer.series) == (("a store is down",), "", {})


async def test_a_range_is_asked_for_with_exact_ends_and_the_servers_step() -> None:
    asked: dict[str, str] = {}

    async def handler(request: web.Request) -> web.Response:
        asked.update(request.query)
        result = [{"metric": {}, "values": [[1, "2"], [6, "3"]]}]
        return web.json_response({"status": "success", "data": {"resultType": "matrix", "result": result}})

    async with server(handler) as url:
        answer = await PrometheusMetrics().range(Prometheus(url=f"{url}/", step="5s"), "up", WINDOW)
    assert answer.series == {"{}": ((1.0, 2.0), (6.0, 3.0))}
    assert (float(asked["start"]), float(asked["end"])) == (WINDOW.start.timestamp(), WINDOW.end.timestamp())
    assert (asked["step"], asked["query"], asked["timeout"]) == ("5", "up", "10s")


async def test_a_refused_query_says_why() -> None:
    body = {"status": "error", "errorType": "bad_data", "error": "parse error: unexpected end of input"}
    answer = await instant(answering(body, 400))
    assert "refused the query (bad_data): parse error" in answer.error


async def test_a_web_page_is_not_prometheus() -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(text="<html>login</html>", content_type="text/html")

    answer = await instant(handler)
    assert "does not answer as Prometheus does" in answer.error
    assert "text/html" in answer.error


@pytest.mark.parametrize("body", [{}, [], {"status": "success"}, {"status": "success", "data": {"result": 5}}])
async def test_json_of_another_kind_is_an_error_and_no_data(body: object) -> None:
    answer = await instant(answering(body))
    assert "gave no usable answer" in answer.error
    assert answer.series == {}


async def test_a_failing_server_is_an_error() -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(text="oops", status=502)

    answer = await instant(handler)
    assert "502" in answer.error


async def test_nobody_there_is_an_error() -> None:
    async with server(answering({})) as url:
        pass
    answer = await PrometheusMetrics().instant(Prometheus(url=url), "up", WINDOW)
    assert "could not be reached" in answer.error


async def test_silence_is_an_error_after_the_stated_time() -> None:
    let_go = asyncio.Event()

    async def handler(_: web.Request) -> web.Response:
        await let_go.wait()
        return web.Response()

    async with server(handler) as url:
        answer = await PrometheusMetrics().instant(Prometheus(url=url, timeout="200ms"), "up", WINDOW)
        let_go.set()
    assert "did not answer within 200ms" in answer.error
