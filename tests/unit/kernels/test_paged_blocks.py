"""Blocks and prefixes: whatever comes and goes, what is found is what was written, and nothing is lost or torn."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfrun_kernels.paged.blocks import BlockPool
from perfrun_kernels.paged.prefixes import PrefixTree

SIZE = 2
BLOCKS = 12


class Holding:
    """A pool with sequences that read prompts, as the engine does, and a note of what each block really holds."""

    def __init__(self) -> None:
        self.pool = BlockPool(BLOCKS, SIZE)
        self.written: dict[int, list[int]] = {}
        self.tables: list[list[int]] = []

    def read(self, prompt: list[int]) -> int:
        """Admit a prompt; return how many of its tokens were found."""
        match = self.pool.tree.match(prompt[:-1])
        for block in match.blocks:
            self.pool.hold(block)
        table = list(match.blocks)
        found = len(table) * SIZE
        for at, block in enumerate(table):
            assert self.written[block] == prompt[: (at + 1) * SIZE]
        if match.shared:
            assert self.written[match.partial][found : found + match.shared] == prompt[found : found + match.shared]
            assert self.written[match.partial][:found] == prompt[:found]
        while len(table) * SIZE < len(prompt):
            table.append(self.pool.take())
            self.written[table[-1]] = prompt[: len(table) * SIZE]
        self.pool.tree.add(prompt, table)
        self.tables.append(table)
        return found + match.shared


PROMPTS = st.lists(st.integers(0, 1), min_size=1, max_size=6)


@given(st.lists(st.one_of(PROMPTS, st.integers(0, 9)), max_size=60))
def test_what_is_found_was_written_after_the_same_beginning(acts: list[list[int] | int]) -> None:
    holding = Holding()
    for act in acts:
        if isinstance(act, list):
            needed = -(-len(act) // SIZE) + sum(len(set(table)) for table in holding.tables)
            if needed < BLOCKS:
                holding.read(act)
        elif holding.tables:
            holding.pool.drop(holding.tables.pop(act % len(holding.tables)))
        assert holding.pool.used == len({block for table in holding.tables for block in table})
    for table in holding.tables:
        holding.pool.drop(table)
    assert holding.pool.used == 0
    assert sorted(holding.pool.take() for _ in range(BLOCKS)) == list(range(BLOCKS))
    assert not any(block in holding.pool.tree for block in range(BLOCKS))
    with pytest.raises(RuntimeError, match="all 12 blocks are in use"):
        holding.pool.take()


def test_a_prompt_finds_the_longest_beginning_and_leaves_a_token_to_compute() -> None:
    holding = Holding()
    assert holding.read([1, 2, 3, 4, 5]) == 0
    assert holding.read([1, 2, 3, 4, 9]) == 4
    assert holding.read([1, 2, 3, 9]) == 3
    assert holding.read([1, 2, 3, 4]) == 3
    assert holding.read([2, 2, 3, 4]) == 0


def test_the_one_unused_for_longest_goes_first_and_its_beginning_after_it() -> None:
    holding = Holding()
    for prompt in ([1, 1, 1, 1], [2, 2, 2, 2], [3, 3, 3, 3]):
        holding.read(prompt)
    for table in list(holding.tables):
        holding.pool.drop(table)
    holding.tables = []
    assert holding.read([1, 1, 1, 1, 0]) == 4
    holding.pool.drop(holding.tables.pop())
    # Six free blocks, then those of the prompt unused for longest: its end, then its beginning.
    taken = [holding.pool.take() for _ in range(8)]
    assert len(set(taken)) == 8
    found = {prompt[0]: holding.pool.tree.match(prompt).blocks for prompt in ([1] * 4, [2] * 4, [3] * 4)}
    assert [len(found[each]) for each in (1, 2, 3)] == [2, 0, 2]


def test_the_same_tokens_after_another_beginning_are_another_node() -> None:
    tree = PrefixTree(4, 1)
    tree.add([5, 7], [0, 1])
    tree.add([6, 7], [2, 3])
    assert tree.match([5, 7]).blocks == (0, 1)
    assert tree.match([6, 7]).blocks == (2, 3)
    assert tree.match([7]).blocks == ()


def test_what_follows_a_copy_is_not_remembered() -> None:
    tree = PrefixTree(4, 1)
    tree.add([5], [0])
    tree.add([5, 7], [1, 2])
    assert tree.match([5, 7]).blocks == (0,)
    assert 2 not in tree
