"""What the built-in engine adds to the bare model: its forward pass against transformers' own, and its harness.

Both sides decode the same tokens after the same prompts, step by step in turn, so that whatever else the machine does
meets both. The bare side is ``LlamaForCausalLM`` with the cache that transformers recommends for fixed sizes.

Whole generations are compared with ``transformers.generate`` too: the same prompts, number of tokens and sampling
options, prompt and drawing included, in turn.
"""

from __future__ import annotations

import os
import statistics
import time
from typing import Any

import attrs

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from transformers import GenerationConfig
from transformers.cache_utils import DynamicCache, StaticCache

from perfrun_kernels.sampling import cpus, engine, models
from perfrun_kernels.sampling.decoding import Forward
from perfrun_kernels.sampling.parameters import BuiltinParameters, parse
from perfrun_kernels.sampling.samples import Samples
from perfrun_kernels.sampling.stopping import Watch
from perfrun_kernels.sampling.timing import timer_for

ROUNDS = 5
WARM_UP_STEPS = 5
STEPS = 60
LONGEST_SECONDS = 600.0
SCENARIOS = {"small": (32, 128, 1000), "medium": (16, 256, 500), "large": (8, 512, 250)}
LARGEST_RATIO_PERCENT = 105.0
LARGEST_OVERHEAD_MS = 0.020
LARGEST_TIME_PERCENT = 100.0


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
            rows.append(_against_generate(decoder, attrs.evolve(parameters, num_tokens=STEPS), size))
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


def _against_generate(
    decoder: models.Decoder, parameters: BuiltinParameters, size: str
) -> tuple[str, float, float, float, float]:
    """Return the time of a whole generation by the engine against that by transformers, in percent."""
    tokens = parameters.num_tokens + 1
    generator = engine.Generator(decoder, parameters, timer_for(decoder.device))
    sampling = parameters.sampling
    wanted = GenerationConfig(
        max_new_tokens=tokens, do_sample=True, temperature=sampling.temperature, top_k=sampling.top_k,
        top_p=sampling.top_p, repetition_penalty=sampling.repetition_penalty, eos_token_id=None, pad_token_id=0,
    )  # fmt: skip
    model: Any = decoder.model

    def ours(number: int) -> None:
        watch = Watch(parameters.stopping, time.perf_counter() + LONGEST_SECONDS, time.perf_counter)
        generator.round(number, Samples(), watch)

    def theirs(number: int) -> None:
        prompt = generator.prompt(number)
        answer = model.generate(prompt, attention_mask=torch.ones_like(prompt), generation_config=wanted)
        if answer.shape[1] != parameters.sequence_length + tokens:
            msg = f"transformers stopped after {answer.shape[1] - parameters.sequence_length} of {tokens} tokens"
            raise ValueError(msg)

    spent: dict[str, list[float]] = {"ours": [], "theirs": []}
    for number in range(ROUNDS + 1):
        turns = [("ours", ours), ("theirs", theirs)]
        for name, generate in turns if number % 2 else reversed(turns):
            _finish(decoder.device)
            began = time.perf_counter()
            generate(number)
            _finish(decoder.device)
            spent[name].append(time.perf_counter() - began)
    mine, other = (parameters.batch_size * tokens / statistics.median(spent[name][1:]) for name in ("ours", "theirs"))
    ratios = [100 * one / another for one, another in zip(spent["ours"][1:], spent["theirs"][1:], strict=True)]
    where = f"{size} on {decoder.device.type}"
    name = f"engine, {where}: {mine:.4g} tokens/s, transformers.generate {other:.4g}; time, %"
    return name, statistics.median(ratios), min(ratios), max(ratios), LARGEST_TIME_PERCENT


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
