"""Drawing the next token: repetition and presence penalty, temperature, top-k, top-p, min-p, in that order.

The order and meaning are those of transformers and vLLM, so that a figure from here stands for a figure there. With
top-k set, only k candidates of each row are ever sorted: sorting the whole vocabulary would cost more on a CPU than
a small model's forward pass.

Defined for logits that a broken or extreme model gives:

- NaN counts as -inf: such a token is never drawn while the row has any other.
- +inf counts as the largest finite number; several of them share the probability evenly.
- A row without any token above -inf is drawn uniformly from its candidates.
- Of equal logits at the edge of top-k exactly as many are kept as fit, the same ones for the same input; of equal
  logits elsewhere all keep their equal probability.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from perfrun_kernels.sampling.parameters import SamplingOptions

SMALLEST = torch.finfo(torch.float32).tiny
INFINITY = float("inf")


def sanitise(logits: torch.Tensor) -> torch.Tensor:
    """Return ``logits`` as float32 with NaN as -inf and +inf as the largest finite number."""
    return torch.nan_to_num(logits.float(), nan=-INFINITY, neginf=-INFINITY)


def penalise(logits: torch.Tensor, seen: torch.Tensor, penalty: float) -> torch.Tensor:
    """Return ``logits`` with those of ``seen`` tokens made less likely by ``penalty`` (> 1) or more likely (< 1).

    Positive logits are divided and negative ones multiplied, after Keskar et al., CTRL (2019), equation 13 as
    transformers corrects it for negative logits. ``seen`` is a boolean mask of the same shape.
    """
    return torch.where(seen, torch.where(logits > 0, logits / penalty, logits * penalty), logits)


def candidates(logits: torch.Tensor, options: SamplingOptions) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return the logits that top-k leaves, and their token ids (None: the position is the id).

    They come in descending order wherever top-k or top-p needs it.
    """
    vocabulary = logits.shape[-1]
    if 0 < options.top_k < vocabulary:
        scores, ids = torch.topk(logits, options.top_k, dim=-1, sorted=True)
        return scores, ids
    if options.top_p < 1:
        scores, ids = torch.sort(logits, dim=-1, descending=True)
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


def draw(logits: torch.Tensor, options: SamplingOptions, generator: torch.Generator) -> torch.Tensor:
    """Return one token id for each row of ``logits`` (already penalised), shape [rows].

    Dividing the weights by independent exponential variables and taking the largest draws in proportion to them (the
    exponential race), without the host having to look at the device.
    """
    clean = sanitise(logits)
    if options.temperature == 0:
        return clean.argmax(dim=-1)
    scores, ids = candidates(clean, options)
    kept = weights(scores, options)
    race = torch.empty_like(kept).exponential_(1.0, generator=generator).clamp_min_(SMALLEST)
    position = (kept / race).argmax(dim=-1, keepdim=True)
    return (position if ids is None else ids.gather(-1, position)).squeeze(-1)


class Drawer:
    """Draws the tokens of one generation and remembers which each row has seen.

    To the repetition penalty prompt tokens count as seen, as in transformers and vLLM; to the presence penalty only
    drawn ones do, as in vLLM and SGLang.
    """

    def __init__(self, options: SamplingOptions, prompt: torch.Tensor, vocabulary: int, seed: int) -> None:
        self._options = options
        self._generator = torch.Generator(device=prompt.device).manual_seed(seed)
        none = torch.zeros((prompt.shape[0], vocabulary), dtype=torch.bool, device=prompt.device)
        self._seen = none.scatter(1, prompt, value=True) if options.repetition_penalty != 1 else None
        self._drawn = none if options.presence_penalty != 0 else None

    def next(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the next token of each row, shape [rows]."""
        if self._seen is not None:
            logits = penalise(logits, self._seen, self._options.repetition_penalty)
        if self._drawn is not None:
            logits = torch.where(self._drawn, logits - self._options.presence_penalty, logits)
        tokens = draw(logits, self._options, self._generator)
        for remembered in (self._seen, self._drawn):
            if remembered is not None:
                remembered.scatter_(1, tokens.unsqueeze(1), value=True)
        return tokens
