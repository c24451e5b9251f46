"""What the forecast program can be asked, checked before anything is read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import attrs

from perfrun_kernels.arguments import Arguments
from perfrun_kernels.bottlenecks import main as bottlenecks

STEPS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800)
"""Times between two points of a history, in seconds."""

MOST_AHEAD: Final = 24
"""Steps of a forecast: an hour is foretold in twelve of 5 minutes, 6 hours and a day in 24."""

_DAY: Final = 86_400.0
_LONGEST_HORIZON: Final = MOST_AHEAD * STEPS[-1]
_LONGEST_LOOKBACK: Final = 400 * _DAY


@attrs.frozen
class Metric:
    """One history that is to be foretold for the next ``horizon_s`` seconds; ``key`` names it in the result.

    Where ``query`` has no value at present, the first one of ``otherwise`` that has is taken in its place.
    """

    key: str
    name: str
    query: str
    unit: str
    horizon_s: float
    otherwise: tuple[str, ...] = ()

    @property
    def step_s(self) -> float:
        """Seconds between two points: the least with which the horizon has at most MOST_AHEAD steps."""
        return float(next(step for step in STEPS if self.horizon_s <= MOST_AHEAD * step))

    @property
    def ahead(self) -> int:
        """Steps of a forecast."""
        return math.ceil(self.horizon_s / self.step_s)


@attrs.frozen
class Wanted:
    """What is to be foretold, from how much history, and how it is scored."""

    url: str
    timeout_s: float
    metrics: tuple[Metric, ...]
    lookback_s: float
    windows: int
    confidence: float
    deployments: str
    resources: bottlenecks.Wanted


def parse(data: Mapping[str, Any]) -> Wanted:
    """Read the program's parameters.

    ``prometheus``: {``url``, ``timeout_s``}; ``metrics``: a list of {``key``, ``name``, ``query``, ``unit``,
    ``horizon_s``, ``otherwise``: queries}; ``lookback_s``; ``windows``: of the backtest; ``confidence``: of each bound;
    ``deployments``: PromQL whose changes are deployments; and what bottlenecks.read reads.

    Raises:
        ParametersError: something is missing, unknown or out of bounds; the message names all of it.
    """
    arguments = Arguments(data)
    server = arguments.child("prometheus")
    url = server.text("url") or ""
    if not url.startswith(("http://", "https://")):
        server.complain("url", url, "an address that begins with http:// or https://")
    timeout_s = server.number("timeout_s", 30.0, above=0)
    metrics = tuple(_metric(each) for each in arguments.items("metrics"))
    if not metrics:
        arguments.complain("metrics", [], "at least one {key, name, query, unit, horizon_s}")
    if len({each.key for each in metrics}) < len(metrics):
        arguments.complain("metrics", [each.key for each in metrics], "a key of its own for each")
    wanted = Wanted(
        url, timeout_s, metrics,
        lookback_s=arguments.number("lookback_s", 35 * _DAY, above=0, most=_LONGEST_LOOKBACK),
        windows=arguments.integer("windows", 20, least=5, most=200),
        confidence=arguments.number("confidence", 0.99, least=0.5, below=1),
        deployments=arguments.text("deployments") or "",
        resources=bottlenecks.read(arguments),
    )  # fmt: skip
    arguments.finish()
    return wanted


def _metric(given: Arguments) -> Metric:
    key = given.text("key") or ""
    if not key.replace("_", "").isalnum():
        given.complain("key", key, "letters, digits and underscores")
    query = given.text("query") or ""
    if not query.strip():
        given.complain("query", query, "PromQL that gives one series")
    return Metric(
        key, given.text("name") or key, query.strip(), given.text("unit") or "",
        given.number("horizon_s", least=MOST_AHEAD / 2, most=_LONGEST_HORIZON), given.texts("otherwise"),
    )  # fmt: skip
