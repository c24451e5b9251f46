"""Series as the server's API gives them, as arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_NAME: Final = "__name__"


@attrs.frozen(eq=False)
class RawSeries:
    """Samples of one series: ``times`` in seconds since the epoch and ``values``, both in the server's order.

    A value may be NaN or infinite where that is what was recorded. Stale markers are never among them: the API leaves
    them out. A native histogram's value is its count.
    """

    labels: Mapping[str, str]
    times: Floats
    values: Floats

    @property
    def name(self) -> str:
        """The metric's name, empty where the query dropped it."""
        return self.labels.get(_NAME, "")

    def selector(self) -> str:
        """Return the selector of exactly this series, as PromQL writes it."""
        pairs = ",".join(f'{name}="{_escaped(value)}"' for name, value in sorted(self.labels.items()) if name != _NAME)
        return f"{self.name}{{{pairs}}}" if pairs or not self.name else self.name

    def within(self, start: float, end: float) -> RawSeries:
        """Return what lies after ``start`` and not after ``end``."""
        kept = (self.times > start) & (self.times <= end)
        return self if kept.all() else RawSeries(self.labels, self.times[kept], self.values[kept])


def parse(data: Any) -> list[RawSeries]:
    """Read the data of a query's answer: matrix, vector or scalar.

    Raises:
        KeyError, TypeError, ValueError: it is none of them.
    """
    kind, result = data["resultType"], data["result"]
    if kind == "scalar":
        return [_of({}, [result])]
    if kind == "vector":
        return [
            _of(each["metric"], [each["value"]] if "value" in each else _counts([each["histogram"]])) for each in result
        ]
    if kind == "matrix":
        return [_of(each["metric"], _pairs(each)) for each in result]
    msg = f"expected a matrix, a vector or a scalar, found {kind}"
    raise ValueError(msg)


def join(parts: Iterable[list[RawSeries]]) -> list[RawSeries]:
    """Put chunks of the same series together, in the order of the chunks."""
    found: dict[tuple[tuple[str, str], ...], list[RawSeries]] = {}
    for part in parts:
        for each in part:
            found.setdefault(tuple(sorted(each.labels.items())), []).append(each)
    return [some[0] if len(some) == 1 else _joined(some) for some in found.values()]


def _joined(some: list[RawSeries]) -> RawSeries:
    times, values = (np.concatenate([getattr(each, name) for each in some]) for name in ("times", "values"))
    return RawSeries(some[0].labels, times, values)


def _of(labels: Mapping[str, str], pairs: list[Any]) -> RawSeries:
    times = np.array([pair[0] for pair in pairs], dtype=np.float64)
    values = np.array([float(pair[1]) for pair in pairs], dtype=np.float64)
    return RawSeries(dict(labels), times, values)


def _pairs(series: Mapping[str, Any]) -> list[Any]:
    pairs = [*series.get("values", ()), *_counts(series.get("histograms", ()))]
    return sorted(pairs, key=lambda pair: pair[0]) if "histograms" in series else pairs


def _counts(pairs: Iterable[Any]) -> list[Any]:
    return [[moment, histogram["count"]] for moment, histogram in pairs]


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
