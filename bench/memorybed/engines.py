"""Engines to be caught, each the built-in one but for what is wrong with it, and one with nothing wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from memorybed.caching import MIB
from perfrun_kernels.memory import builtin, parameters
from perfrun_kernels.memory.allocators import CudaAllocator
from perfrun_kernels.paged.engine import PagedEngine
from perfrun_kernels.program import Measurement, Task

TINY: Final = {
    "model": {
        "config": {
            "hidden_size": 32, "intermediate_size": 32, "layers": 1, "heads": 2, "kv_heads": 1, "vocab_size": 4096,
        }
    },
    "device": "cpu", "threads": 1, "batches": 2, "batch_size": 2, "prefix_tokens": 96, "unique_tokens": 4,
    "num_tokens": 4, "blocks": 64, "samples_every": 0.005,
}  # fmt: skip
"""A pipeline that is done so often that seconds hold hundreds of looks."""

Make = Callable[..., Any]
Take = Callable[[int], object]


def on_the_host(size: int) -> object:
    """Return so much of the host's memory; not zeros, which would take none."""
    return b"x" * size


class Leaking:
    """Loses some memory with each batch, of the kind that ``take`` takes."""

    def __init__(self, engine: PagedEngine, lost: int, take: Take) -> None:
        self._engine = engine
        self._lost = lost
        self._take = take
        self._kept: list[object] = []

    def __getattr__(self, name: str) -> Any:
        """Be the engine in all else."""
        return getattr(self._engine, name)

    def add(self, prompts: Sequence[Sequence[int]], num_tokens: int, seed: int) -> None:
        """Take a batch, and keep what nobody needs."""
        self._kept.append(self._take(self._lost))
        self._engine.add(prompts, num_tokens, seed)


def leaking(lost: int, take: Take = on_the_host) -> Make:
    """Return what makes engines that lose ``lost`` bytes with each batch."""
    return lambda *arguments: Leaking(PagedEngine(*arguments), lost, take)


def thrashing(decoder: Any, options: Any, blocks: int, block_tokens: int) -> PagedEngine:
    """Return an engine whose cache has no room for what is not in use: it evicts prefixes before they come again."""
    # Two batches of two prompts of at most seven blocks, and one block more.
    return PagedEngine(decoder, options, min(blocks, 29), block_tokens)


def watch(make: Make, seconds: float, seed: int = 0, prefixes: int = 4, device: str = "cpu") -> Measurement:
    """Run the program with an engine made by ``make`` in the place of its own."""
    asked = TINY | {"soak_seconds": seconds, "prefixes": prefixes, "sampling": {"seed": seed}, "device": device}
    parsed = parameters.parse(asked)
    if not isinstance(parsed, parameters.Builtin):
        raise TypeError
    return builtin.measure(parsed, Task(asked, seconds, lambda _: None), make)


class Card(Protocol):
    """Hands out the memory of a graphics card."""

    def allocate(self, size: int) -> Any:
        """Return a block of at least ``size`` bytes."""

    def free(self, block: Any) -> None:
        """Take a block back."""


def on_a_graphics_card(allocator: CudaAllocator, cuda: Card, lasting: Callable[[], int], batches: int) -> None:
    """Serve on a card as torch's allocator sees it: weights, a cache, then batches whose working memory grows.

    Among its pieces, 2 to 9 MiB, lie ``lasting()`` bytes each that stay when the batch is done: what is free between
    them is then too small for the pieces of later batches.
    """
    for size in (120, 80):
        cuda.allocate(size * MIB)
    for number in range(batches):
        working = []
        for part in range(6):
            working.append(cuda.allocate(2 * MIB + 7 * MIB * number // batches))
            if part % 3 == 0 and (stays := lasting()):
                cuda.allocate(stays)
        allocator.look(quiet=False)
        for block in working:
            cuda.free(block)
        allocator.look(quiet=True)
