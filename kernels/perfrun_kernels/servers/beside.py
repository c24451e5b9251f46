"""A server's metrics around a measurement: read before and after it, and its levels a few times while it goes on.

They stand beside what the clients saw, and never in its place. What cannot be read is said, and disturbs nothing: texts
that come while streams are timed are kept as they are and read when the timing is over.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
import urllib.request
from http import HTTPStatus
from http.client import HTTPException
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit, urlunsplit

import aiohttp

from perfrun_kernels.servers.reading import MetricsError, Reading, between, most, read
from perfrun_kernels.servers.tables import SERVERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from perfrun_kernels.program import Fact
    from perfrun_kernels.sampling.parameters import OpenAIParameters

PATIENCE_SECONDS: Final = 5.0
SETTLING_SECONDS: Final = 0.5
"""Servers count a request a moment after its client has the last token."""

MOST_LEVELS: Final = 60
QUANTILE: Final = 0.99


class Beside:
    """Reads one server around one measurement; ``headers`` go to no other host than that of its API."""

    def __init__(self, parameters: OpenAIParameters, headers: Mapping[str, str]) -> None:
        self.url = metrics_url(parameters)
        self.server, self._model = parameters.server, parameters.model_name
        same = urlsplit(self.url).netloc == urlsplit(parameters.url).netloc
        self._headers = dict(headers) if same else {}
        self._before: Reading | None = None
        self._levels: list[str] = []
        self._said = ""

    def begin(self) -> None:
        """Read what the server shows now; what it counts from here on is the measurement's."""
        self._levels.clear()
        try:
            self._before = self._now()
        except MetricsError as error:
            self._said = str(error)

    async def watch(self, every: float) -> None:
        """Keep what the server shows, every so many seconds, until this is cancelled."""
        if self._before is None:
            return
        patience = aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
        async with aiohttp.ClientSession(headers=self._headers, timeout=patience) as session:
            while len(self._levels) < MOST_LEVELS:
                await asyncio.sleep(every)
                try:
                    async with session.get(self.url) as answer:
                        if answer.status == HTTPStatus.OK:
                            self._levels.append(await answer.text(errors="replace"))
                except (aiohttp.ClientError, TimeoutError, OSError):
                    continue

    def counted(self) -> Reading | str:
        """Return what the server has counted since the beginning, or why that is not known."""
        if self._before is None:
            return self._said or "its metrics were not read before the measurement"
        time.sleep(SETTLING_SECONDS)
        try:
            return between(self._before, self._now())
        except MetricsError as error:
            return str(error)

    def facts(self, found: Reading | str) -> dict[str, Fact]:
        """Return what the server says of the time since the beginning, of which it counted ``found``."""
        about: dict[str, Fact] = {"server": self.server, "server_metrics_url": self.url}
        if isinstance(found, str):
            return about | {"server_metrics": found}
        about["server_metrics"] = "read before and after"
        about |= {f"server_{name}": _tidy(value) for name, value in found.numbers.items()}
        about |= {f"server_{name}_most": _tidy(value) for name, value in most(self._seen()).items()}
        queries, hits = (found.numbers.get(f"prefix_{name}") for name in ("queries", "hits"))
        if queries and hits is not None:
            about["server_prefix_hit_rate"] = _tidy(hits / queries)
        for name, times in found.times.items():
            if times.count:
                about[f"server_{name}_mean_seconds"] = _tidy(times.total / times.count)
                bound = times.bound(QUANTILE)
                if math.isfinite(bound):
                    about[f"server_{name}_p99_at_most_seconds"] = _tidy(bound)
        return about

    def _seen(self) -> list[Reading]:
        """Return the readings in between; one that cannot be read is one less."""
        found = []
        for text in self._levels:
            with contextlib.suppress(MetricsError):
                found.append(read(text, self.server, self._model))
        return found

    def _now(self) -> Reading:
        return read(_fetch(self.url, self._headers), self.server, self._model)


def metrics_url(parameters: OpenAIParameters) -> str:
    """Return where the server shows its metrics: as the target says, else where servers of its kind do."""
    if parameters.metrics_url:
        return parameters.metrics_url
    parts = urlsplit(parameters.url)
    port = SERVERS[parameters.server].port
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    place = parts.netloc if port is None else f"{host}:{port}"
    return urlunsplit((parts.scheme, place, f"{parts.path.removesuffix('/v1')}/metrics", "", ""))


def _fetch(url: str, headers: Mapping[str, str]) -> str:
    try:
        request = urllib.request.Request(url, headers=dict(headers))  # noqa: S310 -- a URL of the target, http(s) only
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:  # noqa: S310 -- the same
            data: bytes = answer.read()
    except (OSError, ValueError, HTTPException) as error:
        raise MetricsError(f"{url} cannot be read: {error}") from error
    return data.decode(errors="replace")


def _tidy(value: float) -> float:
    """Return a number as people read it: whole ones whole, others with six digits."""
    return int(value) if value == int(value) else float(f"{value:.6g}")
