"""Reading what is asked for onto one grid of moments; what a server does not have is said, and stops nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

import numpy as np

from perfrun_kernels.bottlenecks.values import Curve, Missing, Numbers, Observed, Readings, Resource, Wanted
from perfrun_kernels.faults import UnmeasurableError
from perfrun_kernels.prometheus import RawSeries

MOST_RATIO: Final = 2.0
"""Use above this is no ratio: a rate may come out a little above 1, a percentage far above it."""

_INSTANCES: Final = ("node", "kubernetes_node", "nodename", "Hostname", "instance", "pod", "device", "gpu")
"""Labels that tell instances of a resource apart, in the order in which their values are said."""

_WINDOW: Final = "$window"


class Reads(Protocol):
    """The part of a Prometheus server that is used here."""

    def range(self, query: str, start: float, end: float, step: float) -> list[RawSeries]:
        """Evaluate at all multiples of ``step`` from ``start`` to ``end``."""


def read(server: Reads, wanted: Wanted, start: float, end: float, step: float) -> Observed:
    """Read everything; a query that fails leaves its reason where its values would be."""
    grid = np.arange(np.ceil(round(start / step, 6)), np.floor(round(end / step, 6)) + 1) * step
    ask = _asking(server, grid, step)
    throughput = _one(ask, wanted.throughput, "throughput")
    if wanted.concurrency:
        concurrency = _one(ask, wanted.concurrency, "concurrency")
    else:
        concurrency = _product(throughput, _one(ask, wanted.latency, "latency"))
    resources = tuple(_resource(ask, name, each) for name, each in wanted.resources.items())
    return Observed(grid, throughput, concurrency, resources)


_Ask = Callable[[str, str], dict[str, Numbers] | Missing]


def _asking(server: Reads, grid: Numbers, step: float) -> _Ask:
    def ask(query: str, what: str) -> dict[str, Numbers] | Missing:
        if not query:
            return Missing("NoQuery", f"the target has no query for {what}")
        try:
            found = server.range(query.replace(_WINDOW, f"{step:.0f}s"), float(grid[0]), float(grid[-1]), step)
        except UnmeasurableError as error:
            return Missing(error.reason, f"{what}: {error}")
        values: dict[str, Numbers] = {}
        for each in found:
            name, on_grid = _instance(each.labels), _on(each, grid, step)
            # Two series of one instance, such as two of its disks: the larger one counts.
            values[name] = np.fmax(values[name], on_grid) if name in values else on_grid
        good = {name: each for name, each in sorted(values.items()) if np.isfinite(each).any()}
        return good or Missing("NoSuchMetric", f"{what}: the server has no series that answers its query")

    return ask


def _on(series: RawSeries, grid: Numbers, step: float) -> Numbers:
    values = np.full(grid.size, np.nan)
    places = np.rint((series.times - grid[0]) / step).astype(int)
    kept = (places >= 0) & (places < grid.size) & np.isfinite(series.values)
    values[places[kept]] = series.values[kept]
    return values


def _instance(labels: Mapping[str, str]) -> str:
    found: Sequence[str] = [labels[name] for name in _INSTANCES if labels.get(name)]
    return "/".join(dict.fromkeys(found))


def _one(ask: _Ask, query: str, what: str) -> Numbers | Missing:
    found = ask(query, what)
    if isinstance(found, Missing):
        return found
    if len(found) > 1:
        return Missing("TooManySeries", f"{what}: expected one series, found {len(found)}; aggregate them with sum()")
    (values,) = found.values()
    if np.nanmin(values) < 0:
        return Missing("NegativeRate", f"{what}: found values below 0, as low as {np.nanmin(values):.3g}")
    return values


def _product(throughput: Numbers | Missing, latency: Numbers | Missing) -> Numbers | Missing:
    """Return requests in flight: throughput times the time that each takes (Little 1961)."""
    if isinstance(throughput, Missing):
        return throughput
    return latency if isinstance(latency, Missing) else throughput * latency


def _resource(ask: _Ask, name: str, resource: Resource) -> Readings:
    use = ask(resource.utilization, f"use of {name}")
    if not isinstance(use, Missing):
        use = _ratios(use, name)
    if isinstance(use, Missing):
        return Readings(name, (), {}, {}, missing=use)
    curves = tuple(Curve(instance, values) for instance, values in use.items())
    waiting = ask(resource.saturation, f"saturation of {name}") if resource.saturation else {}
    errors = ask(resource.errors, f"errors of {name}") if resource.errors else {}
    partly = tuple(each for each in (waiting, errors) if isinstance(each, Missing))
    return Readings(name, curves, _by(use, waiting), _by(use, errors), partly=partly)


def _ratios(use: dict[str, Numbers], name: str) -> dict[str, Numbers] | Missing:
    low = min(float(np.nanmin(each)) for each in use.values())
    high = max(float(np.nanmax(each)) for each in use.values())
    if low < 0 or high > MOST_RATIO:
        sentence = (
            f"use of {name} is between {low:.3g} and {high:.3g}; expected a ratio, 0 to 1: "
            "divide it by what there is, and percent by 100"
        )
        return Missing("NoRatio", sentence)
    return use


def _by(use: Mapping[str, Numbers], found: Mapping[str, Numbers] | Missing) -> dict[str, Numbers]:
    """Return what was found for each instance; where it names none of them, the worst is said of all."""
    if isinstance(found, Missing) or not found:
        return {}
    worst = np.fmax.reduce(list(found.values()))
    named = bool(set(use) & set(found))
    return {each: found[each] if named else worst for each in use if not named or each in found}
