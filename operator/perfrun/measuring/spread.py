"""How evenly servers share work: (max − min)/mean of what each of them did, and how much of that is chance.

Even perfect sharing leaves a difference, for arrivals are random and, where a connection carries many requests, come
in clusters. Bounds follow from two facts about k servers whose counts deviate by so much of their mean: the
observed difference is at least that between the two servers that truly differ most, and at most the true one plus
the range of k normal variables.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import attrs

from perfrun.measuring.distributions import normal_quantile, student_quantile

_STEP: Final = 0.02
_REACH: Final = 8.0
_HALVINGS: Final = 60
_WIDEST: Final = 40.0
_FEWEST: Final = 2
_CERTAIN: Final = 2.0
"""Deviations of Pearson's statistic by which longer batches must show more clustering than shorter ones."""

_LARGE: Final = 200.0
"""Degrees of freedom from which Student's t is taken for normal."""


@attrs.frozen
class Spread:
    """(max − min)/mean of ``answers`` by server with its one-sided bounds; all three are shares (0.1 for 10 %).

    ``least`` and ``most`` name the servers that did least and most. ``clustering`` is how many answers are worth one
    that comes on its own.
    """

    value: float
    lower: float
    upper: float
    least: str
    most: str
    answers: int
    clustering: float


def spread(served: Mapping[str, int], servers: Sequence[str] = ()) -> float | None:
    """Return (max − min)/mean of answers by server, or None where nothing was served.

    ``servers`` names those that must take part: one that served nothing counts as 0.
    """
    counts = [served.get(name, 0) for name in (set(served) | set(servers))]
    total = sum(counts)
    return (max(counts) - min(counts)) / (total / len(counts)) if total else None


def bounded_spread(batches: Sequence[Mapping[str, int]], servers: Sequence[str], confidence: float) -> Spread | None:
    """Return the spread of all batches together with its bounds, or None where nothing was served.

    ``batches`` are answers by server in equally long stretches one after the other: how much they differ among
    themselves tells how clustered answers are. ``servers`` names all that must take part, at least two.
    """
    totals = {name: sum(batch.get(name, 0) for batch in batches) for name in sorted(servers)}
    answers = sum(totals.values())
    value = spread(totals)
    if value is None or len(servers) < _FEWEST:
        return None
    rows = [[batch.get(name, 0) for name in servers] for batch in batches]
    clustering, freedom = clustering_of(rows)
    least, most = min(totals, key=totals.__getitem__), max(totals, key=totals.__getitem__)
    mean = answers / len(servers)
    deviation = math.sqrt(clustering * mean) / mean
    between = math.sqrt(clustering * (totals[least] + totals[most])) / mean
    # Clustering is estimated itself: Student's t instead of the normal distribution pays for that.
    heavier = _quantile(confidence, freedom) / normal_quantile(confidence)
    return Spread(
        value=value,
        lower=max(0.0, value - range_quantile(len(servers), confidence) * heavier * deviation),
        upper=value + _quantile(confidence, freedom) * between,
        least=least, most=most, answers=answers, clustering=clustering,
    )  # fmt: skip


def clustering_of(rows: Sequence[Sequence[int]], batches: Sequence[int] = (20, 10, 5)) -> tuple[float, float]:
    """Return how many counts are worth one independent one, at least 1, and with how many degrees of freedom.

    Each row has the counts by category (server; over the limit or not) of one stretch of time. It is Pearson's
    statistic of the table over its degrees of freedom, for so many ``batches`` of rows: short batches have more of
    them, long ones see slower clustering, and are believed where they show more of it than chance explains.
    """
    found, freedom = -1.0, 1.0
    for count in (each for each in batches if each <= len(rows)) if len(rows) >= min(batches) else (len(rows),):
        next_found, next_freedom = _pearson(_joined(rows, count))
        if next_found > max(found, found * (1 + _CERTAIN * math.sqrt(2 / next_freedom))):
            found, freedom = next_found, next_freedom
    return max(1.0, found), freedom


def answers_needed(servers: int, limit: float, confidence: float, clustering: float = 1.0) -> int:
    """Return how many answers prove, as a rule, that perfectly even servers keep a ``limit`` on their spread.

    A fifth of the limit is left for servers that are not perfectly even.
    """
    deviations = expected_range(servers) + normal_quantile(confidence) * math.sqrt(2)
    return math.ceil(servers * clustering * (deviations / (0.8 * limit)) ** 2)


@functools.lru_cache(maxsize=256)
def expected_range(count: int) -> float:
    """Return the mean range of ``count`` standard normal variables: ∫ 1 − Φ(x)^k − (1 − Φ(x))^k dx."""
    return _integral(lambda x: 1 - _phi(x) ** count - (1 - _phi(x)) ** count)


@functools.lru_cache(maxsize=256)
def range_quantile(count: int, confidence: float) -> float:
    """Return the r with P(range of ``count`` standard normal variables ≤ r) = confidence, by bisection.

    P(range ≤ r) = k ∫ φ(x) (Φ(x + r) − Φ(x))^(k−1) dx, over the smallest of them.
    """
    low, high = 0.0, _WIDEST
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if _range_at_most(count, middle) > confidence else (middle, high)
    return high


def _range_at_most(count: int, length: float) -> float:
    return count * _integral(
        lambda x: math.exp(-x * x / 2) / math.sqrt(2 * math.pi) * (_phi(x + length) - _phi(x)) ** (count - 1)
    )


def _integral(height: Callable[[float], float]) -> float:
    steps = round(2 * _REACH / _STEP)
    return _STEP * math.fsum(height(-_REACH + _STEP * at) for at in range(steps + 1))


def _phi(x: float) -> float:
    return 0.5 * (1 + math.erf(x / math.sqrt(2)))


def _quantile(confidence: float, freedom: float) -> float:
    return normal_quantile(confidence) if freedom >= _LARGE else student_quantile(confidence, max(1.0, freedom))


def _joined(rows: Sequence[Sequence[int]], count: int) -> list[list[int]]:
    """Return the rows added up to ``count`` batches; what does not fill one at the end is left out."""
    size = len(rows) // count
    parts = [rows[at * size : (at + 1) * size] for at in range(count)]
    return [[sum(column) for column in zip(*part, strict=True)] for part in parts]


def _pearson(rows: Sequence[Sequence[int]]) -> tuple[float, float]:
    """Return Pearson's statistic of a table over its degrees of freedom, and these, at least 1.

    A category without any counts says nothing, but that all others stay together is no accident of few batches.
    """
    columns = [sum(column) for column in zip(*rows, strict=True)]
    held = [row for row in rows if sum(row)]
    total, kept = sum(columns), [at for at, column in enumerate(columns) if column]
    freedom = float(max(1, (len(held) - 1) * max(1, len(kept) - 1)))
    statistic = math.fsum(
        (row[at] - expected) ** 2 / expected
        for row in held
        for at in kept
        for expected in (sum(row) * columns[at] / total,)
    )
    return statistic / freedom, freedom
