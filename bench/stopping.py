"""How many samples a verdict on a p99 takes: stopping early at fixed looks against one budget fixed beforehand.

The looks are those that the plan of the project's own sampling feature gives its pods. The budget that they are
compared with errs as rarely, and is the smallest that decides at least as often whatever the truth is: it has to be
chosen before anybody knows it. A truth is the share of steps that are slower than the limit, 1 % where the p99 lies at
the limit itself and errors are most frequent. Steps are drawn independent, and clustered as much as the plan takes into
account.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs
import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest

from perfrun.api.target import LLM, TargetSpec
from perfrun.capabilities.sampling import DESIGN_EFFECT
from perfrun.measuring.looks import Look, looks
from perfrun.planning.compile import plan

Row = tuple[str, float, float, float, float]
Counts = npt.NDArray[np.int64]

FEATURES: Final = Path(__file__).parents[1] / "features"
QUANTILE: Final = 0.99
CONFIDENCE: Final = 0.99
EDGE: Final = 1 - QUANTILE
TRUTHS: Final = (0.0, 0.0005, 0.002, 0.005, EDGE, 0.02, 0.05)
RUNS: Final = 20_000
GRID: Final = 50
SEED: Final = 8
LARGEST_ERROR_PERCENT: Final = 1.0
SURE: Final = 0.99
"""Confidence of the exact interval that is shown as least and most of a simulated rate."""


@attrs.frozen
class Ends:
    """How simulated runs ended: after so many samples each, and whether they passed or failed; neither is undecided."""

    samples: Counts
    passed: npt.NDArray[np.bool_]
    failed: npt.NDArray[np.bool_]

    @property
    def decided(self) -> float:
        """The share that came to a verdict."""
        return float((self.passed | self.failed).mean())


def run() -> list[Row]:
    """Return rows of name, median, least, most and the promised limit, in samples or in percent."""
    boundary = planned()
    at = sorted({math.ceil(boundary[-1].samples * step / GRID) for step in range(1, GRID + 1)} | _samples(boundary))
    rows = []
    for kind, likeness in (("independent", 0.0), ("clustered", (DESIGN_EFFECT - 1) / (DESIGN_EFFECT + 1))):
        random = np.random.default_rng(SEED)
        seen = {truth: counts(truth, likeness, at, random) for truth in TRUTHS}
        early = {truth: ends(boundary, at, each) for truth, each in seen.items()}
        fixed = budget(early, at, seen)
        rows += _errors(f"{kind}, p99 at the limit, early stop", early[EDGE], LARGEST_ERROR_PERCENT)
        rows += _errors(f"{kind}, p99 at the limit, fixed budget", ends(fixed, at, seen[EDGE]), 0.0)
        for truth in TRUTHS:
            name = f"{kind}, {truth:.2%} over the limit"
            share = early[truth].samples / _last(fixed)
            rows.append(_rate(f"{name}: verdicts, %", early[truth].passed | early[truth].failed))
            rows.append(_mean(f"{name}: mean samples", early[truth].samples))
            rows.append(_mean(f"{name}: samples, % of fixed {_last(fixed)}", 100 * share))
    return rows


def planned() -> tuple[Look, ...]:
    """Return the looks that a pod of the sampling feature takes at its p99."""
    text = (FEATURES / "llm_sampling_performance.feature").read_text(encoding="utf-8")
    stages = plan(text, TargetSpec(llm=LLM())).stages
    given = next(stage.parameters["looks"] for stage in stages if "looks" in stage.parameters)
    return tuple(Look(**each) for each in given)


def counts(truth: float, likeness: float, at: Sequence[int], random: np.random.Generator) -> Counts:
    """Return how many steps were over the limit after each of ``at`` samples, [runs, len(at)].

    ``likeness`` is the correlation of one step's being over the limit with the next one's, by a chain of two states.
    """
    if not likeness:
        steps = np.diff(at, prepend=0)
        return np.cumsum(random.binomial(steps, truth, size=(RUNS, len(at))), axis=1)
    stays, comes = np.float32(truth + likeness * (1 - truth)), np.float32(truth * (1 - likeness))
    over = random.random(RUNS, dtype=np.float32) < truth
    total, found, wanted = np.zeros(RUNS, dtype=np.int64), [], set(at)
    for step in range(1, at[-1] + 1):
        total += over
        if step in wanted:
            found.append(total.copy())
        over = random.random(RUNS, dtype=np.float32) < np.where(over, stays, comes)
    return np.stack(found, axis=1)


def ends(boundary: Sequence[Look], at: Sequence[int], seen: Counts) -> Ends:
    """Return how runs end whose counts after ``at`` samples are ``seen``."""
    passed, failed = np.zeros(len(seen), dtype=bool), np.zeros(len(seen), dtype=bool)
    samples = np.zeros(len(seen), dtype=np.int64)
    for look in boundary:
        still = ~(passed | failed)
        over = seen[:, at.index(look.samples)]
        samples[still] = look.samples
        passed |= still & (over <= look.accept_at_most)
        failed |= still & (over >= look.reject_at_least)
    return Ends(samples, passed, failed)


def budget(early: Mapping[float, Ends], at: Sequence[int], seen: Mapping[float, Counts]) -> tuple[Look, ...]:
    """Return the one look at the least of ``at`` samples that decides at least as often at every truth."""
    for samples in at:
        single = looks(QUANTILE, CONFIDENCE, [samples], DESIGN_EFFECT)
        if all(ends(single, at, seen[truth]).decided >= each.decided for truth, each in early.items()):
            return single
    msg = f"no budget up to {at[-1]} samples decides as often as the looks do"
    raise RuntimeError(msg)


def _samples(boundary: Sequence[Look]) -> set[int]:
    return {look.samples for look in boundary}


def _last(boundary: Sequence[Look]) -> int:
    return boundary[-1].samples


def _errors(name: str, at_the_limit: Ends, limit: float) -> list[Row]:
    return [
        _rate(f"{name}: false passes, %", at_the_limit.passed, limit),
        _rate(f"{name}: false fails, %", at_the_limit.failed, limit),
    ]


def _rate(name: str, which: npt.NDArray[np.bool_], limit: float = 0.0) -> Row:
    among = binomtest(int(which.sum()), len(which)).proportion_ci(SURE)
    return name, 100 * float(which.mean()), 100 * among.low, 100 * among.high, limit


def _mean(name: str, values: npt.NDArray[Any]) -> Row:
    return name, float(values.mean()), float(values.min()), float(values.max()), 0.0
