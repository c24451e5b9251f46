"""A watch that dies in silence is noticed, and everything that happened meanwhile is made up for.

The watches run through a relay on loopback that can be frozen: connections stay open and nothing passes, which is
how a lost route or a stuck load balancer looks from inside. No error is raised anywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import attrs
import pytest
from aiohttp import web
from kubernetes.aio.client.configuration import Configuration
from workbench import Bench, watching_by_kopf

from perfrun.adapters.api import load_configuration
from perfrun.controller import handlers
from perfrun.controller.http import Health, probes
from perfrun.controller.hub import Hub
from perfrun.controller.telemetry import Telemetry
from perfrun.controller.watches import Watches
from perfrun.lifecycle.values import Key

pytestmark = pytest.mark.contract

WATCH_SECONDS = 2


@attrs.define
class Relay:
    """Passes bytes to the API server and back, unless it is frozen."""

    host: str
    port: int
    passing: asyncio.Event = attrs.field(factory=asyncio.Event)
    tasks: set[asyncio.Task[None]] = attrs.field(factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.passing.wait()
        there_reader, there_writer = await asyncio.open_connection(self.host, self.port)
        for source, sink in ((reader, there_writer), (there_reader, writer)):
            task = asyncio.create_task(self.pump(source, sink))
            self.tasks.add(task)

    async def pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                await self.passing.wait()
                sink.write(data)
                await sink.drain()
        sink.close()


@attrs.frozen
class Watching:
    """kopf watching through the relay, with the hub and the probe port."""

    bench: Bench
    relay: Relay
    watches: Watches
    woken: list[Key]
    health: str

    async def probe(self) -> tuple[int, str]:
        async with aiohttp.ClientSession() as client, client.get(f"{self.health}/healthz") as answer:
            return answer.status, await answer.text()


@pytest.fixture
async def watching(bench: Bench, kubeconfig: Path) -> AsyncIterator[Watching]:
    there = urlsplit(bench.api.server)
    relay = Relay(str(there.hostname), there.port or 443)
    relay.passing.set()
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(await asyncio.start_server(relay.serve, "127.0.0.1", 0))
        port = server.sockets[0].getsockname()[1]

        async def load() -> Configuration:
            configuration = await load_configuration(str(kubeconfig))
            configuration.host = f"https://127.0.0.1:{port}"
            # The certificate need not know of the relay.
            configuration.verify_ssl = False
            return configuration

        paths = handlers.watched_paths((bench.namespace,))
        watches, woken = Watches(paths.values(), time.monotonic, WATCH_SECONDS), list[Key]()
        hub = Hub(woken.append, lambda _: None, Telemetry())
        health = Health(dead=watches.dead, unready=list, metrics=bytes)
        runner = web.AppRunner(probes(health))
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with watching_by_kopf(bench.namespace, load, hub, watches, paths, WATCH_SECONDS):
            yield Watching(bench, relay, watches, woken, f"http://127.0.0.1:{runner.addresses[0][1]}")
            relay.passing.set()
        for task in relay.tasks:
            task.cancel()


async def until(true: Callable[[], bool]) -> None:
    # No time is asserted: a watch that is never noticed runs into the time limit of the test.
    while not true():  # noqa: ASYNC110 -- what is waited for happens in other threads
        await asyncio.sleep(0.05)


async def test_a_frozen_watch_is_noticed_and_made_up_for(watching: Watching) -> None:
    def key(name: str) -> Key:
        return Key("PerfFeature", watching.bench.namespace, name)

    await until(watching.watches.all_answered)
    await watching.bench.feature("before")
    await until(lambda: key("before") in watching.woken)
    assert await watching.probe() == (200, "ok")

    watching.relay.passing.clear()
    await watching.bench.feature("meanwhile")
    await until(lambda: len(watching.watches.dead()) == len(watching.watches.ages()))
    status, text = await watching.probe()
    assert status == 503
    assert f"/namespaces/{watching.bench.namespace}/perffeatures has not been answered" in text
    assert key("meanwhile") not in watching.woken

    watching.relay.passing.set()
    await until(lambda: key("meanwhile") in watching.woken and not watching.watches.dead())
    assert await watching.probe() == (200, "ok")


async def test_watches_are_begun_anew_while_nothing_happens(watching: Watching) -> None:
    await until(watching.watches.all_answered)
    began = time.monotonic()
    await until(lambda: time.monotonic() - began > 3 * WATCH_SECONDS)
    assert watching.watches.dead() == []


async def test_nothing_is_ever_written_onto_peoples_objects(watching: Watching) -> None:
    await until(watching.watches.all_answered)
    feature = await watching.bench.feature("plain")
    await until(lambda: Key("PerfFeature", watching.bench.namespace, "plain") in watching.woken)
    await watching.bench.feature("next")
    await until(lambda: Key("PerfFeature", watching.bench.namespace, "next") in watching.woken)
    found = await watching.bench.cluster.feature(Key("PerfFeature", watching.bench.namespace, "plain"))
    assert found == feature
