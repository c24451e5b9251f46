"""Which blocks hold which tokens after which: a tree, so that a prompt finds the longest beginning that is there.

Each full block is a node under the block before it, told from its siblings by its own tokens. So equal tokens after
different beginnings are different nodes, as their keys and values are. Nodes are looked up by their parent and first
token, in a hash table whose entries are chained by block; tokens are compared, so that nothing rests on a hash.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = -1
"""What stands before the first block."""

_NONE = -1
_NOWHERE = -2


@attrs.frozen
class Match:
    """How much of a prompt is there: whole ``blocks``, then the first ``shared`` tokens of block ``partial``."""

    blocks: tuple[int, ...]
    partial: int
    shared: int


class PrefixTree:
    """Finds blocks by the ``size`` tokens that they hold and all that come before."""

    def __init__(self, blocks: int, size: int) -> None:
        self._size = size
        self._tokens = array("q", bytes(8 * blocks * size))
        self._parents = array("q", [_NOWHERE]) * blocks
        self._heads = array("q", [_NONE]) * blocks
        self._chain = array("q", [_NONE]) * blocks

    def __contains__(self, block: int) -> bool:
        """Return whether the block can be found."""
        return self._parents[block] != _NOWHERE

    def match(self, tokens: Sequence[int]) -> Match:
        """Return the longest beginning of ``tokens`` that blocks hold."""
        found: list[int] = []
        parent = ROOT
        while (block := self._child(parent, rest := self._slice(tokens, len(found)))) != _NONE:
            found.append(block)
            parent = block
        alike = [(_common(self._held(block), rest), block) for block in self._children(parent, rest)]
        shared, partial = max(alike, default=(0, _NONE))
        return Match(tuple(found), partial, shared)

    def add(self, tokens: Sequence[int], table: Sequence[int]) -> None:
        """Remember the full blocks of a sequence, whose tokens are in the blocks of ``table``.

        Where another block holds the same, that one stays the one that is found, and what follows is not remembered:
        a node's parent is always a block of whoever added it, and so never goes before it.
        """
        parent = ROOT
        for at in range(len(tokens) // self._size):
            held, block = self._slice(tokens, at), table[at]
            there = self._child(parent, held)
            if there not in (_NONE, block):
                return
            if there == _NONE:
                bucket = self._bucket(parent, held[0])
                self._tokens[block * self._size : (block + 1) * self._size] = held
                self._parents[block] = parent
                self._chain[block], self._heads[bucket] = self._heads[bucket], block
            parent = block

    def forget(self, block: int) -> None:
        """Find the block no longer; none that continues it is there any more."""
        bucket = self._bucket(self._parents[block], self._tokens[block * self._size])
        if self._heads[bucket] == block:
            self._heads[bucket] = self._chain[block]
        else:
            before = next(each for each in self._chained(bucket) if self._chain[each] == block)
            self._chain[before] = self._chain[block]
        self._parents[block] = _NOWHERE

    def _child(self, parent: int, held: array[int]) -> int:
        """Return the node with these tokens, or none."""
        if len(held) < self._size:
            return _NONE
        return next((block for block in self._children(parent, held) if self._held(block) == held), _NONE)

    def _children(self, parent: int, held: array[int]) -> Iterator[int]:
        """Yield the nodes under ``parent`` whose first token is that of ``held``."""
        if held:
            for block in self._chained(self._bucket(parent, held[0])):
                if self._parents[block] == parent and self._tokens[block * self._size] == held[0]:
                    yield block

    def _chained(self, bucket: int) -> Iterator[int]:
        block = self._heads[bucket]
        while block != _NONE:
            yield block
            block = self._chain[block]

    def _bucket(self, parent: int, token: int) -> int:
        return hash((parent, token)) % len(self._heads)

    def _held(self, block: int) -> array[int]:
        return self._tokens[block * self._size : (block + 1) * self._size]

    def _slice(self, tokens: Sequence[int], at: int) -> array[int]:
        return array("q", tokens[at * self._size : (at + 1) * self._size])


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
