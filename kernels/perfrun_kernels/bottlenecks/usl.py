"""How far throughput scales with concurrency: the Universal Scalability Law (Gunther 1993, 2007).

X(N) = lambda N / (1 + sigma (N − 1) + kappa N (N − 1)): lambda is throughput at a concurrency of 1, sigma the share of
work that contends, kappa the cost of keeping things coherent. Where kappa is above 0 throughput has a peak, at
N = √((1 − sigma)/kappa), and falls beyond it.

N/X, the time that each request takes, is a sum of terms that are known but for their factors, none of them below 0. So
the fit is one of non-negative least squares (Lawson and Hanson 1974) of relative distances.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.optimize import nnls

from perfrun_kernels.bottlenecks.blocks import MEMORIES, memory, weights
from perfrun_kernels.bottlenecks.values import Interval, Law, Missing, Numbers

FEWEST: Final = 30
"""Points that a fit needs."""

SPREAD: Final = 2.0
"""Least ratio of a high concurrency (99 %) to a low one (1 %)."""

BUSY: Final = 2.0
"""Least high concurrency: the law tells one request at a time from several."""

_SINGULAR: Final = 1e-14
_TURNS: Final = 4
"""Distances are relative to the fit, so it is made again with those of the last; after two turns nothing moves."""

_REACH: Final = 2.0
"""How far beyond the concurrency that was seen a peak is believed: what bends a little there may be noise."""


def fit(concurrency: Numbers | Missing, throughput: Numbers | Missing, confidence: float) -> Law | Missing:
    """Return the law with its intervals, or why load does not show it."""
    for each in (throughput, concurrency):
        if isinstance(each, Missing):
            return each
    n, x = np.asarray(concurrency), np.asarray(throughput)
    good = np.isfinite(n) & np.isfinite(x) & (n > 0) & (x > 0)
    if (why := _too_little(n[good])) is not None:
        return why
    n, x = np.where(good, n, 1.0), np.where(good, x, 1.0)
    time, terms, whole = n / x, _terms(n), good.astype(float)[None]
    close = time
    for _ in range(_TURNS):
        factors = _factors(terms, time, close, whole)
        close = terms @ factors[0]
    distances = np.where(good, time / close - 1, np.nan)
    drawn = weights(n.size, round(MEMORIES * memory(distances))) * good
    resampled = _parameters(_factors(terms, time, close, drawn))
    (best,) = _parameters(factors)
    return _law(best, resampled, float(np.nanstd(distances)), _REACH * float(n[good].max()), (1 - confidence) / 2)


def throughput_at(law: Law, concurrency: Numbers) -> Numbers:
    """Return what the law says of throughput."""
    fitted = np.array([law.lambda_.value, law.sigma.value, law.kappa.value])
    return _throughput(fitted, concurrency)


def _too_little(n: Numbers) -> Missing | None:
    if n.size < FEWEST:
        return Missing("TooFewPoints", f"{n.size} points of throughput and concurrency were seen; {FEWEST} are needed")
    low, high = np.quantile(n, (0.01, 0.99))
    if high < BUSY:
        sentence = f"no more than {high:.2g} requests were in flight at once; scaling shows from {BUSY:g} on"
        return Missing("TooLittleConcurrency", sentence)
    if high < SPREAD * low:
        sentence = (
            f"concurrency stayed between {low:.3g} and {high:.3g} (1 % to 99 % of the time); scaling shows where it "
            f"varies by a factor of at least {SPREAD:g}"
        )
        return Missing("LoadTooEven", sentence)
    return None


def _throughput(fitted: Numbers, n: Numbers) -> Numbers:
    lambda_, sigma, kappa = fitted
    # Below a concurrency of 1 nobody contends, and no pair has to agree.
    above = np.maximum(n - 1, 0)
    return np.asarray(lambda_ * n / (1 + sigma * above + kappa * n * above))


def _terms(n: Numbers) -> Numbers:
    """Return what N/X is a sum of: (1 − sigma)/lambda of the first, sigma/lambda and kappa/lambda of the others.

    With these three, factors that are not below 0 mean a sigma between 0 and 1.
    """
    return np.stack([np.ones_like(n), np.maximum(n, 1), n * np.maximum(n - 1, 0)], axis=1)


def _factors(terms: Numbers, time: Numbers, close: Numbers, weight: Numbers) -> Numbers:
    """Return the factors of the terms for each row of ``weight``, the distances being relative to ``close``."""
    relative = terms / close[:, None]
    size = relative.max(axis=0)
    relative = relative / size
    squares = weight @ (relative[:, :, None] * relative[:, None, :]).reshape(len(time), -1)
    sides = weight @ (relative * (time / close)[:, None])
    found = [_least(square, side) for square, side in zip(squares.reshape(-1, 3, 3), sides, strict=True)]
    return np.asarray(np.stack(found) / size)


def _least(square: Numbers, side: Numbers) -> Numbers:
    """Return what solves the normal equations best without a value below 0."""
    values, vectors = np.linalg.eigh(square)
    root = np.sqrt(np.maximum(values, values.max() * _SINGULAR))
    return np.asarray(nnls((vectors * root).T, (vectors.T @ side) / root)[0])


def _parameters(factors: Numbers) -> Numbers:
    """Return lambda, sigma and kappa for each row of factors."""
    alone = np.maximum(factors[:, 0] + factors[:, 1], np.finfo(float).tiny)
    return np.column_stack([1 / alone, factors[:, 1:] / alone[:, None]])


def _law(best: Numbers, resampled: Numbers, error: float, reach: float, tail: float) -> Law:
    known = [_interval(best[i], resampled[:, i], tail) for i in range(best.size)]
    at = _interval(_peak(best[None])[0], _peak(resampled), tail)
    peak = None
    if at.upper is not None and at.value <= reach:
        of = [_height(each) for each in resampled]
        peak = _interval(_height(best), np.array(of), tail)
    return Law(
        lambda_=known[0], sigma=known[1], kappa=known[2], peak=peak, at=at if peak is not None else None, error=error
    )


def _interval(value: float, resampled: Numbers, tail: float) -> Interval:
    lower, upper = np.quantile(resampled, (tail, 1 - tail), method="inverted_cdf")
    return Interval(float(value), float(lower), float(upper) if np.isfinite(upper) else None)


def _peak(fitted: Numbers) -> Numbers:
    """Return the concurrency of the highest throughput for each row of fits; infinity where there is no peak."""
    sigma, kappa = fitted[:, 1], fitted[:, 2]
    return np.sqrt(np.divide(1 - sigma, kappa, out=np.full_like(kappa, np.inf), where=kappa > 0))


def _height(fitted: Numbers) -> float:
    """Return the highest throughput of a fit, infinity where there is no peak."""
    (at,) = _peak(fitted[None])
    return float(_throughput(fitted, np.array([at]))[0]) if np.isfinite(at) else np.inf
