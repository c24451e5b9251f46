"""Putting together what goes on under other labels, so that a restart is no end and an end is no restart.

A source is what one scrape brings: all series of one owner with the same job and instance. An exporter that restarts
comes back under another instance; its new source goes on in the lane of the old one. A lane covers the window or has
gaps; which of an exporter's series it shows at a time is its own affair (an error that never happened has none).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import attrs
import numpy as np

from perfrun_kernels.prometheus import RawSeries
from perfrun_kernels.prometheus.series import Floats
from perfrun_kernels.telemetry.spacing import GAP

SOURCE: Final = ("job", "instance")
REPLICAS: Final = frozenset(
    {
        "replica",
        "prometheus_replica",
        "prometheus",
        "thanos_replica",
        "receive_replica",
        "cluster_replica",
        "__replica__",
    }
)
"""Labels that tell apart copies of one Prometheus."""

SCRAPES: Final = frozenset({"instance", "job", "endpoint", "service"})
"""Labels that tell apart two scrapes of the same thing, but also two things."""

_ALIKE: Final = 0.01


@attrs.frozen(eq=False)
class Lane:
    """What one owner's source and its successors brought: ``times`` are sorted, each once."""

    owner: str
    sources: tuple[str, ...]
    times: Floats


def lanes(owner: str, series: Sequence[RawSeries], start: float, end: float, interval: float) -> list[Lane]:
    """Return the lanes of one owner's ``series`` in a window."""
    found: list[Lane] = []
    for following in sorted(_sources(owner, series), key=lambda each: float(each.times[0])):
        late = following.times[0] - start > GAP * interval
        ended = [
            each for each in found if end - each.times[-1] > GAP * interval and each.times[-1] < following.times[-1]
        ]  # fmt: skip
        if not late or not ended:
            found.append(following)
            continue
        before = min(ended, key=lambda each: float(each.times[-1]))
        found.remove(before)
        found.append(Lane(owner, before.sources + following.sources, np.union1d(before.times, following.times)))
    return found


def merged(owner: str, series: Sequence[RawSeries]) -> Lane:
    """Return one lane of all series: there is a sample where any of them has one."""
    sources = _sources(owner, series)
    names = tuple(name for each in sources for name in each.sources)
    return Lane(owner, names, np.unique(np.concatenate([each.times for each in sources])))


def copies(series: Iterable[tuple[str | None, RawSeries]]) -> int:
    """Return how many of an owner's series are another's copy.

    Series that differ in nothing but the name of a replica are; so are those that differ in nothing but where they
    were scraped, while they change over time and their means agree within 1 %.
    """
    found = [(owner, each) for owner, each in series if owner is not None]
    replicas = _groups(found, REPLICAS)
    rest = [some[0] for some in replicas]
    return len(found) - len(rest) + sum(_alike([each for _, each in some]) for some in _groups(rest, SCRAPES))


def source(series: RawSeries) -> str:
    """Return what names the scrape that a series comes from."""
    return ", ".join(value for label in SOURCE if (value := series.labels.get(label)))


def _sources(owner: str, series: Sequence[RawSeries]) -> list[Lane]:
    found: dict[str, list[Floats]] = {}
    for each in series:
        found.setdefault(source(each), []).append(each.times)
    return [Lane(owner, (name,), np.unique(np.concatenate(times))) for name, times in found.items()]


def _groups(series: Iterable[tuple[str, RawSeries]], without: frozenset[str]) -> list[list[tuple[str, RawSeries]]]:
    found: dict[tuple[str, frozenset[tuple[str, str]]], list[tuple[str, RawSeries]]] = {}
    for owner, each in series:
        labels = frozenset(pair for pair in each.labels.items() if pair[0] not in without)
        found.setdefault((owner, labels), []).append((owner, each))
    return list(found.values())


def _alike(some: Sequence[RawSeries]) -> int:
    first, *others = sorted(some, key=lambda each: each.times.size, reverse=True)
    return sum(_same(first, each) for each in others)


def _same(one: RawSeries, other: RawSeries) -> bool:
    start, end = max(one.times[0], other.times[0]), min(one.times[-1], other.times[-1])
    left, right = (each.values[(each.times >= start) & (each.times <= end)] for each in (one, other))
    if min(left.size, right.size) < 2 or np.ptp(left) == 0 or np.ptp(right) == 0:  # noqa: PLR2004 -- two make a change
        return False
    return bool(abs(left.mean() - right.mean()) <= _ALIKE * abs(left.mean()))


def by_owner(series: Iterable[tuple[str, RawSeries]]) -> Mapping[str, list[RawSeries]]:
    """Return the series of each owner."""
    found: dict[str, list[RawSeries]] = {}
    for owner, each in series:
        found.setdefault(owner, []).append(each)
    return found
