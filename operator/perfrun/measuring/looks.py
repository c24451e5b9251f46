"""A boundary for looking early: how many samples over the limit settle the matter at each of a few fixed looks.

Who looks repeatedly and stops when the numbers please errs more often than stated. Here the looks are fixed
beforehand and the permitted error is divided among them (alpha spending in equal shares, after Bonferroni), with
exact binomial tails, so that the total stays within 1 - confidence whatever the data.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import attrs

from perfrun.measuring.distributions import least_over, most_over


@attrs.frozen
class Look:
    """One look, after ``samples`` of them.

    At most ``accept_at_most`` over the limit settle that the quantile lies below it, at least ``reject_at_least`` that
    it lies above; -1 and samples + 1 mean that this look cannot settle it so.
    """

    samples: int
    accept_at_most: int
    reject_at_least: int


def looks(quantile: float, confidence: float, at: Sequence[int], design_effect: float = 1.0) -> tuple[Look, ...]:
    """Return the boundary for looks after so many samples each (ascending).

    ``design_effect`` is how many correlated samples are taken to be worth one independent sample; 1 is none.
    """
    share = spent(confidence, len(at))
    return tuple(_look(samples, 1.0 - quantile, 1.0 - share, design_effect) for samples in at)


def spent(confidence: float, count: int) -> float:
    """Return the confidence at which each of ``count`` looks must be taken, so that all hold at ``confidence``."""
    return 1.0 - round(1.0 - confidence, 15) / max(1, count)


def _look(samples: int, chance: float, error: float, design_effect: float) -> Look:
    worth = max(1, math.floor(samples / design_effect))
    accept, reject = most_over(worth, chance, error), least_over(worth, chance, error)
    # Scaled to the samples at hand, each boundary is rounded away from a decision.
    accept_scaled = accept * samples // worth if accept >= 0 else -1
    reject_scaled = -(-reject * samples // worth) if reject <= worth else samples + 1
    return Look(samples=samples, accept_at_most=accept_scaled, reject_at_least=min(reject_scaled, samples + 1))
