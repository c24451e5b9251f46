"""A Prometheus-compatible server behind ``ports.Metrics``, through ``prometheus-api-client``.

The library asks and parses. It blocks, so each query runs in a thread; and it keeps neither the server's warnings
nor the kind of a failure, so a session of our own lets us see each answer. A query that failed is an answer too:
what went wrong becomes a sentence that ends in somebody's status.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import attrs

from perfrun.api.durations import seconds
from perfrun.api.run import TimeWindow
from perfrun.api.target import Prometheus
from perfrun.capabilities.base import QueryAnswer

if TYPE_CHECKING:
    import requests
    from prometheus_api_client import PrometheusConnect

_LONGEST_QUOTE: Final = 300


@attrs.define
class _Heard:
    """The answer as the server gave it, before the library reduces it."""

    status: int = 0
    content_type: str = ""
    body: Any = None
    text: str = ""


class PrometheusMetrics:
    """Implements ports.Metrics."""

    async def instant(self, server: Prometheus, query: str, window: TimeWindow) -> QueryAnswer:
        """Evaluate at the window's end."""

        def ask(client: PrometheusConnect, limits: Mapping[str, str]) -> Any:
            return client.custom_query(query, params={"time": window.end.timestamp(), **limits})

        return await asyncio.to_thread(_ask, server, query, window, "", ask)

    async def range(self, server: Prometheus, query: str, window: TimeWindow) -> QueryAnswer:
        """Evaluate over the window at the server's step."""
        step = seconds(server.step)

        def ask(client: PrometheusConnect, limits: Mapping[str, str]) -> Any:
            # The library rounds both ends to whole seconds; the parameters given last are the exact ones.
            exact = {"start": window.start.timestamp(), "end": window.end.timestamp(), **limits}
            return client.custom_query_range(query, window.start, window.end, f"{step:g}", params=exact)

        return await asyncio.to_thread(_ask, server, query, window, server.step, ask)


def _ask(server: Prometheus, query: str, window: TimeWindow, step: str, ask: Any) -> QueryAnswer:
    # Loaded here, for an operator whose targets name no Prometheus never needs them.
    import requests  # noqa: PLC0415
    from prometheus_api_client import PrometheusConnect  # noqa: PLC0415
    from prometheus_api_client.exceptions import PrometheusApiClientException  # noqa: PLC0415
    from urllib3.util import Retry  # noqa: PLC0415

    heard = _Heard()
    timeout = seconds(server.timeout)
    limits = {"timeout": f"{timeout:g}s"}

    def answer(error: str = "", series: Mapping[str, tuple[tuple[float, float], ...]] | None = None) -> QueryAnswer:
        warnings = heard.body.get("warnings") or () if isinstance(heard.body, dict) else ()
        return QueryAnswer(
            query=query, window=window, step=step, series=series or {}, error=error,
            warnings=tuple(str(each) for each in warnings), url=server.url,
        )  # fmt: skip

    with requests.Session() as session:
        session.hooks["response"].append(lambda response, **_: _listen(response, heard))
        session.trust_env = False
        # The run looks again by itself; a retry in here would only hold the thread.
        client = PrometheusConnect(server.url.rstrip("/"), session=session, retry=Retry(0, read=False), timeout=timeout)
        try:
            return answer(series=_series(ask(client, limits)))
        except requests.Timeout:
            return answer(f"Prometheus at {server.url} did not answer within {server.timeout}")
        except requests.ConnectionError as error:
            return answer(f"Prometheus at {server.url} could not be reached: {_cause(error)}")
        except (PrometheusApiClientException, requests.RequestException, ValueError, KeyError, TypeError) as error:
            return answer(_refusal(server.url, heard, error))


def _listen(response: requests.Response, heard: _Heard) -> None:
    heard.status = response.status_code
    heard.content_type = response.headers.get("Content-Type", "")
    heard.text = response.text[:_LONGEST_QUOTE]
    try:
        heard.body = response.json()
    except ValueError:
        heard.body = None


def _refusal(url: str, heard: _Heard, error: Exception) -> str:
    if isinstance(heard.body, dict) and heard.body.get("status") == "error":
        kind = heard.body.get("errorType", "error")
        return f"Prometheus at {url} refused the query ({kind}): {str(heard.body.get('error'))[:_LONGEST_QUOTE]}"
    if heard.body is None and heard.status:
        found = heard.content_type or "no content type"
        return (
            f"{url} does not answer as Prometheus does: expected JSON, found status {heard.status} with {found}; "
            f"correct the target's prometheus.url"
        )
    return f"Prometheus at {url} gave no usable answer (status {heard.status}): {str(error)[:_LONGEST_QUOTE]}"


def _cause(error: BaseException) -> str:
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return str(reason or error)[:_LONGEST_QUOTE]


def _series(found: Any) -> dict[str, tuple[tuple[float, float], ...]]:
    if not isinstance(found, list):
        msg = f"expected a list of series, found {type(found).__name__}"
        raise TypeError(msg)
    if found and not isinstance(found[0], dict):
        # A scalar comes as one bare pair.
        return {"{}": _points([found])}
    return {_labels(each["metric"]): _points(each.get("values") or [each["value"]]) for each in found}


def _points(pairs: list[Any]) -> tuple[tuple[float, float], ...]:
    points = ((float(moment), float(value)) for moment, value in pairs)
    # NaN is how Prometheus spells 0/0 and a stale series: no data, not a number.
    return tuple((moment, value) for moment, value in points if not math.isnan(value))


def _labels(metric: Mapping[str, str]) -> str:
    pairs = (f'{name}="{_escaped(value)}"' for name, value in sorted(metric.items()))
    return "{" + ", ".join(pairs) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
