"""What the operator tells Prometheus about kept forecasts: beside what happens stands what was foretold of it.

Kept from events in memory: of each forecast its points and how it did, which is little.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal, Protocol

import attrs
import pydantic

from perfrun.api.durations import seconds
from perfrun.api.kept import ForecastSpec, ForecastStatus, Foreseen
from perfrun.lifecycle.values import Key

log = logging.getLogger(__name__)

LABELS: Final = ("namespace", "target", "metric", "horizon")

Metric = tuple[str, ...]
"""Namespace, target, key of the metric, and how far ahead it is foretold: the values of the labels."""

Numbers = dict[tuple[str, ...], float]


@attrs.frozen
class _Known:
    metric: Metric
    spec: ForecastSpec
    status: ForecastStatus


class Forecasts:
    """Every kept forecast that exists."""

    def __init__(self) -> None:
        self._known: dict[Key, _Known] = {}

    def note(self, key: Key, stored: Mapping[str, Any]) -> bool:
        """Remember a forecast; return whether it is new, or in another state than before."""
        before = self._known.pop(key, None)
        try:
            spec = ForecastSpec.from_wire(stored.get("spec") or {})
            status = ForecastStatus.from_wire(stored.get("status") or {})
        except pydantic.ValidationError as error:
            # Its own turn says on it what is wrong with it.
            log.warning("forecast not shown", extra={"object": key.name, "error": str(error)})
            return False
        self._known[key] = _Known((key.namespace, spec.target_ref, spec.key, spec.horizon), spec, status)
        return before is None or before.status.state != status.state

    def forget(self, key: Key) -> None:
        """Forget a forecast that went."""
        self._known.pop(key, None)

    def over(self, key: Key) -> bool:
        """Whether nothing more can become of a forecast."""
        known = self._known.get(key)
        return known is not None and known.status.state != "Waiting"

    def present(self, now: dt.datetime) -> Numbers:
        """Return what the newest forecasts say of the present moment, by metric and bound."""
        found: Numbers = {}
        for known in self._newest():
            point = _at(known.spec, now)
            if point is not None:
                bounds = {"mean": point.mean, "lower": point.lower, "upper": point.upper}
                found |= {(*known.metric, bound): value for bound, value in bounds.items()}
        return found

    def horizons(self) -> Numbers:
        """Return how far ahead the newest forecasts reach, in seconds."""
        return {known.metric: seconds(known.spec.horizon) for known in self._newest()}

    def last_scored(self, what: Literal["wape", "coverage"]) -> Numbers:
        """Return how the last forecast of each metric did that was scored, as a ratio."""
        scored = [each for each in self._known.values() if each.status.scored_at is not None]
        ordered = sorted(scored, key=lambda each: (each.status.scored_at, each.spec.made_at))
        last = {each.metric: getattr(each.status, what) for each in ordered}
        return {metric: percent / 100 for metric, percent in last.items() if percent is not None}

    def _newest(self) -> Iterator[_Known]:
        ordered = sorted(self._known.values(), key=lambda each: each.spec.made_at)
        yield from {each.metric: each for each in ordered}.values()


class Gauge(Protocol):
    """Registers a gauge that is read whenever it is asked for."""

    def __call__(self, name: str, help_text: str, labels: tuple[str, ...], read: Callable[[], Numbers]) -> None:
        """Register; ``read`` gives values by label values."""


def expose(forecasts: Forecasts, gauge: Gauge, now: Callable[[], dt.datetime]) -> None:
    """Register what is told of forecasts."""
    gauge(
        "perfrun_forecast", "What the newest forecast says of the present moment, in the metric's unit",
        (*LABELS, "bound"), lambda: forecasts.present(now()),
    )  # fmt: skip
    gauge("perfrun_forecast_horizon_seconds", "How far ahead the newest forecast reaches", LABELS, forecasts.horizons)
    gauge(
        "perfrun_forecast_wape_ratio", "Weighted absolute percentage error of the last forecast that was scored",
        LABELS, lambda: forecasts.last_scored("wape"),
    )  # fmt: skip
    gauge(
        "perfrun_forecast_coverage_ratio", "Share of points within the interval of the last forecast that was scored",
        LABELS, lambda: forecasts.last_scored("coverage"),
    )  # fmt: skip


def _at(spec: ForecastSpec, now: dt.datetime) -> Foreseen | None:
    """Return what a forecast says of a moment, or None where the moment is before or after all of it."""
    step = dt.timedelta(seconds=seconds(spec.step))
    return next((each for each in spec.points if each.at - step < now <= each.at), None)
