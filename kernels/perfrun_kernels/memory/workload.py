"""The prompts of a memory run: shared prefixes in turn, each followed by tokens that no other prompt has.

The first token of each prefix, and the first after it, are counted on through the vocabulary, so that prompts which
are meant to part do so at once. What they share is then known beforehand, and with it what a cache can find at best.
"""

from __future__ import annotations

import math
import random
from array import array
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfrun_kernels.memory.parameters import Work

SEGMENT_STRIDE = 7_368_787
"""Distance between the seeds of two attempts; a prime, so that small seeds of users do not meet."""


class Prompts:
    """Makes the prompts of one attempt, batch by batch; the same seed makes the same ones. ``made`` counts them."""

    def __init__(self, work: Work, vocabulary: int) -> None:
        self._work = work
        self._vocabulary = vocabulary
        self._draw = random.Random(work.seed + SEGMENT_STRIDE * work.segments)  # noqa: S311 -- prompts, no secrets
        self._stride = next(each for each in range(vocabulary // 2 | 1, 0, -1) if math.gcd(each, vocabulary) == 1)
        self._prefixes = [self._tokens(work.prefix_tokens, index) for index in range(work.prefixes)]
        self.made = 0

    def batch(self) -> list[Sequence[int]]:
        """Return the next batch of prompts as token ids."""
        return [self._next() for _ in range(self._work.batch_size)]

    def ideal(self) -> int:
        """Return how many of their tokens an unlimited cache finds: all of a prefix but the first time."""
        return max(0, self.made - self._work.prefixes) * self._work.prefix_tokens

    def _next(self) -> Sequence[int]:
        prefix = self._prefixes[self.made % self._work.prefixes]
        prompt = prefix + self._tokens(self._work.unique_tokens, self.made)
        self.made += 1
        return prompt

    def _tokens(self, count: int, number: int) -> array[int]:
        if count == 0:
            return array("i")
        first = number * self._stride % self._vocabulary
        return array("i", [first, *self._draw.choices(range(self._vocabulary), k=count - 1)])
