"""Drawing the next token of each row, by the quickest way that the device has.

What a draw means is written in ``reference``. On a GPU one fused kernel does all of it. On a CPU top-k leaves few
candidates, which are sorted; the whole vocabulary never is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch

from perfrun_kernels.sampling import reference, unsorted

if TYPE_CHECKING:
    from perfrun_kernels.sampling.parameters import SamplingOptions


class Drawer(Protocol):
    """Draws the tokens of one generation and remembers which each row has seen.

    To the repetition penalty prompt tokens count as seen, as in transformers and vLLM; to the presence penalty only
    drawn ones do, as in vLLM and SGLang.
    """

    def next(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the next token of each row of ``logits`` [rows, vocabulary], shape [rows]."""


def drawer(options: SamplingOptions, prompt: torch.Tensor, vocabulary: int, seed: int) -> Drawer:
    """Return a drawer for sequences that begin with ``prompt`` [rows, length], on the device where that lies."""
    if prompt.is_cuda:
        from perfrun_kernels.sampling.fused import FusedDrawer  # noqa: PLC0415 -- Triton is for GPUs alone

        return FusedDrawer(options, prompt, vocabulary, seed)
    return HostDrawer(options, prompt, seed)


def draw(logits: torch.Tensor, options: SamplingOptions, generator: torch.Generator) -> torch.Tensor:
    """Return one token id for each row of ``logits`` (already penalised) on a CPU, shape [rows]."""
    # The largest is NaN where any is, and looking for it costs less than replacing what is not there.
    logits = logits.float()
    clean = logits if bool(torch.isfinite(logits.amax(dim=-1)).all()) else reference.sanitise(logits)
    if options.temperature == 0 or 0 < options.top_k < logits.shape[1]:
        return reference.draw(clean, options, generator)
    return unsorted.draw(clean, options, generator)


class HostDrawer:
    """Draws on a CPU, from one generator for all rows."""

    def __init__(self, options: SamplingOptions, prompt: torch.Tensor, seed: int) -> None:
        self._options = options
        self._generator = torch.Generator().manual_seed(seed)
        self._seen = prompt
        self._prompt_length = prompt.shape[1]
        self._remembers = options.repetition_penalty != 1 or options.presence_penalty != 0

    def next(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the next token of each row, shape [rows]."""
        if not self._remembers:
            return draw(logits, self._options, self._generator)
        penalised = reference.penalise(logits, self._seen, self._seen[:, self._prompt_length :], self._options)
        tokens = draw(penalised, self._options, self._generator)
        self._seen = torch.cat([self._seen, tokens.unsqueeze(1)], dim=1)
        return tokens
