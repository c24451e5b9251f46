"""How a forecast did: its points against the values that came to be."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import attrs


@attrs.frozen
class Foretold:
    """One point: when (unix seconds), what was expected, between which bounds, and what seasonal naive expected."""

    at: float
    mean: float
    lower: float
    upper: float
    naive: float | None = None


@attrs.frozen
class Score:
    """Sums over the points whose value is known, so that several forecasts can be told of together.

    ``error`` is the sum of absolute errors and ``actual`` that of absolute values, both in the values' unit; ``naive``
    is the sum of seasonal naive's absolute errors, None where not every point tells.
    """

    points: int
    covered: int
    error: float
    actual: float
    naive: float | None = None

    @property
    def wape(self) -> float | None:
        """Return the weighted absolute percentage error (sum |y - y'| / sum |y|), or None where all values are 0."""
        return percent(self.error, self.actual)

    @property
    def naive_wape(self) -> float | None:
        """Return seasonal naive's, or None where it is not known."""
        return None if self.naive is None else percent(self.naive, self.actual)

    @property
    def coverage(self) -> float:
        """Return the percentage of points within their bounds; raises ZeroDivisionError where there is no point."""
        return 100 * self.covered / self.points


def percent(part: float, whole: float) -> float | None:
    """Return a part of a whole in percent, or None where the whole is nothing."""
    return 100 * part / whole if whole > 0 else None


def score(foretold: Sequence[Foretold], actual: Mapping[float, float]) -> Score:
    """Compare a forecast with what happened, by unix seconds; what is no finite number is not known."""
    known = [(each, actual[each.at]) for each in foretold if math.isfinite(actual.get(each.at, math.nan))]
    naive = [abs(value - each.naive) for each, value in known if each.naive is not None]
    return Score(
        points=len(known),
        covered=sum(each.lower <= value <= each.upper for each, value in known),
        error=math.fsum(abs(value - each.mean) for each, value in known),
        actual=math.fsum(abs(value) for _, value in known),
        naive=math.fsum(naive) if known and len(naive) == len(known) else None,
    )


def apart(spans: Sequence[tuple[float, float]]) -> int:
    """Return how many of the spans (from, to) can be taken so that no two overlap.

    Taking the one that ends first, again and again, gives the most (interval scheduling).
    """
    count, free = 0, -math.inf
    for begin, end in sorted(spans, key=lambda span: span[1]):
        if begin >= free:
            count, free = count + 1, end
    return count
