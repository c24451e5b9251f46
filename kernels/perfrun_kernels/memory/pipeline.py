"""An active pipeline: several batches under way at once, and quiet moments at which its memory is looked at.

Whenever a look is due no batch is added until those under way are done. What is held then is held for good reason, such
as weights and the cache, or it is lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from perfrun_kernels.memory.parameters import Work
    from perfrun_kernels.memory.workload import Prompts

SEED_STRIDE = 1_000_003
SEED_SPACE = 2**63


class Engine(Protocol):
    """What is watched: it takes batches and goes on with all of them step by step.

    It counts prompt tokens that its cache was asked for and those that were found, and keeps the largest share of
    slots that lay unused in blocks in use.
    """

    queries: int
    hits: int
    waste: float

    @property
    def under_way(self) -> int:
        """Return how many batches are not done."""

    def add(self, prompts: Sequence[Sequence[int]], num_tokens: int, seed: int) -> None:
        """Take a batch of equally long prompts, for each of which ``num_tokens`` are to be generated."""

    def step(self) -> None:
        """Go on with every batch by one token."""


class Watch(Protocol):
    """Who looks; ``at`` is in seconds since the pipeline began."""

    def busy(self) -> None:
        """Look while all batches are under way."""

    def quiet(self, at: float) -> None:
        """Look when none is."""

    def keep(self) -> None:
        """Hand in what there is so far."""


def soak(
    engine: Engine, prompts: Prompts, work: Work, seconds: float, watch: Watch, clock: Callable[[], float]
) -> None:  # fmt: skip
    """Keep ``work.batches`` batches under way for ``seconds``; end at a quiet moment that was looked at.

    ``clock`` is monotonic, in seconds.
    """
    began = kept = clock()
    end = began + seconds
    due = min(began + work.samples_every, end)
    batches, full = 0, False
    while True:
        now = clock()
        if full and now >= due and engine.under_way == 0:
            watch.quiet(now - began)
            if now >= end:
                return
            if now - kept >= work.checkpoint_seconds:
                watch.keep()
                kept = now
            due, full = min(now + work.samples_every, end), False
        if not (full and now >= due):
            if engine.under_way < work.batches:
                seed = (work.seed + (work.segments << 40) + batches * SEED_STRIDE) % SEED_SPACE
                engine.add(prompts.batch(), work.num_tokens, seed)
                batches += 1
            if engine.under_way == work.batches and not full:
                full = True
                watch.busy()
        engine.step()
