"""From the text of a server's metrics to figures, and from two readings to what happened between them.

The text is Prometheus' own format, read by its own client. Series of other models at the same server are left out
where the series say whose they are.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, Final

import attrs
from prometheus_client.parser import text_string_to_metric_families

from perfrun_kernels.servers.tables import KINDS, SERVERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from prometheus_client.samples import Sample

    from perfrun_kernels.servers.tables import Name

MODEL_LABELS: Final = ("model_name", "model")


class MetricsError(Exception):
    """A server's metrics cannot be read, or say nothing; the message is a sentence."""


@attrs.frozen
class Times:
    """A histogram of seconds: their sum, their count, and how many were at most each bound."""

    total: float
    count: float
    at_most: Mapping[float, float]

    def since(self, before: Times) -> Times:
        """Return what was added since ``before``."""
        added = {bound: count - before.at_most.get(bound, 0.0) for bound, count in self.at_most.items()}
        return Times(self.total - before.total, self.count - before.count, added)

    def bound(self, quantile: float) -> float:
        """Return the least bound below which that share of all lies, infinite where no finite one is known."""
        bounds = sorted(self.at_most)
        return next((each for each in bounds if self.at_most[each] >= quantile * self.count), math.inf)


@attrs.frozen
class Reading:
    """What a server showed at one moment: numbers and histograms by the name of their figure."""

    numbers: Mapping[str, float]
    times: Mapping[str, Times]


def read(text: str, server: str, model: str) -> Reading:
    """Return the figures of ``server`` (a key of SERVERS) in ``text``; of several models there, those of ``model``.

    Raises:
        MetricsError: the text is malformed, or shows none of the server's figures.
    """
    try:
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    except ValueError as error:
        raise MetricsError(f"its metrics are malformed: {str(error)[:200]}") from error
    series = defaultdict[str, list["Sample"]](list)
    for sample in samples:
        series[sample.name].append(sample)
    numbers, times = dict[str, float](), dict[str, Times]()
    known = SERVERS[server]
    for figure, names in known.figures.items():
        for name in names:
            if KINDS[figure] == "times":
                found = _times(name, series, model)
                if found is not None:
                    times[figure] = found
                    break
            elif values := [each.value * name.scale for each in _of(_named(series, name.name), name, model)]:
                numbers[figure] = max(values) if KINDS[figure] == "share" else math.fsum(values)
                break
    if not numbers and not times:
        hint = f": start it with {known.switch}" if known.switch else ""
        raise MetricsError(f"it shows no metric that {known.title} is known to have{hint}")
    return Reading(numbers, times)


def between(before: Reading, after: Reading) -> Reading:
    """Return what was counted between two readings: counters and histograms only.

    Raises:
        MetricsError: something that only grows has shrunk, so the server started anew meanwhile.
    """
    counters = [name for name in after.numbers if KINDS[name] == "counter"]
    numbers = {name: after.numbers[name] - before.numbers.get(name, 0.0) for name in counters}
    # A histogram or a counter may appear with its first event: what was not there before was nothing.
    nothing = Times(0.0, 0.0, {})
    times = {name: each.since(before.times.get(name, nothing)) for name, each in after.times.items()}
    shrunk = sorted([*(name for name, each in numbers.items() if each < 0),
                     *(name for name, each in times.items() if each.count < 0)])  # fmt: skip
    if shrunk:
        raise MetricsError(f"the server started anew meanwhile: its {shrunk[0].replace('_', ' ')} became fewer")
    return Reading(numbers, times)


def most(readings: Sequence[Reading]) -> dict[str, float]:
    """Return the greatest value of each figure that goes up and down, by its name."""
    levels = [name for name, kind in KINDS.items() if kind in ("level", "share")]
    return {
        name: max(values)
        for name in levels
        if (values := [each.numbers[name] for each in readings if name in each.numbers])
    }


def _named(series: Mapping[str, Sequence[Sample]], name: str) -> Sequence[Sample]:
    """Return the series of a name; the parser gives each counter the ending that OpenMetrics wants."""
    return series.get(name) or series.get(f"{name}_total", ())


def _of(samples: Iterable[Sample], name: Name, model: str) -> list[Sample]:
    """Return the series with the name's labels; of several models, those of ``model``."""
    fitting = [each for each in samples if name.labels.items() <= each.labels.items()]
    ours = [each for each in fitting if model in (each.labels.get(label) for label in MODEL_LABELS)]
    return ours or fitting


def _times(name: Name, series: Mapping[str, Sequence[Sample]], model: str) -> Times | None:
    counts = _of(series.get(f"{name.name}_count", ()), name, model)
    if not counts:
        return None
    total = math.fsum(each.value for each in _of(series.get(f"{name.name}_sum", ()), name, model))
    at_most = defaultdict[float, float](float)
    for each in _of(series.get(f"{name.name}_bucket", ()), name, model):
        at_most[float(each.labels["le"]) * name.scale] += each.value
    return Times(total * name.scale, math.fsum(each.value for each in counts), dict(at_most))
