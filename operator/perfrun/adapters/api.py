"""One connection to the API server, in plain JSON.

The ``kubernetes`` client does what is hard: kubeconfig and service account, client certificates, exec plugins, token
refresh, TLS. Its typed models are left out: perfrun's own models are pydantic, pods are read in a pure function of
their JSON, and the generated models cost memory and milliseconds on the path from ``kubectl apply`` to a pod.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Literal

import aiohttp
from kubernetes.aio import config as kubeconfig
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration

from perfrun.ports import Conflict, Unavailable

TIMEOUT: Final = 15.0
"""Longest time for one request, seconds; watches are another matter and another connection."""

_SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
_LONGEST_MESSAGE: Final = 1000
_PAGE: Final = "500"

METADATA_ONLY: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
"""What to accept where only the metadata of a list's objects matters."""

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
Load = Callable[[], Awaitable[Configuration]]


class NotFound(Exception):  # noqa: N818 -- a normal answer
    """There is no such object."""


class AlreadyExists(Exception):  # noqa: N818 -- a normal answer
    """There is an object of this name already."""


class Refused(Exception):  # noqa: N818 -- a normal answer
    """The API server understood and said no; the message is its own: invalid, forbidden, over quota."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


async def load_configuration(path: str | None = None) -> Configuration:
    """Read how to reach the cluster: from a kubeconfig where one is named, else from the pod's service account.

    Without either, the default kubeconfig (``$KUBECONFIG``, ``~/.kube/config``) is read.

    Raises:
        Unavailable: there is nothing usable.
    """
    configuration = Configuration()
    try:
        if path is None and _SERVICE_ACCOUNT.is_file():
            kubeconfig.load_incluster_config(client_configuration=configuration)
        else:
            await kubeconfig.load_kube_config(config_file=path, client_configuration=configuration)
    except (kubeconfig.ConfigException, OSError) as error:
        msg = f"no way to reach a cluster: {error}; set KUBECONFIG, or run with a service account"
        raise Unavailable(msg) from error
    return configuration


class Api:
    """Requests to the API server; safe to share among tasks of one event loop."""

    def __init__(self, configuration: Configuration, load: Load) -> None:
        self._load = load
        self._client = ApiClient(configuration)
        self._renewing = asyncio.Lock()

    @classmethod
    async def connect(cls, load: Load = load_configuration) -> Api:
        """Read the configuration; the first request makes the connection."""
        return cls(await load(), load)

    async def close(self) -> None:
        """Close every connection."""
        await self._client.close()

    @property
    def server(self) -> str:
        """The API server's URL."""
        return str(self._client.configuration.host)

    async def authorization(self) -> str | None:
        """Return the Authorization header of now, or None where a client certificate speaks."""
        settings = await self._client.configuration.auth_settings()
        return next((each["value"] for each in settings.values() if each.get("value")), None)

    def connector(self) -> aiohttp.TCPConnector:
        """Return an unlimited connector with this connection's TLS, for whoever needs a session of their own."""
        return aiohttp.TCPConnector(limit=0, ssl=self._client.rest_client.ssl_context)

    async def get(
        self, path: str, query: Mapping[str, str] | None = None, accept: str = "application/json"
    ) -> dict[str, Any]:
        """Read; raises NotFound, Refused, Unavailable."""
        return await self.request("GET", path, query=query, accept=accept)

    async def pages(
        self, path: str, selector: str = "", accept: str = "application/json", fields: str = ""
    ) -> AsyncIterator[dict[str, Any]]:
        """Yield the objects of a list, page by page; raises NotFound, Refused, Unavailable.

        ``selector`` chooses by labels, ``fields`` by the fields that the server can choose by.
        """
        chosen = {"labelSelector": selector, "fieldSelector": fields}
        query = {"limit": _PAGE} | {name: value for name, value in chosen.items() if value}
        while True:
            page = await self.get(path, query, accept)
            for item in page.get("items") or ():
                yield item
            token = page["metadata"].get("continue")
            if not token:
                return
            query["continue"] = token

    async def create(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Create; raises AlreadyExists, Refused, Unavailable."""
        return await self.request("POST", path, body=body)

    async def replace(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Replace the version that the body names; raises Conflict, NotFound, Refused, Unavailable."""
        return await self.request("PUT", path, body=body)

    async def merge(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Apply a JSON merge patch; raises Conflict, NotFound, Refused, Unavailable."""
        return await self.request("PATCH", path, body=body, content_type="application/merge-patch+json")

    async def delete(self, path: str, uid: str = "", grace: int | None = None) -> None:
        """Delete in the background; raises NotFound, Refused, Unavailable.

        With a ``uid`` only the object that has it is deleted; another of its name raises Conflict. ``grace`` are the
        seconds that a pod gets to end; left out, as many as it asks for.
        """
        options: dict[str, Any] = {"propagationPolicy": "Background"}
        if uid:
            options["preconditions"] = {"uid": uid}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        await self.request("DELETE", path, body=options)

    async def chunks(self, path: str, query: Mapping[str, str], seconds: float) -> AsyncGenerator[bytes, None]:
        """Yield an answer that is no JSON, as it comes, for so many seconds; raises NotFound, Refused, Unavailable.

        Whoever has read enough closes the iterator, and the connection goes with it.
        """
        client, headers = self._client, {"Accept": "*/*", "Content-Type": "application/json"}
        try:
            response = await self._open(client, "GET", path, query, None, headers, seconds)
            if response.status == HTTPStatus.UNAUTHORIZED:
                await self._renew(client)
                response = await self._open(self._client, "GET", path, query, None, headers, seconds)
            try:
                if response.status != HTTPStatus.OK:
                    _judge(response.status, await response.read(), f"GET {path}")
                async for chunk in response.response.content.iter_any():
                    yield chunk
            finally:
                response.response.close()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            msg = f"the API server at {self.server} did not answer GET {path}: {error or type(error).__name__}"
            raise Unavailable(msg) from error

    async def request(
        self,
        method: Method,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> dict[str, Any]:
        """Make one request and return the JSON object that was answered.

        Raises:
            NotFound, AlreadyExists, Conflict, Refused: the server said so.
            Unavailable: the server did not answer, or asked to come again later.
        """
        client = self._client
        headers = {"Accept": accept, "Content-Type": content_type}
        status, answer = await self._send(client, method, path, query, body, headers)
        if status == HTTPStatus.UNAUTHORIZED:
            # A rotated certificate or an expired exec credential: whoever comes first reads them again.
            await self._renew(client)
            status, answer = await self._send(self._client, method, path, query, body, headers)
        return _judge(status, answer, f"{method} {path}")

    async def _send(
        self,
        client: ApiClient,
        method: Method,
        path: str,
        query: Mapping[str, str] | None,
        body: Mapping[str, Any] | None,
        headers: Mapping[str, str],
    ) -> tuple[int, bytes]:
        try:
            response = await self._open(client, method, path, query, body, headers, TIMEOUT)
            return int(response.status), bytes(await response.read())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            msg = f"the API server at {self.server} did not answer {method} {path}: {error or type(error).__name__}"
            raise Unavailable(msg) from error

    async def _open(
        self,
        client: ApiClient,
        method: Method,
        path: str,
        query: Mapping[str, str] | None,
        body: Mapping[str, Any] | None,
        headers: Mapping[str, str],
        seconds: float,
    ) -> Any:
        request = await client.param_serialize(
            method, path, query_params=list((query or {}).items()), header_params=dict(headers), body=body,
            auth_settings=["BearerToken"],
        )  # fmt: skip
        return await client.call_api(*request, _request_timeout=seconds)

    async def renew(self) -> None:
        """Read the credentials again and connect anew."""
        await self._renew(self._client)

    async def _renew(self, used: ApiClient) -> None:
        async with self._renewing:
            if self._client is used:
                self._client = ApiClient(await self._load())
                await used.close()


def _judge(status: int, answer: bytes, what: str) -> dict[str, Any]:
    try:
        data = json.loads(answer) if answer else {}
    except ValueError:
        data = {}
    if not isinstance(data, dict):
        data = {}
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return data
    message = str(data.get("message") or answer[:200].decode(errors="replace"))[:_LONGEST_MESSAGE]
    if status == HTTPStatus.NOT_FOUND:
        raise NotFound(message)
    if status == HTTPStatus.CONFLICT:
        raise AlreadyExists(message) if data.get("reason") == "AlreadyExists" else Conflict(message)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.UNAUTHORIZED):
        msg = f"{what} was answered with {status}: {message}"
        raise Unavailable(msg)
    raise Refused(status, message)
