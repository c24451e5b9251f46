"""The operator's two HTTP faces: results, gates, artifacts and admission on one port, probes and metrics on another.

Probes stay plain HTTP and apart, so that neither certificates nor load decide whether the operator is thought alive.
"""

from __future__ import annotations

import json
import logging
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import attrs
from aiohttp import web

from perfrun.adapters.reading import MalformedError
from perfrun.controller.access import Access, DeniedError, bearer
from perfrun.controller.gates import verdict_of
from perfrun.controller.results import MAX_RESULT_BYTES, Place, Results
from perfrun.controller.telemetry import Telemetry
from perfrun.lifecycle.attachments import media_type_of
from perfrun.lifecycle.values import Key
from perfrun.ports import Artifacts, Cluster, Unavailable
from perfrun_kernels.contract import PARTIAL_QUERY

log = logging.getLogger(__name__)

_RETRY: Final = {"Retry-After": "1"}
_MAX_REVIEW_BYTES: Final = 4 * 1024 * 1024

_INERT: Final = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
"""Pictures come from pods; what a browser is shown of them runs no script and loads nothing."""

Review = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


@attrs.frozen
class Services:
    """What the public port answers from; ``namespace_of`` gives the namespace of a run by its uid."""

    cluster: Cluster
    artifacts: Artifacts
    access: Access
    results: Results
    review: Review
    telemetry: Telemetry
    leads: Callable[[], bool]
    namespace_of: Callable[[str], str | None]


@attrs.frozen
class Health:
    """What the probes answer from: sentences that say what is wrong, none where all is well."""

    dead: Callable[[], list[str]]
    unready: Callable[[], list[str]]
    metrics: Callable[[], bytes]


def probes(health: Health) -> web.Application:
    """Return the application of the probe port."""

    async def healthz(_: web.Request) -> web.Response:
        return _verdict(health.dead())

    async def readyz(_: web.Request) -> web.Response:
        return _verdict(health.unready())

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=health.metrics(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    return app


def public(services: Services) -> web.Application:
    """Return the application of the public port."""
    app = web.Application(middlewares=[_sentences], client_max_size=MAX_RESULT_BYTES)
    app.add_routes(
        [
            web.put("/results/{namespace}/{run}/{stage}/{attempt}", _taking(services)),
            web.put("/results/{namespace}/{run}/{stage}/{attempt}/{shard}", _taking(services)),
            web.get("/artifacts/{path:.+}", _giving(services)),
            web.get("/api/v1/namespaces/{namespace}/perfruns/{run}", _judging(services)),
            web.post("/admission", _reviewing(services)),
        ]
    )
    return app


def tls(directory: Path) -> ssl.SSLContext:
    """Return a server context with ``tls.crt`` and ``tls.key``; raises OSError where they cannot be used."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(directory / "tls.crt", directory / "tls.key")
    return context


def _taking(services: Services) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def take(request: web.Request) -> web.Response:
        if not services.leads():
            # Only the leader's store and queue count; the pod comes again and finds it.
            return _told(503, "this operator stands by; come again", _RETRY)
        info = request.match_info
        for name in ("attempt", "shard"):
            if not info.get(name, "0").isdecimal():
                return _told(404, f"found {name} {info[name]!r}, expected a number")
        shard = int(info["shard"]) if "shard" in info else None
        partial = request.query_string == PARTIAL_QUERY
        if partial and shard is not None:
            return _told(404, "a generator hands in its result only, and nothing before")
        place = Place(info["namespace"], info["run"], info["stage"], int(info["attempt"]), shard, partial)
        token = bearer(request.headers.get("Authorization"))
        reply = await services.results.take(place, token, await request.read())
        services.telemetry.result(reply.status)
        log.info("result", extra={**attrs.asdict(place), "status": reply.status, "told": reply.message})
        return _told(reply.status, reply.message)

    return take


def _giving(services: Services) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def give(request: web.Request) -> web.StreamResponse:
        path = request.match_info["path"]
        namespace = services.namespace_of(_run_of(path))
        token = bearer(request.headers.get("Authorization"))
        if namespace is None:
            return _told(404, f"there is no artifact {path}")
        await services.access.reader(token, namespace)
        found = await services.artifacts.get(path)
        if found is None:
            return _told(404, f"there is no artifact {path}")
        link, content = found
        headers = {"ETag": f'"{link.digest}"', "X-Content-Type-Options": "nosniff", "Content-Security-Policy": _INERT}
        return web.Response(body=content, content_type=media_type_of(path), headers=headers)

    return give


def _judging(services: Services) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def judge(request: web.Request) -> web.Response:
        namespace, name = request.match_info["namespace"], request.match_info["run"]
        run = await services.cluster.run(Key("PerfRun", namespace, name))
        if run is None:
            return _told(404, f"there is no PerfRun {name} in namespace {namespace}")
        return web.json_response(verdict_of(run), headers={"Cache-Control": "no-store"})

    return judge


def _reviewing(services: Services) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def review(request: web.Request) -> web.Response:
        if (request.content_length or 0) > _MAX_REVIEW_BYTES:
            return _told(413, f"expected a review of at most {_MAX_REVIEW_BYTES} bytes")
        try:
            asked = json.loads(await request.read())
            return web.json_response(await services.review(asked))
        except (ValueError, KeyError, TypeError) as error:
            return _told(400, f"expected an AdmissionReview of admission.k8s.io/v1 as JSON: {error}")

    return review


def _run_of(path: str) -> str:
    """Return the uid of the run that an artifact belongs to, or an empty text where it is none of a run."""
    match path.split("/"):
        case ["runs", uid, *rest] if rest and ".." not in rest:
            return uid
        case _:
            return ""


@web.middleware
async def _sentences(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Turn every way a request may end into a status with one sentence."""
    try:
        return await handler(request)
    except web.HTTPRequestEntityTooLarge:
        return _told(413, f"expected at most {MAX_RESULT_BYTES} bytes")
    except web.HTTPException as error:
        return _told(error.status, f"{error.reason}: {request.method} {request.path}")
    except DeniedError as denied:
        return _told(denied.status, str(denied))
    except MalformedError as error:
        return _told(500, str(error))
    except (Unavailable, OSError) as error:
        return _told(503, f"come again: {error}", _RETRY)


def _told(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response({"message": message}, status=status, headers=headers)


def _verdict(problems: list[str]) -> web.Response:
    return web.Response(text="\n".join(problems) or "ok", status=503 if problems else 200)
