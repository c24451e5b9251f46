"""How often engines that leak, thrash or fragment are caught, and how often one with nothing wrong is accused.

Leaks and cache hits are those of real runs on this machine's CPU, whose resident memory the kernel counts; each run is
judged as a feature's would be, by its slope over 24 hours against 64 MiB, projections accepted. Fragmentation is that
of an allocator which splits and merges as torch's does, for there is no other without a GPU. The bounds of slopes are
held against made series whose slope is known. A run that is not judged goes before the others: libraries fill caches of
their own in the first seconds of a process, which are most of a run here and next to nothing of a soak.
"""

from __future__ import annotations

import functools
import os
import random
from collections.abc import Sequence

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import numpy.typing as npt
import torch
from memorybed import engines
from memorybed.caching import MIB, Caching
from memorybed.engines import Make

from perfrun.api.feature import Policy
from perfrun.api.plan import Claim
from perfrun.api.verdicts import Verdict
from perfrun.capabilities.base import Evidence
from perfrun.capabilities.memory_values import measure
from perfrun.judging.judge import Judgement, judge
from perfrun.measuring.trends import Segment, growth
from perfrun_kernels.contract import Result
from perfrun_kernels.memory.allocators import CudaAllocator
from perfrun_kernels.paged.engine import PagedEngine
from perfrun_kernels.program import Measurement

Row = tuple[str, float, float, float, float]

RUNS = 20
SECONDS = 3.0
LEAKS = {"1 KiB": (1 << 10, 0.0), "64 KiB": (64 << 10, 5.0)}
"""What leaking engines lose with each batch, and what is promised: a busy machine serves few batches in seconds."""

CARDS = 1000
SERIES = 2000
LOOKS = 200
HALF = 0.5
CORRELATIONS = (0.0, HALF, 0.9)
CONFIDENCE = 0.99
MOST_PERCENT = 2.0
"""Errors that are promised: twice those that the confidence allows, for the rates themselves are estimates."""

CLAIMS = {
    "leak": Claim(
        subject="memory.leak", label="memory leaked", comparator="<=", limit=67.1, unit="MB", stage="s",
        parameters={"period_s": 86400.0},
    ),
    "cache hit rate": Claim(
        subject="memory.cache_hit_rate", label="cache hit rate", comparator=">", limit=90, unit="%", stage="s"
    ),
}  # fmt: skip


def run(runs: int = RUNS, seconds: float = SECONDS, cards: int = CARDS, series: int = SERIES) -> list[Row]:
    """Return rates in percent: of verdicts on engines, then of bounds that miss the slope."""
    rows: list[Row] = []
    engines.watch(PagedEngine, seconds)
    clean = _verdicts(PagedEngine, runs, seconds)
    for name, (lost, limit) in LEAKS.items():
        found = _verdicts(engines.leaking(lost), runs, seconds)
        rows.append(_row(f"leak of {name} a batch not failed", _share(found["leak"], Verdict.FAIL, other=True), limit))
    rows += [
        _row("no leak, but failed for one", _share(clean["leak"], Verdict.FAIL), MOST_PERCENT),
        _row("no leak, and passed", _share(clean["leak"], Verdict.PASS)),
    ]
    thrashing = _verdicts(engines.thrashing, runs, min(seconds, 1.0), prefixes=8)
    rows += [
        _row("thrashing not failed", _share(thrashing["cache hit rate"], Verdict.FAIL, other=True), 5.0),
        _row("not thrashing, but failed for it", _share(clean["cache hit rate"], Verdict.FAIL), MOST_PERCENT),
        _row("fragmenting, but below 10 %", 100 * _whole(cards, 1_100_000, 1_900_000), 5.0),
        _row("not fragmenting, but not below 10 %", 100 - 100 * _whole(cards, 0, 0), MOST_PERCENT),
    ]
    for share in CORRELATIONS:
        above, below = _misses(series, share)
        limit = MOST_PERCENT if share <= HALF else 0.0
        name = f"of {LOOKS} looks correlated by {share:g}: slope"
        rows += [
            _row(f"{name} below its lower bound", above, limit),
            _row(f"{name} above its upper bound", below, limit),
        ]
    return rows


def _row(name: str, percent: float, limit: float = 0.0) -> Row:
    return f"memory: {name}, %", percent, percent, percent, limit


def _share(verdicts: Sequence[Verdict], wanted: Verdict, *, other: bool = False) -> float:
    """Return the percentage of the verdicts that are the wanted one, or another."""
    return 100 * sum((each is wanted) != other for each in verdicts) / len(verdicts)


def _verdicts(make: Make, runs: int, seconds: float, prefixes: int = 4) -> dict[str, list[Verdict]]:
    """Return the verdicts on as many runs of an engine, by claim."""
    found: dict[str, list[Verdict]] = {name: [] for name in CLAIMS}
    for seed in range(runs):
        watched = engines.watch(make, seconds, seed, prefixes)
        for name, claim in CLAIMS.items():
            found[name].append(judged(claim, watched).verdict)
    return found


def judged(claim: Claim, found: Measurement) -> Judgement:
    """Return what a run would say of a claim about an engine that was watched, projections accepted."""
    result = Result(
        run="bench", stage="s", attempt=1, outcome="Completed", started=found.started, finished=found.finished,
        scalars=dict(found.scalars), facts=dict(found.facts), tables=dict(found.tables),
    )  # fmt: skip
    outcome = measure(claim, Evidence(result=result), CONFIDENCE)
    return judge(claim, outcome, Policy(accept_projected=True), CONFIDENCE)


def _whole(cards: int, least: int, most: int) -> float:
    """Return the share of cards found below 10 % fragmentation where pieces of ``least`` to ``most`` bytes stay."""
    whole = 0
    for seed in range(cards):
        draw, cuda = random.Random(seed), Caching()  # noqa: S311 -- sizes, no secrets
        allocator = CudaAllocator(torch.device("cpu"), lambda: None, cuda)
        batches = draw.randrange(40, 80)
        engines.on_a_graphics_card(allocator, cuda, functools.partial(draw.randint, least, most), batches)
        worst = allocator.scalars()["fragmentation.worst"].value
        whole += worst is not None and worst < 0.1
    return whole / cards


def _misses(series: int, share: float) -> tuple[float, float]:
    """Return how often, in percent, a slope of nothing lies outside its lower and its upper bound."""
    draw = np.random.default_rng(0)
    lower = upper = 0
    for _ in range(series):
        found = growth([Segment(list(range(LOOKS)), _wandering(draw, share).tolist())], CONFIDENCE)
        if found is not None:
            lower += found.lower > 0
            upper += found.upper < 0
    return 100 * lower / series, 100 * upper / series


def _wandering(draw: np.random.Generator, share: float) -> npt.NDArray[np.float64]:
    steps = draw.standard_normal(LOOKS + 100) * MIB
    for at in range(1, steps.size):
        steps[at] += share * steps[at - 1]
    settled: npt.NDArray[np.float64] = steps[100:]
    return settled


if __name__ == "__main__":
    for name, value, _, _, limit in run():
        print(f"{name}: {value:.3g}" + (f" (promised: at most {limit:g})" if limit else ""))
