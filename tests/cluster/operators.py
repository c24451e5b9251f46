"""A real operator as a process of this machine, and a way to kill it exactly between two of its effects.

The operator talks to the real API server through a relay on loopback that counts its writes. When the chosen write
comes, the relay kills the operator with SIGKILL, either before the API server hears of it or after it was done but
before the operator learns so: the two ways in which a crash can fall between effects.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import aiohttp
import attrs
import yaml
from aiohttp import web

HOST = "198.18.0.254"
"""Where pods of the development cluster reach this machine, unless its status says otherwise."""

_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "content-encoding"}
_UNCOUNTED = ("/leases", "/tokenreviews", "/subjectaccessreviews", "/events")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


@attrs.define
class Operator:
    """One operator process after another, each with the same settings."""

    kubeconfig: Path
    state: Path
    host: str = attrs.field(factory=lambda: os.environ.get("PERFRUN_TEST_HOST", HOST))
    environment: dict[str, str] = attrs.field(factory=dict)
    port: int = attrs.field(factory=free_port)
    probe_port: int = attrs.field(factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0

    def start(self) -> None:
        environment = os.environ | {
            "KUBECONFIG": str(self.kubeconfig),
            "PERFRUN_ARTIFACTS": str(self.state / "artifacts"),
            "PERFRUN_IMAGE": "perfrun.dev/base:1",
            "PERFRUN_COMMAND": f"{sys.executable} -m perfrun_kernels",
            "PERFRUN_RUNTIME_CLASS": "perfrun-host",
            "PERFRUN_AGENT_NAMESPACE": "perfrun-chaos",
            "PERFRUN_AGENT_COMMAND": f"{sys.executable} -m perfrun_kernels.fault",
            "PERFRUN_POD_RESOURCES": '{"requests": {"cpu": "50m", "memory": "256Mi"}, "limits": {"memory": "2Gi"}}',
            "PERFRUN_RESULTS_URL": f"http://{self.host}:{self.port}",
            "PERFRUN_PORT": str(self.port),
            "PERFRUN_PROBE_PORT": str(self.probe_port),
            "PERFRUN_LOG_FORMAT": "console",
            "POD_NAME": "operator-under-test",
            "POD_NAMESPACE": "default",
        } | self.environment  # fmt: skip
        self.starts += 1
        with (self.state / "operator.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "perfrun.controller"], env=environment, stdout=log, stderr=log
            )

    def wait_ready(self, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            url = f"http://127.0.0.1:{self.probe_port}/readyz"
            with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2) as answer:
                if answer.status == 200:
                    return
            if self.process is not None and self.process.poll() is not None:
                break
            time.sleep(0.1)
        raise AssertionError(f"the operator did not become ready:\n{self.log()[-3000:]}")

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        if self.process is not None:
            self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()

    def log(self) -> str:
        path = self.state / "operator.log"
        return path.read_text(errors="replace") if path.exists() else ""


@contextlib.contextmanager
def operator(kubeconfig: Path, namespace: str = "", **environment: str) -> Iterator[Operator]:
    """Run an operator for the length of a test."""
    with tempfile.TemporaryDirectory(prefix="perfrun-test-") as folder:
        it = Operator(kubeconfig, Path(folder), environment={"PERFRUN_NAMESPACES": namespace, **environment})
        it.start()
        try:
            it.wait_ready()
            yield it
        finally:
            it.stop()


def _credentials(kubeconfig: Path) -> tuple[str, ssl.SSLContext]:
    data = yaml.safe_load(kubeconfig.read_text())
    cluster, user = data["clusters"][0]["cluster"], data["users"][0]["user"]
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for name, source in (("certificate-authority", cluster), ("client-certificate", user), ("client-key", user)):
            files[name] = source.get(name)
            if files[name] is None:
                files[name] = f"{folder}/{name}"
                Path(files[name]).write_bytes(b64decode(source[f"{name}-data"]))
        context = ssl.create_default_context(cafile=files["certificate-authority"])
        context.load_cert_chain(files["client-certificate"], files["client-key"])
    return cluster["server"], context


@attrs.define(slots=False)
class Relay:
    """Forwards HTTP on loopback to the API server and counts writes."""

    kubeconfig: Path
    kill_at: int = 0
    before: bool = False
    victim: Operator | None = None
    writes: list[str] = attrs.field(factory=list)
    port: int = attrs.field(factory=free_port)
    _loop: asyncio.AbstractEventLoop | None = None
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        ready = threading.Event()

        def serve() -> None:
            self._loop = asyncio.new_event_loop()
            self._loop.run_until_complete(self._start())
            ready.set()
            self._loop.run_forever()

        self._thread = threading.Thread(target=serve, daemon=True)
        self._thread.start()
        ready.wait(10)
        return self

    def __exit__(self, *_error: object) -> None:
        assert self._loop is not None
        assert self._thread is not None
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def client_config(self, folder: Path) -> Path:
        """Write a kubeconfig that leads through the relay."""
        path = folder / "relay.kubeconfig"
        path.write_text(yaml.safe_dump({
            "apiVersion": "v1", "kind": "Config", "current-context": "relay",
            "clusters": [{"name": "relay", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}],
            "users": [{"name": "relay", "user": {}}],
            "contexts": [{"name": "relay", "context": {"cluster": "relay", "user": "relay"}}],
        }))  # fmt: skip
        return path

    async def _start(self) -> None:
        self._server, context = _credentials(self.kubeconfig)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context, limit=0), timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
        )  # fmt: skip
        app = web.Application(client_max_size=16 << 20)
        app.router.add_route("*", "/{path:.*}", self._forward)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def _stop(self) -> None:
        # Watches never end by themselves, and a loop that stops under them complains.
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        await self._session.close()
        await self._runner.cleanup()
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        mutating = request.method in ("POST", "PUT", "PATCH", "DELETE")
        counted = mutating and not any(each in request.path for each in _UNCOUNTED)
        fatal = False
        if counted:
            self.writes.append(f"{request.method} {request.path}")
            fatal = len(self.writes) == self.kill_at
        body = await request.read()
        if fatal and self.before:
            self._murder()
            return web.Response(status=503)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP}
        async with self._session.request(
            request.method, f"{self._server}{request.path_qs}", headers=headers, data=body or None
        ) as answer:
            if fatal:
                await answer.read()
                self._murder()
                return web.Response(status=503)
            kept = {
                name: value for name, value in answer.headers.items() if name.lower() not in _HOP - {"content-encoding"}
            }
            response = web.StreamResponse(status=answer.status, headers=kept)
            with contextlib.suppress(ConnectionError):
                await response.prepare(request)
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
            return response

    def _murder(self) -> None:
        assert self.victim is not None
        assert self.victim.process is not None
        self.victim.process.send_signal(signal.SIGKILL)
