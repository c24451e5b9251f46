"""The prompts of a memory run: shared prefixes in turn, each followed by tokens of the prompt's own.

The first tokens of each prefix, and the first after it, are the digits of a running number, the vocabulary being the
base, the lowest digit first. So prompts that are meant to part do so at once, until the vocabulary has gone round; what
they share from then on is known too, and with it what a cache can find at best.
"""

from __future__ import annotations

import math
import random
from array import array
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from perfrun_kernels.memory.parameters import Work

NUMBERS = 2**31
"""Prompts that the digits tell apart, far more than any run makes."""

SEGMENT_STRIDE = 7_368_787
"""Distance between the seeds of two attempts; a prime, so that small seeds of users do not meet."""


class Prompts:
    """Makes the prompts of one attempt, batch by batch; the same seed makes the same ones. ``made`` counts them."""

    def __init__(self, work: Work, vocabulary: int) -> None:
        self._work = work
        self._vocabulary = vocabulary
        self._draw = random.Random(work.seed + SEGMENT_STRIDE * work.segments)  # noqa: S311 -- prompts, no secrets
        self._stride = next(each for each in range(vocabulary // 2 | 1, 0, -1) if math.gcd(each, vocabulary) == 1)
        self._digits = math.ceil(math.log(NUMBERS, max(vocabulary, 2)))
        self._ideal = 0
        self._offsets = self._draw.choices(range(vocabulary), k=self._digits)
        self._prefixes = [self._tokens(work.prefix_tokens, index) for index in range(work.prefixes)]
        self.made = 0

    def batch(self) -> list[Sequence[int]]:
        """Return the next batch of prompts as token ids."""
        return [self._next() for _ in range(self._work.batch_size)]

    def ideal(self) -> int:
        """Return how many of their tokens an unlimited cache finds: the longest beginning that an earlier one had."""
        return self._ideal

    def repeated(self) -> int:
        """Return how many of their tokens are of prefixes that were there before."""
        return max(0, self.made - self._work.prefixes) * self._work.prefix_tokens

    def _next(self) -> Sequence[int]:
        work, number = self._work, self.made
        if number < work.prefixes and work.prefix_tokens:
            self._ideal += self._shared(number, 1, work.prefix_tokens)
        else:
            period = work.prefixes if work.prefix_tokens else 1
            self._ideal += work.prefix_tokens + self._shared(number, period, work.unique_tokens)
        self.made += 1
        return self._prefixes[number % work.prefixes] + self._tokens(work.unique_tokens, number)

    def _shared(self, number: int, period: int, most: int) -> int:
        """Return how many of ``most`` digits an earlier number shares, of those in steps of ``period`` before it."""
        count, base = 0, self._vocabulary
        while count < min(most, self._digits) and math.lcm(base ** (count + 1), period) <= number:
            count += 1
        return count

    def _tokens(self, count: int, number: int) -> array[int]:
        counted = min(count, self._digits)
        digits = (
            (number // self._vocabulary**place * self._stride + self._offsets[place]) % self._vocabulary
            for place in range(counted)
        )
        return array("i", [*digits, *self._draw.choices(range(self._vocabulary), k=count - counted)])
