"""Asking a Prometheus-compatible server one thing, and what it means when the answer is not one.

A proxy of the environment is never used: the server is the target's own. One that cannot be reached, for it restarts,
is asked again while ``patience_s`` lasts.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import OpenerDirector, ProxyHandler, Request, build_opener

import attrs

from perfrun_kernels.faults import ParametersError, UnmeasurableError

_LONGEST_QUOTE: Final = 300
_LONGEST_ADDRESS: Final = 2000
"""Characters of a URL that every server and proxy takes; longer questions are sent as a form."""

_PAUSE_SECONDS: Final = 1.0
_LIMITS: Final = ("too many samples", "exceeded maximum resolution", "exceeds the limit", "the limit")
"""What Prometheus, Mimir and VictoriaMetrics say where a query asks for more than they give."""


@attrs.define
class Asker:
    """Sends questions to the server at ``url``; what it warned of is in ``warnings``, each sentence once."""

    url: str
    timeout_s: float
    patience_s: float = 0.0
    clock: Callable[[], float] = time.monotonic
    pause: Callable[[float], None] = time.sleep
    warnings: list[str] = attrs.field(factory=list, init=False)
    _opener: OpenerDirector = attrs.field(factory=lambda: build_opener(ProxyHandler({})), init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Refuse what is no address of a server, with ParametersError."""
        if urlsplit(self.url).scheme not in {"http", "https"}:
            msg = f"the Prometheus URL is {self.url!r}; expected one that begins with http:// or https://"
            raise ParametersError(msg)
        self.url = self.url.rstrip("/")

    def data(self, path: str, parameters: Mapping[str, str] | None = None) -> Any:
        """Return the ``data`` of the answer to ``parameters`` at ``path``, which begins with a slash.

        Raises:
            UnmeasurableError: there is no such answer; MetricsUnavailable, MetricsTimeout, MetricsLimited,
                MetricsMalformed or BadQuery say why.
        """
        return self._patiently(lambda: self._data(path, parameters or {}))

    def text(self, path: str) -> str:
        """Return what is at ``path`` as it is; raises what ``data`` raises."""
        return bytes(self._patiently(lambda: self._fetch(path, {}))).decode(errors="replace")

    def _patiently(self, ask: Callable[[], Any]) -> Any:
        deadline = self.clock() + self.patience_s
        pause = _PAUSE_SECONDS
        while True:
            try:
                return ask()
            except UnmeasurableError as error:
                if error.reason != "MetricsUnavailable" or self.clock() + pause > deadline:
                    raise
            self.pause(pause)
            pause = min(2 * pause, 10 * _PAUSE_SECONDS)

    def _data(self, path: str, parameters: Mapping[str, str]) -> Any:
        content = self._fetch(path, parameters)
        try:
            body = json.loads(content)
        except ValueError:
            body = None
        if not isinstance(body, dict) or body.get("status") != "success" or "data" not in body:
            raise _malformed(self.url, f"expected JSON with status success, found {_quote(content)}")
        for warning in body.get("warnings") or ():
            if str(warning) not in self.warnings:
                self.warnings.append(str(warning))
        return body["data"]

    def _fetch(self, path: str, parameters: Mapping[str, str]) -> bytes:
        form = urlencode(parameters)
        address = f"{self.url}{path}"
        if len(address) + len(form) < _LONGEST_ADDRESS:
            request = Request(f"{address}?{form}" if form else address)  # noqa: S310 -- http or https, see above
        else:
            request = Request(address, data=form.encode())  # noqa: S310 -- http or https, see above
        try:
            # The server is to say by itself that it took too long; this limit is for one that says nothing.
            with self._opener.open(request, timeout=self.timeout_s + 1) as answer:
                return bytes(answer.read())
        except HTTPError as error:
            with error:
                raise refusal(self.url, error.code, _content_type(error), error.read()) from error
        except TimeoutError as error:
            raise self._timed_out() from error
        except (URLError, OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            if isinstance(reason, TimeoutError):
                raise self._timed_out() from error
            msg = f"Prometheus at {self.url} could not be reached: {_quote(str(reason) or type(reason).__name__)}"
            raise UnmeasurableError("MetricsUnavailable", msg) from error

    def _timed_out(self) -> UnmeasurableError:
        msg = (
            f"Prometheus at {self.url} did not answer within {self.timeout_s:g} s: "
            "raise prometheus.timeout in the target, or ask for less"
        )
        return UnmeasurableError("MetricsTimeout", msg)


def refusal(url: str, status: int, content_type: str, content: bytes) -> UnmeasurableError:
    """Return what an answer with an HTTP ``status`` that is not success means."""
    try:
        body = json.loads(content)
    except ValueError:
        body = None
    if not isinstance(body, dict) or body.get("status") != "error":
        return _strange(url, status, content_type, content)
    kind, said = str(body.get("errorType", "error")), str(body.get("error", ""))
    told = f"Prometheus at {url} refused the query ({kind}): {_quote(said)}"
    if kind in {"timeout", "canceled"}:
        return UnmeasurableError("MetricsTimeout", f"{told}: raise prometheus.timeout in the target")
    if status == http.HTTPStatus.TOO_MANY_REQUESTS or any(word in said for word in _LIMITS):
        return UnmeasurableError("MetricsLimited", f"{told}: raise the server's limits, or ask for less")
    if kind in {"bad_data", "execution"}:
        return UnmeasurableError("BadQuery", f"{told}: correct the query in the target")
    return UnmeasurableError("MetricsUnavailable", told)


def _strange(url: str, status: int, content_type: str, content: bytes) -> UnmeasurableError:
    if status in {http.HTTPStatus.TOO_MANY_REQUESTS, http.HTTPStatus.SERVICE_UNAVAILABLE}:
        msg = f"Prometheus at {url} takes no query now (status {status}): {_quote(content)}"
        return UnmeasurableError(
            "MetricsLimited" if status == http.HTTPStatus.TOO_MANY_REQUESTS else "MetricsUnavailable", msg
        )
    if status >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
        msg = f"Prometheus at {url} answers with status {status}: {_quote(content)}"
        return UnmeasurableError("MetricsUnavailable", msg)
    return _malformed(url, f"expected JSON, found status {status} with {content_type or 'no content type'}")


def _malformed(url: str, found: str) -> UnmeasurableError:
    msg = f"{url} does not answer as Prometheus does: {found}; correct the target's prometheus.url"
    return UnmeasurableError("MetricsMalformed", msg)


def _content_type(error: HTTPError) -> str:
    return str(error.headers.get("Content-Type", "")) if error.headers else ""


def _quote(said: str | bytes) -> str:
    text = said.decode(errors="replace") if isinstance(said, bytes) else said
    return text.strip()[:_LONGEST_QUOTE]
