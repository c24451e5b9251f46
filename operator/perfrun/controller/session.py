"""kopf's connection: the same credentials as everybody's, and every answered watch leaves a sign of life."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import aiohttp
import kopf

from perfrun.adapters.api import Api
from perfrun.controller.watches import Watches


async def login(api: Api, watches: Watches) -> kopf.AiohttpSession:
    """Return a session for kopf; it asks for the credentials of the moment at each request."""

    async def authorise(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        header = await api.authorization()
        if header is not None:
            request.headers["Authorization"] = header
        return await handler(request)

    async def answered(
        _session: aiohttp.ClientSession, _context: SimpleNamespace, params: aiohttp.TraceRequestEndParams
    ) -> None:
        if "watch" in params.url.query and params.response.status == 200:  # noqa: PLR2004 -- OK
            watches.opened(params.url.path)

    trace = aiohttp.TraceConfig()
    trace.on_request_end.append(answered)
    session = aiohttp.ClientSession(connector=api.connector(), middlewares=(authorise,), trace_configs=[trace])
    return kopf.AiohttpSession(server=api.server, aiohttp_session=session)


def register(registry: kopf.OperatorRegistry, api: Api, watches: Watches) -> None:
    """Register the login, which kopf asks for again after each refusal."""
    logins = itertools.count()

    async def handler(**_: Any) -> kopf.AiohttpSession:
        if next(logins):
            await api.renew()
        return await login(api, watches)

    kopf.on.login(id="login", registry=registry)(handler)
