"""How far throughput scales with concurrency: the Universal Scalability Law (Gunther 1993, 2007).

X(N) = lambda N / (1 + sigma (N − 1) + kappa N (N − 1)): lambda is throughput at a concurrency of 1, sigma the share of
work that contends, kappa the cost of keeping things coherent. Where kappa is above 0 throughput has a peak, at
N = √((1 − sigma)/kappa), and falls beyond it.

It is fitted to the logarithm of throughput, as its noise grows with it, and only where concurrency was seen to vary.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares, nnls

from perfrun_kernels.bottlenecks.blocks import memory, weights
from perfrun_kernels.bottlenecks.values import Interval, Law, Missing, Numbers

FEWEST: Final = 30
"""Points that a fit needs."""

SPREAD: Final = 2.0
"""Least ratio of a high concurrency (99 %) to a low one (1 %)."""

BUSY: Final = 2.0
"""Least high concurrency: the law tells one request at a time from several."""

_RESAMPLES: Final = 400
_BLOCK: Final = 2.0
_GROUPS: Final = 60
_NONE: Final = 1e-9
"""Below this, contention and coherency cost nothing; the fit gets close to its bound of 0, never to it."""

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
    best = _fitted(n, x, good.astype(float))
    residuals = np.where(good, np.log(x) - _log_throughput(best, n), np.nan)
    drawn = weights(n.size, round(_BLOCK * memory(residuals)), _RESAMPLES) * good
    group = _groups(n, good)
    resampled = np.stack([_fitted(*_means(n, x, each, group)) for each in drawn])
    error = float(np.exp(np.nanstd(residuals)) - 1)
    return _law(best, resampled, error, _REACH * float(n[good].max()), (1 - confidence) / 2)


def throughput_at(law: Law, concurrency: Numbers) -> Numbers:
    """Return what the law says of throughput."""
    fitted = np.array([law.lambda_.value, law.sigma.value, law.kappa.value])
    return np.asarray(np.exp(_log_throughput(fitted, concurrency)))


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


def _log_throughput(fitted: Numbers, n: Numbers) -> Numbers:
    lambda_, sigma, kappa = fitted
    # Below a concurrency of 1 nobody contends, and no pair has to agree.
    above = np.maximum(n - 1, 0)
    return np.asarray(np.log(lambda_ * n) - np.log1p(sigma * above + kappa * n * above))


def _fitted(n: Numbers, x: Numbers, weight: Numbers) -> Numbers:
    """Return lambda, sigma and kappa: N/X is a line of the law's terms, and logarithms say the rest."""
    above = np.maximum(n - 1, 0)
    scale = np.sqrt(weight) * x / n
    design = np.stack([np.ones_like(n), above, n * above], axis=1) * scale[:, None]
    (one, contends, coheres), _ = nnls(design, np.sqrt(weight))
    one = max(one, float(np.min(n / x)) / 2)
    start = np.log(1 / one), min(contends / one, 1.0), coheres / one
    root = np.sqrt(weight)

    def distances(of: Numbers) -> Numbers:
        return root * (np.log(x) - _log_throughput(np.array([np.exp(of[0]), of[1], of[2]]), n))

    found = least_squares(distances, start, bounds=([-np.inf, 0, 0], [np.inf, 1, np.inf]), x_scale="jac").x
    costs = np.where(found[1:] < _NONE, 0.0, found[1:])
    return np.array([np.exp(found[0]), *costs])


def _groups(n: Numbers, good: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return for each point which group of equal count it is in, by concurrency: resamples are fitted to groups."""
    ranks = np.argsort(np.argsort(np.where(good, n, np.inf)))
    return np.minimum(ranks * _GROUPS // int(good.sum()), _GROUPS - 1)


def _means(n: Numbers, x: Numbers, weight: Numbers, group: NDArray[np.int64]) -> tuple[Numbers, Numbers, Numbers]:
    """Return the geometric means of the groups and their weights."""
    total = np.asarray(np.bincount(group, weight, _GROUPS), dtype=np.float64)
    kept = total > 0
    logs = (np.bincount(group, weight * np.log(each), _GROUPS)[kept] / total[kept] for each in (n, x))
    mean_n, mean_x = (np.exp(each) for each in logs)
    return mean_n, mean_x, total[kept]


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
    return float(np.exp(_log_throughput(fitted, np.array([at]))[0])) if np.isfinite(at) else np.inf
