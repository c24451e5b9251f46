"""The built-in engine for batches that come and go: continuous batching over a paged cache with prefix reuse.

Each step admits at most one waiting batch, whose prompts are read as far as they are not in the cache already, and
gives one token to every sequence of all batches under way, whatever their lengths, in one forward pass (Yu et al.,
Orca, 2022). A batch is charged at admission for the blocks that it may need in the worst case, so that none ever has to
be put back.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import attrs
import torch

from perfrun_kernels.faults import BrokenMeasurementError
from perfrun_kernels.paged.blocks import BlockPool
from perfrun_kernels.paged.cache import PagedForward
from perfrun_kernels.sampling.sampler import drawer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfrun_kernels.paged.prefixes import Match
    from perfrun_kernels.sampling.models import Decoder
    from perfrun_kernels.sampling.parameters import SamplingOptions
    from perfrun_kernels.sampling.sampler import Drawer

PART = 2048
"""Tokens of a prompt that are read at once: a mask has as many rows, and as many columns as the prompt has tokens."""


@attrs.define
class _Running:
    """One sequence: its prompt, the blocks that it refers to, and how many tokens of it they hold."""

    prompt: Sequence[int]
    table: list[int]
    filled: int


@attrs.define
class _Batch:
    """Sequences that are drawn together, ``num_tokens`` times; of these ``drawn`` are done, the last are ``tokens``."""

    prompts: Sequence[Sequence[int]]
    num_tokens: int
    seed: int
    drawn: int = 0
    sequences: list[_Running] = attrs.field(factory=list)
    drawer: Drawer | None = None
    tokens: torch.Tensor = attrs.field(factory=lambda: torch.empty(0))


class PagedEngine:
    """Serves batches from a cache of ``blocks`` blocks of ``block_tokens`` tokens.

    ``queries`` and ``hits`` count prompt tokens that were asked for and found; ``waste`` is the largest share so far of
    slots that lay unused in blocks in use.
    """

    def __init__(self, decoder: Decoder, options: SamplingOptions, blocks: int, block_tokens: int) -> None:
        self._decoder = decoder
        self._options = options
        self._blocks = blocks
        self._size = block_tokens
        self._pool = BlockPool(blocks, block_tokens)
        self._forward = PagedForward(decoder, blocks, block_tokens)
        self._waiting: deque[_Batch] = deque()
        self._running: list[_Batch] = []
        self.queries = 0
        self.hits = 0
        self.waste = 0.0

    @property
    def under_way(self) -> int:
        """Return how many batches are not done."""
        return len(self._waiting) + len(self._running)

    def add(self, prompts: Sequence[Sequence[int]], num_tokens: int, seed: int) -> None:
        """Take a batch of equally long prompts, for each of which ``num_tokens`` are to be generated.

        Raises:
            ValueError: the cache is too small for such a batch.
        """
        batch = _Batch(prompts, num_tokens, seed)
        if self._charge(batch) >= self._blocks:
            msg = f"the cache has {self._blocks} blocks; expected more than the {self._charge(batch)} of this batch"
            raise ValueError(msg)
        self._waiting.append(batch)

    def step(self) -> None:
        """Admit a batch if there is room, give every sequence a token, and let go of batches that are done.

        Raises:
            BrokenMeasurementError: the model gives logits that are not finite.
        """
        running = list(self._running)
        if self._waiting and self._charge(*running, self._waiting[0]) < self._blocks:
            self._admit(self._waiting.popleft())
        if running:
            self._decode(running)
        for batch in [each for each in self._running if each.drawn == each.num_tokens]:
            self._running.remove(batch)
            for sequence in batch.sequences:
                self._pool.drop(sequence.table)

    def _charge(self, *batches: _Batch) -> int:
        """Return the blocks that batches need at most: nothing shared, and every token generated."""
        return sum(len(each.prompts) * self._blocks_for(len(each.prompts[0]) + each.num_tokens) for each in batches)

    def _blocks_for(self, tokens: int) -> int:
        return -(-tokens // self._size)

    def _admit(self, batch: _Batch) -> None:
        """Read the prompts and draw a first token for each."""
        prompts = torch.tensor([list(prompt) for prompt in batch.prompts], device=self._decoder.device)
        batch.drawer = drawer(self._options, prompts, self._decoder.vocabulary, batch.seed)
        batch.sequences = [_Running(prompt, [], 0) for prompt in batch.prompts]
        logits: dict[int, torch.Tensor] = {}
        while len(logits) < len(batch.sequences):
            chosen = self._choose(batch, logits)
            group = [batch.sequences[at] for at in chosen]
            new = torch.stack([prompts[at, batch.sequences[at].filled :] for at in chosen])
            for part in torch.split(new, PART, dim=1):
                rows = self._forward.run(part, [each.filled for each in group], [each.table for each in group])
                for sequence in group:
                    sequence.filled += part.shape[1]
            for sequence in group:
                self._pool.tree.add(sequence.prompt, sequence.table)
            logits.update(zip(chosen, rows, strict=True))
        self._running.append(batch)
        self._draw(batch, torch.stack([logits[at] for at in range(len(batch.sequences))]))

    def _choose(self, batch: _Batch, done: dict[int, torch.Tensor]) -> list[int]:
        """Return which sequences are to be read next, with blocks for all of their prompts.

        As many tokens of each are missing. Of those that would compute the same block only one is among them: the
        others find it afterwards.
        """
        chosen: list[int] = []
        coming: set[tuple[int, ...]] = set()
        missing = 0
        for at, sequence in enumerate(batch.sequences):
            if at in done:
                continue
            match = self._pool.tree.match(sequence.prompt[:-1])
            found = len(match.blocks) * self._size
            beginning = tuple(sequence.prompt[: found + self._size])
            if beginning in coming or (chosen and len(sequence.prompt) - found - match.shared != missing):
                continue
            coming.add(beginning)
            chosen.append(at)
            missing = len(sequence.prompt) - found - match.shared
            self._attach(sequence, match)
        return chosen

    def _attach(self, sequence: _Running, match: Match) -> None:
        """Refer to the blocks that were found, and take as many as the prompt lacks."""
        for block in match.blocks:
            self._pool.hold(block)
        sequence.table = list(match.blocks)
        if match.shared:
            self._pool.hold(match.partial)
            sequence.table.append(self._pool.take())
            self._forward.copy(match.partial, sequence.table[-1], match.shared)
            self._pool.drop([match.partial])
        sequence.filled = len(match.blocks) * self._size + match.shared
        self._make_room(sequence, len(sequence.prompt))
        self.queries += len(sequence.prompt)
        self.hits += sequence.filled

    def _make_room(self, sequence: _Running, tokens: int) -> None:
        while len(sequence.table) < self._blocks_for(tokens):
            sequence.table.append(self._pool.take())

    def _decode(self, batches: list[_Batch]) -> None:
        sequences = [sequence for batch in batches for sequence in batch.sequences]
        for sequence in sequences:
            self._make_room(sequence, sequence.filled + 1)
        tokens = torch.cat([batch.tokens for batch in batches]).unsqueeze(1)
        logits = self._forward.run(tokens, [each.filled for each in sequences], [each.table for each in sequences])
        for sequence in sequences:
            sequence.filled += 1
        for batch, rows in zip(batches, torch.split(logits, [len(batch.sequences) for batch in batches]), strict=True):
            self._draw(batch, rows)
        unused = sum(len(each.table) * self._size - each.filled for each in sequences)
        self.waste = max(self.waste, unused / (self._pool.used * self._size))

    def _draw(self, batch: _Batch, logits: torch.Tensor) -> None:
        batch.drawn += 1
        if batch.drawer is not None:
            batch.tokens = batch.drawer.next(logits)
        if batch.drawn == batch.num_tokens and not bool(torch.isfinite(logits).all()):
            raise BrokenMeasurementError(
                "LogitsNotFinite",
                f"the model's logits are not finite with dtype {self._decoder.dtype}: "
                "use bfloat16 or float32, or check the weights",
            )
