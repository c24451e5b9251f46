"""The few calls that bring-up makes to the API server, by the standard library, which starts faster than clients."""

import base64
import http.client
import json
import ssl
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attrs

_TIMEOUT_SECONDS = 5.0


@attrs.frozen
class ApiError(Exception):
    """The API server refused, or was not there (status 0)."""

    status: int
    message: str


@attrs.frozen
class ApiClient:
    """One cluster's API, as one of its users."""

    server: str
    tls: ssl.SSLContext

    @classmethod
    def from_kubeconfig(cls, path: Path) -> "ApiClient":
        """Read a kubeconfig that this package wrote."""
        document = json.loads(path.read_text())
        cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        tls = ssl.create_default_context(cadata=authority)
        with tempfile.NamedTemporaryFile() as pair:
            # The standard library loads client certificates from files only.
            pair.write(base64.b64decode(user["client-key-data"]) + base64.b64decode(user["client-certificate-data"]))
            pair.flush()
            tls.load_cert_chain(pair.name)
        return cls(server=cluster["server"], tls=tls)

    def request(self, method: str, path: str, body: object = None, content_type: str = "application/json") -> Any:
        """Send one request and return the parsed answer, or its text where it is no JSON.

        Raises:
            ApiError: no connection, or a status of 400 or more.
        """
        address = urlsplit(self.server)
        connection = http.client.HTTPSConnection(
            address.hostname or "", address.port, timeout=_TIMEOUT_SECONDS, context=self.tls
        )
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, {"Content-Type": content_type, "Accept": "application/json"})
            answer = connection.getresponse()
            text = answer.read().decode()
        except (OSError, http.client.HTTPException) as error:
            raise ApiError(0, str(error)) from error
        finally:
            connection.close()
        if answer.status >= http.HTTPStatus.BAD_REQUEST:
            raise ApiError(answer.status, text)
        return json.loads(text) if text.startswith(("{", "[")) else text

    def get(self, path: str) -> Any:
        """Read.

        Raises:
            ApiError: see `request`.
        """
        return self.request("GET", path)

    def apply(self, path: str, document: dict[str, Any]) -> None:
        """Create or update by server-side apply.

        Raises:
            ApiError: see `request`.
        """
        query = "?fieldManager=perfrun-dev&force=true"
        self.request("PATCH", path + query, document, "application/apply-patch+yaml")

    def ready(self) -> bool:
        """Whether the API server says that it is."""
        try:
            return bool(self.get("/readyz") == "ok")
        except ApiError:
            return False

    def nodes(self) -> list[dict[str, Any]]:
        """All Node objects; none while the API server does not answer."""
        try:
            items: list[dict[str, Any]] = self.get("/api/v1/nodes")["items"]
        except ApiError:
            return []
        return items


def node_ready(node: dict[str, Any]) -> bool:
    """Whether the node's Ready condition is true."""
    conditions = node.get("status", {}).get("conditions", [])
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)
