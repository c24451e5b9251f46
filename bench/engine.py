"""What the built-in engine adds to the bare model: its forward pass against transformers' own, and its harness.

Both sides decode the same tokens after the same prompts, step by step in turn, so that whatever else the machine does
meets both. The bare side is ``LlamaForCausalLM`` with the cache that transformers recommends for fixed sizes.
"""

from __future__ import annotations

import os
import statistics
import time
from typing import Any

import attrs

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from transformers.cache_utils import DynamicCache, StaticCache

from perfrun_kernels.sampling import cpus, engine, models
from perfrun_kernels.sampling.decoding import Forward
from perfrun_kernels.sampling.parameters import BuiltinParameters, parse

ROUNDS = 5
WARM_UP_STEPS = 5
STEPS = 60
SCENARIOS = {"small": (32, 128, 1000), "medium": (16, 256, 500), "large": (8, 512, 250)}
LARGEST_RATIO_PERCENT = 105.0
LARGEST_OVERHEAD_MS = 0.020


def run() -> list[tuple[str, float, float, float, float]]:
    """Return rows of name, median, least, most and the promised limit; ratios in percent, times in milliseconds."""
    threads = cpus.usable()
    torch.set_num_threads(threads)
    rows = []
    for size, (batch, length, tokens) in SCENARIOS.items():
        parameters = _parameters(size, batch, length, tokens)
        device = models.choose_device(parameters.device)
        with torch.inference_mode():
            decoder = models.load(parameters, device)
            for kind in ("StaticCache", "DynamicCache"):
                ratios = [100 * _ratio(decoder, parameters, kind, seed) for seed in range(ROUNDS)]
                name = f"engine forward / bare forward with {kind}, {size} on {device.type}, %"
                rows.append((name, statistics.median(ratios), min(ratios), max(ratios), LARGEST_RATIO_PERCENT))
        overheads = [_overhead(attrs.evolve(parameters, num_tokens=STEPS)) for _ in range(ROUNDS)]
        name = f"engine harness per step, {size} on {device.type}, {threads} threads"
        rows.append((name, statistics.median(overheads), min(overheads), max(overheads), LARGEST_OVERHEAD_MS))
    return rows


def _parameters(size: str, batch: int, length: int, tokens: int) -> BuiltinParameters:
    found = parse(
        {"model": {"size": size}, "batch_size": batch, "sequence_length": length, "num_tokens": tokens, "max_rounds": 1}
    )
    if not isinstance(found, BuiltinParameters):
        raise TypeError
    return found


def _ratio(decoder: models.Decoder, parameters: BuiltinParameters, kind: str, seed: int) -> float:
    """Return the engine's median time of a forward pass over the bare model's, on the same steps taken in turn."""
    capacity = parameters.sequence_length + parameters.num_tokens
    bare_cache: Any = DynamicCache(config=decoder.config)
    if kind == "StaticCache":
        bare_cache = StaticCache(config=decoder.config, max_cache_len=capacity)
    forward = Forward(decoder, capacity)
    generator = torch.Generator().manual_seed(seed)
    shape = (parameters.batch_size, parameters.sequence_length + WARM_UP_STEPS + STEPS)
    tokens = torch.randint(decoder.vocabulary, shape, generator=generator).to(decoder.device)
    prompt = tokens[:, : parameters.sequence_length]
    forward.prefill(prompt)
    decoder.model(input_ids=prompt, cache=bare_cache, use_cache=True, logits_to_keep=1)
    ours: list[float] = []
    bare: list[float] = []
    for step in range(parameters.sequence_length, shape[1]):
        column = tokens[:, step]
        turns = [
            (ours, lambda column=column: forward.step(column)),
            (
                bare,
                lambda column=column: decoder.model(input_ids=column.unsqueeze(1), cache=bare_cache, use_cache=True),
            ),
        ]
        # Whoever goes second finds the weights in the cache, so the two take turns at that too.
        for times, act in turns if step % 2 else reversed(turns):
            _finish(decoder.device)
            began = time.perf_counter()
            act()
            _finish(decoder.device)
            times.append(time.perf_counter() - began)
    return statistics.median(ours[WARM_UP_STEPS:]) / statistics.median(bare[WARM_UP_STEPS:])


def _overhead(parameters: BuiltinParameters) -> float:
    measured = engine.measure(parameters, 120.0, lambda _: None)
    seconds = measured.scalars["harness_overhead_per_step"].value
    if seconds is None:
        raise ValueError("no step was finished")
    return 1000 * float(seconds)


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    for name, median, least, most, limit in run():
        print(f"{name}: median {median:.4g}, min {least:.4g}, max {most:.4g} (promised: < {limit:.4g})")
