"""Drawing from the whole vocabulary on a CPU without sorting it.

A sort of 128 thousand logits costs tens of milliseconds, and as many random numbers cost milliseconds. Here the blocks
of the vocabulary race for the draw in proportion to their mass, and then the tokens of the winning block do. What
top-p would rule out is drawn and rejected: a token counts when what is likelier does not reach top-p, else the next
draw is among the likelier ones alone. At least top-p of all draws count, and those have the distribution that sorting
gives. The fused kernel for GPUs does the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from perfrun_kernels.sampling.reference import INFINITY, race

if TYPE_CHECKING:
    from perfrun_kernels.sampling.parameters import SamplingOptions

BLOCK = 256
"""Tokens of a block: near the square root of large vocabularies, where the two races cost the same."""


def draw(logits: torch.Tensor, options: SamplingOptions, generator: torch.Generator) -> torch.Tensor:
    """Return one token id for each row of sanitised ``logits`` [rows, vocabulary], shape [rows], whatever top-k says.

    Rows are taken one by one: the weights of one stay in a core's cache.
    """
    length = -(-logits.shape[1] // BLOCK) * BLOCK
    weights, likelier = torch.zeros(length), torch.zeros(length, dtype=torch.bool)
    return torch.tensor([_draw(row, weights, likelier, options, generator) for row in logits], dtype=torch.int64)


def _draw(
    logits: torch.Tensor, weights: torch.Tensor, likelier: torch.Tensor, options: SamplingOptions,
    generator: torch.Generator,
) -> int:  # fmt: skip
    _weigh(logits, options.temperature, weights[: logits.shape[0]])
    blocks = weights.view(-1, BLOCK)
    masses = blocks.sum(1)
    reached = options.top_p * float(masses.sum())
    if options.min_p > 0:
        weights.mul_(weights >= options.min_p)
        masses = blocks.sum(1)
    while True:
        block = int(race(masses, generator))
        token = block * BLOCK + int(race(blocks[block], generator))
        if options.top_p == 1:
            return token
        # Of equally likely tokens the first is taken for the likeliest, as a stable sort does.
        torch.ge(weights[:token], weights[token], out=likelier[:token])
        torch.gt(weights[token:], weights[token], out=likelier[token:])
        weights.mul_(likelier)
        masses = blocks.sum(1)
        if float(masses.sum()) < reached:
            return token


def _weigh(logits: torch.Tensor, temperature: float, weights: torch.Tensor) -> None:
    """Write probabilities relative to the likeliest token into ``weights``."""
    best = logits.amax()
    if best == -INFINITY:
        weights.fill_(1.0)
        return
    torch.sub(logits, best, out=weights)
    weights.div_(temperature).exp_()
