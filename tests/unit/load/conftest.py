"""A real HTTP server on loopback that can freeze, fail and drop, and remembers every request id."""

import asyncio
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from perfrun_kernels.load import generator

ANSWER = b"HTTP/1.1 %s\r\nContent-Length: 3\r\nX-Served-By: %s\r\n\r\nok\n"


class Server:
    """Answers by a rule that gets each request's number (from 1) and id; the rule may sleep, which freezes it all."""

    def __init__(self, name: str, rule: Callable[[int, str], str]) -> None:
        self.name, self.rule = name, rule
        self.seen: list[str] = []
        self.good: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/"

    async def _listen(self) -> asyncio.Server:
        return await self._loop.create_server(lambda: Connection(self), "127.0.0.1", 0, backlog=4096)

    def stop(self) -> None:
        async def end() -> None:
            self._server.close()

        asyncio.run_coroutine_threadsafe(end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Connection(asyncio.Protocol):
    def __init__(self, server: Server) -> None:
        self.server, self.pending = server, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.pending += data
        while (end := self.pending.find(b"\r\n\r\n")) >= 0:
            head, self.pending = self.pending[:end], self.pending[end + 4 :]
            name = head.partition(b"X-Request-Id: ")[2].partition(b"\r\n")[0].decode()
            self.server.seen.append(name)
            status = self.server.rule(len(self.server.seen), name)
            if status == "drop":
                self.transport.abort()
                return
            if status.startswith("2"):
                self.server.good.append(name)
            self.transport.write(ANSWER % (status.encode(), self.server.name.encode()))
            if b"Connection: close" in head:
                self.transport.close()


def good(_number: int, _name: str) -> str:
    return "200 OK"


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    running: list[Server] = []

    def make(rule: Callable[[int, str], str] = good, name: str = "one") -> Server:
        running.append(Server(name, rule))
        return running[-1]

    yield make
    for server in running:
        server.stop()


@pytest.fixture
def offer() -> Callable[..., dict]:
    """Run the real generator with the fields of its configuration."""
    return lambda **config: generator.start(config, lambda line: None)


class Freeze:
    """Freezes the whole server once, at one request; ``seconds`` is how long it really took."""

    def __init__(self, at: int, seconds: float) -> None:
        self.at, self.asked, self.seconds = at, seconds, 0.0

    def __call__(self, number: int, _name: str) -> str:
        if number == self.at:
            before = time.monotonic()
            time.sleep(self.asked)
            self.seconds = time.monotonic() - before
        return "200 OK"


@pytest.fixture
def freeze() -> type[Freeze]:
    return Freeze


class Process:
    """The same server as a process of its own, which signals can stop and let go on."""

    def __init__(self) -> None:
        self._running = subprocess.Popen([sys.executable, __file__], stdout=subprocess.PIPE, text=True)
        self.pid = self._running.pid
        self.url = self._running.stdout.readline().strip()

    def end(self) -> None:
        self._running.send_signal(signal.SIGCONT)
        self._running.kill()
        self._running.communicate()


@pytest.fixture
def served() -> Iterator[Process]:
    process = Process()
    yield process
    process.end()


if __name__ == "__main__":
    print(Server(Path(__file__).stem, good).url, flush=True)  # noqa: T201 -- its parent reads it
