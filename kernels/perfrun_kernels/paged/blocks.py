"""Blocks of a paged cache: which are in use and by how many, and in which order the others are taken.

After Kwon et al., Efficient Memory Management for Large Language Model Serving with PagedAttention (2023). All blocks
that nobody uses stand in one queue: first those that hold nothing of worth, then those that hold a known prefix, the
one unused for longest before the others. The queue, like the tree, is in memory that is taken once: bookkeeping that
grew until the cache is full would look like a leak.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from perfrun_kernels.paged.prefixes import PrefixTree

if TYPE_CHECKING:
    from collections.abc import Iterable


class BlockPool:
    """Counts references to ``blocks`` blocks of ``size`` tokens, named from 0; ``tree`` knows what they hold."""

    def __init__(self, blocks: int, size: int) -> None:
        self.tree = PrefixTree(blocks, size)
        self.used = 0
        """How many blocks somebody refers to."""
        self._references: array[int] = array("q", bytes(8 * blocks))
        # A ring of block names; the name after the last one is where it begins and ends.
        self._end = blocks
        self._after: array[int] = array("q", [*range(1, blocks + 1), 0])
        self._before: array[int] = array("q", [blocks, *range(blocks)])

    def take(self) -> int:
        """Return a block that nobody uses, with one reference; what it held is forgotten.

        Raises:
            RuntimeError: all are in use; whoever admits sequences has to keep this from happening.
        """
        block = self._after[self._end]
        if block == self._end:
            msg = f"all {self._end} blocks are in use"
            raise RuntimeError(msg)
        if block in self.tree:
            self.tree.forget(block)
        self.hold(block)
        return block

    def hold(self, block: int) -> None:
        """Refer to a block."""
        if self._references[block] == 0:
            self.used += 1
            self._link(self._before[block], self._after[block])
        self._references[block] += 1

    def drop(self, blocks: Iterable[int]) -> None:
        """Refer to the blocks no longer; they are the first ones of a sequence, in its order."""
        # Backwards: a block is then always taken before those that it continues.
        for block in reversed(list(blocks)):
            self._references[block] -= 1
            if self._references[block] == 0:
                self.used -= 1
                first = self._end if block not in self.tree else self._before[self._end]
                last = self._after[first]
                self._link(first, block)
                self._link(block, last)

    def _link(self, one: int, other: int) -> None:
        self._after[one], self._before[other] = other, one
