"""What drawing the next token means, by sorting: what the quicker ways are held to.

Repetition and presence penalty, temperature, top-k, top-p, min-p come in that order. Order and meaning are those of
transformers and vLLM, so that a figure from here stands for a figure there. All of it is in single precision, whatever
the logits come in.

Defined for logits that a broken or extreme model gives:

- NaN counts as -inf: such a token is never drawn while the row has any other.
- +inf counts as the largest finite number; several of them share the probability evenly.
- A row without any token above -inf is drawn uniformly from its candidates.
- Of equal logits at the edge of top-k or top-p exactly as many are kept as fit, the same ones for the same input; of
  equal logits elsewhere all keep their equal probability.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from perfrun_kernels.sampling.parameters import SamplingOptions

SMALLEST = torch.finfo(torch.float32).tiny
INFINITY = float("inf")


def penalise(logits: torch.Tensor, seen: torch.Tensor, drawn: torch.Tensor, options: SamplingOptions) -> torch.Tensor:
    """Return ``logits`` [rows, vocabulary] as float32, less or more likely where tokens came before.

    ``seen`` and ``drawn`` [rows, any] are tokens, which may repeat. The repetition penalty divides positive logits of
    ``seen`` tokens and multiplies negative ones, after Keskar et al., CTRL (2019), equation 13 as transformers corrects
    it for negative logits; the presence penalty is taken from those of ``drawn`` tokens, as OpenAI's API defines it.
    """
    scores, repetition = logits.float(), options.repetition_penalty
    if repetition != 1:
        found = scores.gather(1, seen)
        scores = scores.scatter(1, seen, torch.where(found > 0, found / repetition, found * repetition))
    if options.presence_penalty != 0:
        scores = scores.scatter(1, drawn, scores.gather(1, drawn) - options.presence_penalty)
    return scores


def sanitise(logits: torch.Tensor) -> torch.Tensor:
    """Return ``logits`` as float32 with NaN as -inf and +inf as the largest finite number."""
    return torch.nan_to_num(logits.float(), nan=-INFINITY, neginf=-INFINITY)


def candidates(logits: torch.Tensor, options: SamplingOptions) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return the logits that top-k leaves, and their token ids (None: the position is the id).

    They come in descending order wherever top-k or top-p needs it.
    """
    vocabulary = logits.shape[-1]
    if 0 < options.top_k < vocabulary:
        scores, ids = torch.topk(logits, options.top_k, dim=-1, sorted=True)
        return scores, ids
    if options.top_p < 1:
        scores, ids = torch.sort(logits, dim=-1, descending=True, stable=True)
        return scores, ids
    return logits, None


def weights(scores: torch.Tensor, options: SamplingOptions) -> torch.Tensor:
    """Return the weight of each candidate: its probability, or 0 where top-p or min-p rules it out.

    The weights of a row need not add up to 1; a draw in proportion to them is the draw that is meant. top-p keeps
    the shortest run of likeliest candidates whose probability reaches it, the one that crosses it included, and needs
    ``scores`` in descending order; min-p keeps those at least that fraction as likely as the likeliest.
    """
    best = scores.amax(dim=-1, keepdim=True)
    centred = torch.where(best == -INFINITY, 0.0, (scores - best) / options.temperature)
    probabilities = torch.softmax(centred, dim=-1)
    kept = probabilities
    if options.top_p < 1:
        before = probabilities.cumsum(dim=-1) - probabilities
        kept = torch.where(before < options.top_p, kept, 0.0)
    if options.min_p > 0:
        kept = torch.where(probabilities >= options.min_p * probabilities.amax(dim=-1, keepdim=True), kept, 0.0)
    return kept


def race(weights: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return a position in the last dimension, drawn in proportion to ``weights``.

    Dividing the weights by independent exponential variables and taking the largest draws in proportion to them, and
    the host need not look at the device (Efraimidis and Spirakis, Weighted random sampling with a reservoir, 2006).
    """
    return (weights / torch.empty_like(weights).exponential_(1.0, generator=generator).clamp_min_(SMALLEST)).argmax(-1)


def draw(logits: torch.Tensor, options: SamplingOptions, generator: torch.Generator) -> torch.Tensor:
    """Return one token id for each row of sanitised ``logits``, shape [rows]."""
    if options.temperature == 0:
        return logits.argmax(dim=-1)
    scores, ids = candidates(logits, options)
    position = race(weights(scores, options), generator)
    return position if ids is None else ids.gather(-1, position.unsqueeze(-1)).squeeze(-1)
