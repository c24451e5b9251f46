"""Both ports, open for as long as they are needed, with certificates that may be renewed meanwhile."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from aiohttp import web

from perfrun.controller.http import tls
from perfrun.controller.settings import Settings, SettingsError

log = logging.getLogger(__name__)

_RELOAD_EVERY: Final = 60.0
_SHUTDOWN: Final = 5.0


@asynccontextmanager
async def listening(settings: Settings, probes: web.Application, public: web.Application) -> AsyncIterator[None]:
    """Serve the probe port and the public port for as long as the context is open.

    Raises:
        SettingsError: a port cannot be listened on, or there is no usable certificate.
    """
    async with AsyncExitStack() as stack:
        await _site(stack, probes, settings.host, settings.probe_port, None)
        context = None
        if settings.tls_dir is not None:
            context = _certificates(settings.tls_dir)
            reloading = asyncio.create_task(_reload(settings.tls_dir, context), name="certificates")
            stack.callback(reloading.cancel)
        await _site(stack, public, settings.host, settings.port, context)
        yield


async def _site(
    stack: AsyncExitStack, app: web.Application, host: str, port: int, context: ssl.SSLContext | None
) -> None:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    try:
        await web.TCPSite(runner, host or None, port, ssl_context=context, reuse_address=True).start()
    except OSError as error:
        msg = f"cannot listen on {host or '*'}:{port} ({error.strerror}); choose another port or address"
        raise SettingsError(msg) from error


def _certificates(directory: Path) -> ssl.SSLContext:
    try:
        return tls(directory)
    except OSError as error:
        msg = f"--tls-dir: {directory} gives no certificate ({error}); expected tls.crt and tls.key"
        raise SettingsError(msg) from error


async def _reload(directory: Path, context: ssl.SSLContext) -> None:
    """Take up renewed certificates; new connections see them."""
    while True:
        await asyncio.sleep(_RELOAD_EVERY)
        try:
            context.load_cert_chain(directory / "tls.crt", directory / "tls.key")
        except OSError as error:
            log.warning("certificates not taken up", extra={"error": str(error)})
