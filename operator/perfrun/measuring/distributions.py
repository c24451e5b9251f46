"""Exact tails of the binomial and quantiles of Student's t, in plain Python.

SciPy has both, and the tests compare with it; but importing it costs half a second and some 40 MiB, which the
operator would pay to look up a handful of numbers after each run.
"""

from __future__ import annotations

import functools
import math
from typing import Final

_TINY: Final = 1e-300
_ENOUGH: Final = 1e-16
_ITERATIONS: Final = 10_000
_SPREAD: Final = 12.0
_MARGIN: Final = 60


@functools.lru_cache(maxsize=1024)
def most_over(trials: int, chance: float, error: float) -> int:
    """Return the largest m with P(Binomial(trials, chance) ≤ m) ≤ error; -1 where there is none."""
    below, cumulated = _start(trials, chance), 0.0
    while below < trials:
        cumulated += mass(trials, chance, below)
        if cumulated > error:
            return below - 1
        below += 1
    return trials - 1


@functools.lru_cache(maxsize=1024)
def least_over(trials: int, chance: float, error: float) -> int:
    """Return the smallest m with P(Binomial(trials, chance) ≥ m) ≤ error; trials + 1 where there is none."""
    # The same sum from the other end: successes and failures change places.
    return trials - most_over(trials, 1.0 - chance, error)


def _start(trials: int, chance: float) -> int:
    """Return where summing may begin: what lies below (twelve deviations out) is less than rounding errors."""
    mean = trials * chance
    return max(0, math.floor(mean - _SPREAD * math.sqrt(mean * (1 - chance)) - _MARGIN))


def mass(trials: int, chance: float, successes: int) -> float:
    """Return P(Binomial(trials, chance) = successes), for a chance strictly between 0 and 1."""
    logarithm = (
        math.lgamma(trials + 1)
        - math.lgamma(successes + 1)
        - math.lgamma(trials - successes + 1)
        + successes * math.log(chance)
        + (trials - successes) * math.log1p(-chance)
    )
    return math.exp(logarithm)


@functools.lru_cache(maxsize=1024)
def student_quantile(confidence: float, freedom: float) -> float:
    """Return the t with P(T ≤ t) = confidence for Student's distribution; confidence from 0.5 to below 1.

    By bisection on the regularised incomplete beta function: P(T > t) = I_x(freedom/2, 1/2) / 2 with
    x = freedom / (freedom + t²).
    """
    tail, low, high = 1.0 - confidence, 0.0, 1.0
    while _upper_tail(high, freedom) > tail:
        low, high = high, high * 2
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if _upper_tail(middle, freedom) > tail else (low, middle)
    return (low + high) / 2


def normal_quantile(confidence: float) -> float:
    """Return the z with P(Z ≤ z) = confidence for the standard normal distribution."""
    from statistics import NormalDist  # noqa: PLC0415 -- statistics pulls in fractions and decimal; few runs need it

    return NormalDist().inv_cdf(confidence)


def _upper_tail(t: float, freedom: float) -> float:
    return _incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t)) / 2


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b) by its continued fraction."""
    if x >= 1.0:
        return 1.0
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    if x > (a + 1) / (a + b + 2):
        return 1.0 - front * _fraction(b, a, 1 - x) / b
    return front * _fraction(a, b, x) / a


def _fraction(a: float, b: float, x: float) -> float:
    """Evaluate the continued fraction of the incomplete beta function by the modified Lentz method."""
    c, d = 1.0, 1.0 / _away(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, _ITERATIONS):
        for factor in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 / _away(1 + factor * d)
            c = _away(1 + factor / c)
            step = c * d
            value *= step
        if abs(step - 1) < _ENOUGH * 10:
            break
    return value


def _away(value: float) -> float:
    """Return the value, kept away from zero, by which the method divides."""
    return value if abs(value) > _TINY else _TINY
