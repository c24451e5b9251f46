"""Reading a Prometheus-compatible server without ever asking for more than it gives in one answer."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final

import attrs

from perfrun_kernels.faults import UnmeasurableError
from perfrun_kernels.prometheus.asking import Asker
from perfrun_kernels.prometheus.series import RawSeries, join, parse

MOST_POINTS: Final = 10_000
"""Points of one series in one answer; Prometheus refuses more than 11 000."""

_FIRST_CHUNK_SECONDS: Final = 3600.0
_SAMPLES: Final = 500_000
"""Samples that one answer should hold: some 15 MB of JSON, a hundredth of what Prometheus loads for one query."""

_LEAST_CHUNK_SECONDS: Final = 1.0
_MILLISECOND: Final = 0.001


@attrs.frozen
class Server:
    """The server at ``url``; each question may take ``timeout_s``.

    A server that cannot be reached is asked again for ``patience_s``. All methods raise
    UnmeasurableError with the reason MetricsUnavailable, MetricsTimeout, MetricsLimited, MetricsMalformed or BadQuery;
    an address that is none is refused with ParametersError. Times are seconds since the epoch.
    """

    url: str
    timeout_s: float = 30.0
    patience_s: float = 0.0
    _asker: Asker = attrs.field(init=False, repr=False)

    @_asker.default
    def _(self) -> Asker:
        return Asker(self.url, self.timeout_s, self.patience_s)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the server has warned of so far, each sentence once: a part of the data may be missing."""
        return tuple(self._asker.warnings)

    def instant(self, query: str, at: float | None = None) -> list[RawSeries]:
        """Evaluate at one moment, the server's own present where none is given; series of one sample each."""
        moment = {} if at is None else {"time": _moment(at)}
        return self._query("/api/v1/query", {"query": query, **moment})

    def now(self) -> float:
        """Return the server's own time."""
        return float(self.instant("time()")[0].values[0])

    def range(self, query: str, start: float, end: float, step: float) -> list[RawSeries]:
        """Evaluate at all multiples of ``step`` from ``start`` to ``end``, both included."""
        return join(
            self._query(
                "/api/v1/query_range",
                {"query": query, "start": _moment(first), "end": _moment(last), "step": _moment(step)},
            )
            for first, last in grid(start, end, step)
        )

    def raw(self, selector: str, start: float, end: float) -> list[RawSeries]:
        """Return the samples as they were recorded, after ``start`` and not after ``end``.

        The length of a chunk follows from how much the one before it held; a server with tighter limits than that
        gets shorter ones.
        """
        parts: list[list[RawSeries]] = []
        length, done = _FIRST_CHUNK_SECONDS, start
        while done < end - _MILLISECOND / 2:
            until = min(end, done + length)
            try:
                part = self._raw(selector, done, until)
            except UnmeasurableError as error:
                if error.reason != "MetricsLimited" or length / 2 < _LEAST_CHUNK_SECONDS:
                    raise
                length = (until - done) / 2
                continue
            held = sum(each.times.size for each in part)
            length = (until - done) * min(48.0, _SAMPLES / held) if held else end - start
            parts.append(part)
            done = until
        return join(parts)

    def flags(self) -> dict[str, str]:
        """Return the flags that the server was started with."""
        return {str(name): str(value) for name, value in self._object("/api/v1/status/flags").items()}

    def config(self) -> str:
        """Return the configuration that is loaded, as YAML."""
        return str(self._object("/api/v1/status/config").get("yaml", ""))

    def runtime(self) -> dict[str, Any]:
        """Return what the server says of its present run, such as storageRetention."""
        return self._object("/api/v1/status/runtimeinfo")

    def build(self) -> dict[str, Any]:
        """Return how the server was built, such as version."""
        return self._object("/api/v1/status/buildinfo")

    def tsdb(self) -> dict[str, Any]:
        """Return what the server says of its database's head."""
        return self._object("/api/v1/status/tsdb")

    def targets(self) -> list[dict[str, Any]]:
        """Return the active targets, each with labels and health."""
        found = self._object("/api/v1/targets?state=active").get("activeTargets", [])
        return [each for each in found if isinstance(each, dict)]

    def kinds(self, metric: str) -> set[str]:
        """Return what the exporters say the metric is: counter, gauge or others."""
        told = self._asker.data("/api/v1/metadata", {"metric": metric})
        entries = told.get(metric, []) if isinstance(told, dict) else []
        return {str(each.get("type", "")) for each in entries}

    def own_metrics(self) -> str:
        """Return what the server exposes of itself at /metrics, in the text format."""
        return self._asker.text("/metrics")

    def _raw(self, selector: str, start: float, end: float) -> list[RawSeries]:
        # Prometheus 2 takes a sample at the range's very start, Prometheus 3 does not.
        milliseconds = round((end - start) / _MILLISECOND)
        found = self._query("/api/v1/query", {"query": f"{selector}[{milliseconds}ms]", "time": _moment(end)})
        kept = (each.within(start, end) for each in found)
        return [each for each in kept if each.times.size]

    def _query(self, path: str, parameters: dict[str, str]) -> list[RawSeries]:
        data = self._asker.data(path, {**parameters, "timeout": f"{self.timeout_s:g}s"})
        try:
            return parse(data)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise self._malformed(str(error)) from error

    def _object(self, path: str) -> dict[str, Any]:
        data = self._asker.data(path)
        if not isinstance(data, dict):
            raise self._malformed(f"expected an object, found {type(data).__name__}")
        return data

    def _malformed(self, found: str) -> UnmeasurableError:
        msg = f"{self.url} does not answer as Prometheus does: {found}; correct the target's prometheus.url"
        return UnmeasurableError("MetricsMalformed", msg)


def grid(start: float, end: float, step: float) -> Iterator[tuple[float, float]]:
    """Yield first and last moment of each chunk of at most MOST_POINTS multiples of ``step`` in [start, end]."""
    first, last = math.ceil(round(start / step, 6)), math.floor(round(end / step, 6))
    for index in range(first, last + 1, MOST_POINTS):
        yield index * step, min(last, index + MOST_POINTS - 1) * step


def _moment(seconds: float) -> str:
    return f"{seconds:.3f}"
