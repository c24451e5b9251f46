"""How fast the next tokens are drawn: the quick way of the device against sorting the whole vocabulary with torch.

Both sides draw from the same logits in turn, so that whatever else the machine does meets both. Logits are normal with
a standard deviation of 2, about as peaked as those of a language model. On a GPU the quick way is the fused kernel, and
FlashInfer's kernels take a turn too where they are installed.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec

import attrs
import torch

from perfrun_kernels.sampling import cpus, reference, sampler
from perfrun_kernels.sampling.parameters import SamplingOptions

Row = tuple[str, float, float, float, float]
Draw = Callable[[torch.Tensor], torch.Tensor]

VOCABULARIES = (32_000, 128_256, 256_000)
BATCHES = (1, 32, 256)
ROUNDS = 5
FEWER_ROUNDS = 3
MANY_LOGITS = 10_000_000
SPREAD = 2.0
PROMISED_PERCENT = 100.0
NUCLEUS = SamplingOptions(
    temperature=1.0, top_k=0, top_p=0.9, min_p=0.0, repetition_penalty=1.0, presence_penalty=0.0, seed=0
)
SETTINGS = {"top-p 0.9": NUCLEUS, "top-k 50, top-p 0.95": attrs.evolve(NUCLEUS, top_k=50, top_p=0.95)}


def run() -> list[Row]:
    """Return the time of a draw against that of sorting, in percent, with both rates in tokens per second beside it."""
    torch.set_num_threads(cpus.usable())
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu":
        print("bench: no GPU here: the fused kernel and FlashInfer were not timed", file=sys.stderr)
    return [
        row
        for vocabulary in VOCABULARIES
        for batch in BATCHES
        for setting, options in SETTINGS.items()
        for row in _rows(f"vocabulary {vocabulary}, batch {batch}, {setting}", options, (batch, vocabulary), device)
    ]


def _rows(name: str, options: SamplingOptions, shape: tuple[int, int], device: torch.device) -> list[Row]:
    logits = SPREAD * torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(device)
    generator = torch.Generator(device).manual_seed(0)
    draws: dict[str, Draw] = {"sorting": lambda logits: _by_sorting(logits, options, generator)}
    if device.type == "cuda":
        from perfrun_kernels.sampling import fused  # noqa: PLC0415 -- Triton is for GPUs alone

        draws["fused kernel"] = lambda logits: fused.draw(logits, None, options, seed=0, step=0)
        if find_spec("flashinfer") is not None:
            draws["FlashInfer"] = lambda logits: _by_flashinfer(logits, options)
    else:
        draws["no sort"] = lambda logits: sampler.draw(logits, options, generator)
    times = _timed(draws, logits, FEWER_ROUNDS if logits.numel() > MANY_LOGITS else ROUNDS)
    sorting = times.pop("sorting")
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    return [
        _row(f"draw with {kind}, {name}, {where}", spent, sorting, shape[0], promised=kind != "FlashInfer")
        for kind, spent in times.items()
    ]


def _row(name: str, spent: list[float], sorting: list[float], batch: int, *, promised: bool) -> Row:
    ours, theirs = (batch / statistics.median(seconds) for seconds in (spent, sorting))
    ratios = [100 * one / other for one, other in zip(spent, sorting, strict=True)]
    label = f"{name}: {ours:.3g} tokens/s, sorting {theirs:.3g}; time, %"
    return label, statistics.median(ratios), min(ratios), max(ratios), PROMISED_PERCENT if promised else 0.0


def _timed(draws: dict[str, Draw], logits: torch.Tensor, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each way in each round; a first round warms up and is cut."""
    times: dict[str, list[float]] = {name: [] for name in draws}
    with torch.inference_mode():
        for number in range(rounds + 1):
            # Whoever goes second finds the logits in the cache, so they take turns at that too.
            for name in sorted(draws, reverse=bool(number % 2)):
                _finish(logits.device)
                began = time.perf_counter()
                draws[name](logits)
                _finish(logits.device)
                times[name].append(time.perf_counter() - began)
    return {name: seconds[1:] for name, seconds in times.items()}


def _by_sorting(logits: torch.Tensor, options: SamplingOptions, generator: torch.Generator) -> torch.Tensor:
    """Draw as the reference does, but find the top k in the sorted vocabulary as well."""
    scores, ids = torch.sort(logits, dim=-1, descending=True)
    if options.top_k:
        scores, ids = scores[:, : options.top_k], ids[:, : options.top_k]
    position = reference.race(reference.weights(scores, options), generator)
    return ids.gather(-1, position.unsqueeze(-1)).squeeze(-1)


def _by_flashinfer(logits: torch.Tensor, options: SamplingOptions) -> torch.Tensor:
    import flashinfer  # noqa: PLC0415 -- only where it is installed

    drawn: torch.Tensor
    if options.top_k:
        drawn = flashinfer.sampling.top_k_top_p_sampling_from_logits(
            logits, options.top_k, options.top_p, filter_apply_order="top_k_first"
        )
    else:
        drawn = flashinfer.sampling.top_p_sampling_from_probs(torch.softmax(logits, dim=-1), options.top_p)
    return drawn


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    for name, median, least, most, limit in run():
        print(f"{name}: median {median:.4g}, min {least:.4g}, max {most:.4g} (promised: < {limit:.4g})")
