"""The programs as pods run them, and servers that are real but for one thing."""

from __future__ import annotations

import base64
import contextlib
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from perfrun_kernels import runner
from perfrun_kernels.contract import Request, Result

Change = Callable[[str, int, bytes], tuple[int, bytes]]
"""Gets the path that was asked, the status and the body that a real server answered; returns what is answered."""


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


@pytest.fixture
def measure() -> Callable[..., Result]:
    """Run a program in this process, as its pod does, and return what it would hand in."""

    def run(kind: str, parameters: dict[str, Any], budget: float = 600.0) -> Result:
        return Result.from_json(
            runner.run(Request("run", kind, 1, kind, parameters, budget), runner.Order()).to_json()
        )  # fmt: skip

    return run


@pytest.fixture
def attached() -> Callable[[Result, str], bytes]:
    """Return the content of a file that goes with a result."""
    return lambda result, name: base64.b64decode(result.attachments[name].data)


@pytest.fixture
def between() -> Iterator[Callable[[str, Change], str]]:
    """Stand between a program and a server, and change answers; return the URL to ask."""
    running: list[ThreadingHTTPServer] = []

    def stand(url: str, change: Change) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._pass(None)

            def do_POST(self) -> None:
                self._pass(self.rfile.read(int(self.headers.get("Content-Length", "0"))))

            def _pass(self, body: bytes | None) -> None:
                headers = {"Content-Type": self.headers["Content-Type"]} if body is not None else {}
                # The server was started by this test.
                request = urllib.request.Request(url + self.path, data=body, headers=headers)  # noqa: S310
                try:
                    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                        status, content = change(self.path, answer.status, answer.read())
                except urllib.error.HTTPError as error:
                    status, content = change(self.path, error.code, error.read())
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                # Whoever asked may be gone by now.
                with contextlib.suppress(OSError):
                    self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        running.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield stand
    for server in running:
        server.shutdown()
        server.server_close()


def warned(path: str, status: int, body: bytes) -> tuple[int, bytes]:
    """Add the warning of a store that is down to every answer with data."""
    if "/query" not in path:
        return status, body
    return status, json.dumps(json.loads(body) | {"warnings": ["store 2 of 3 is down: partial data"]}).encode()


def asleep(_path: str, status: int, body: bytes) -> tuple[int, bytes]:
    """Answer later than anybody waits."""
    time.sleep(3)
    return status, body


def overloaded(path: str, status: int, body: bytes) -> tuple[int, bytes]:
    """Turn every query away, as a server does that limits its tenants."""
    if "/query" not in path:
        return status, body
    error = {"status": "error", "errorType": "too_many_requests", "error": "tenant is over its limit"}
    return 429, json.dumps(error).encode()


def bare(path: str, status: int, body: bytes) -> tuple[int, bytes]:
    """Know nothing but queries, as servers do that only speak Prometheus' language."""
    if "/status/" not in path:
        return status, body
    return 404, b"404 page not found"


@pytest.fixture
def changes() -> dict[str, Change]:
    """What may lie between a program and its server."""
    return {"warned": warned, "asleep": asleep, "overloaded": overloaded, "bare": bare}
