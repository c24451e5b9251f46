"""Drawing on a GPU: one launch a step, for all rows."""

from __future__ import annotations

from subprocess import SubprocessError
from typing import TYPE_CHECKING

import torch
import triton
from triton.errors import TritonError

from perfrun_kernels.faults import UnmeasurableError
from perfrun_kernels.sampling.triton_kernels import sample

if TYPE_CHECKING:
    from perfrun_kernels.sampling.parameters import SamplingOptions

SEEN, DRAWN = 1, 2
"""Marks of a token: it is in the prompt or was drawn; it was drawn."""

MOST_TOKENS = 4096
MOST_ROWS = 32
WARPS = 8


def tile(rows: int, vocabulary: int) -> tuple[int, int]:
    """Return how many rows and tokens a program holds at once, powers of 2: several rows only of small vocabularies."""
    block = min(triton.next_power_of_2(vocabulary), MOST_TOKENS)
    return min(triton.next_power_of_2(rows), MOST_TOKENS // block, MOST_ROWS), block


def draw(
    logits: torch.Tensor, marks: torch.Tensor | None, options: SamplingOptions, seed: int, step: int
) -> torch.Tensor:
    """Return one token id for each row of ``logits`` [rows, vocabulary], shape [rows].

    ``marks`` is uint8 [rows, vocabulary], contiguous; the drawn tokens are marked in it. None draws without penalties.
    """
    rows, vocabulary = logits.shape
    if logits.stride(1) != 1:
        logits = logits.contiguous()
    tokens = torch.empty(rows, dtype=torch.int64, device=logits.device)
    height, block = tile(rows, vocabulary)
    sample[(triton.cdiv(rows, height),)](
        logits, logits if marks is None else marks, tokens, rows, vocabulary, logits.stride(0),
        options.repetition_penalty, options.presence_penalty, options.temperature, options.top_k, options.top_p,
        options.min_p, seed, step,
        GREEDY=options.temperature == 0, TOP_K=0 < options.top_k < vocabulary, TOP_P=options.top_p < 1,
        PENALISED=marks is not None, ROWS=height, BLOCK=block, num_warps=WARPS, enable_fp_fusion=False,
    )  # fmt: skip
    return tokens


def prepare(options: SamplingOptions, rows: int, vocabulary: int, dtype: torch.dtype, device: torch.device) -> None:
    """Compile the kernel for draws of this shape, so that none that is timed waits for it.

    Raises:
        UnmeasurableError: it cannot be compiled or started here.
    """
    drawer = FusedDrawer(options, torch.zeros((rows, 1), dtype=torch.int64, device=device), vocabulary, seed=0)
    try:
        drawer.next(torch.zeros((rows, vocabulary), dtype=dtype, device=device))
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, OSError, SubprocessError, TritonError) as error:
        raise UnmeasurableError(
            "NoKernelCompiler",
            f"the sampling kernel cannot be compiled here: {error}".splitlines()[0] + ": use perfrun's image for "
            "benchmark pods, or put a C compiler and a driver that fits this version of torch into yours",
        ) from error


class FusedDrawer:
    """Draws the tokens of one generation; the seed, the row and the step decide, and what the row has seen."""

    def __init__(self, options: SamplingOptions, prompt: torch.Tensor, vocabulary: int, seed: int) -> None:
        self._options = options
        self._seed = seed
        self._step = 0
        self._marks: torch.Tensor | None = None
        if options.repetition_penalty != 1 or options.presence_penalty != 0:
            self._marks = torch.zeros((prompt.shape[0], vocabulary), dtype=torch.uint8, device=prompt.device)
            self._marks.scatter_(1, prompt, SEEN)

    def next(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the next token of each row, shape [rows]."""
        tokens = draw(logits, self._marks, self._options, self._seed, self._step)
        self._step += 1
        return tokens
