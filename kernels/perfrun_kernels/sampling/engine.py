"""The built-in engine: prefill, then decode with real sampling, each step timed on its own.

A round's prefill gives the first token; ``num_tokens`` decode steps then give one token of each sequence each. So a
sequence is ``num_tokens`` + 1 tokens long, and the time per output token, (e2e - TTFT) / (tokens - 1), divides by
the number of steps.
"""

from __future__ import annotations

import os
import platform
import time
from typing import TYPE_CHECKING

import torch
import transformers

from perfrun_kernels.faults import BrokenMeasurementError
from perfrun_kernels.gpu.watching import watch as watch_gpu
from perfrun_kernels.program import Measurement
from perfrun_kernels.sampling import cpus
from perfrun_kernels.sampling.decoding import Forward
from perfrun_kernels.sampling.memory import host_memory_peak
from perfrun_kernels.sampling.models import DTYPES, Decoder, choose_device, load
from perfrun_kernels.sampling.sampler import drawer
from perfrun_kernels.sampling.samples import Samples
from perfrun_kernels.sampling.stopping import Watch
from perfrun_kernels.sampling.timing import Timer, timer_for

if TYPE_CHECKING:
    from perfrun_kernels.program import Fact, Progress
    from perfrun_kernels.sampling.parameters import BuiltinParameters

SEED_STRIDE = 1_000_003
"""Distance between the seeds of two rounds; a prime, so that small seeds of users do not meet."""
SEED_SPACE = 2**63


class Generator:
    """Runs rounds: an independent generation each, whose seed follows from the request and the round's number."""

    def __init__(self, decoder: Decoder, parameters: BuiltinParameters, timer: Timer) -> None:
        self._decoder = decoder
        self._parameters = parameters
        self._timer = timer
        self._forward = Forward(decoder, parameters.sequence_length + parameters.num_tokens)
        if decoder.device.type == "cuda":
            from perfrun_kernels.sampling import fused  # noqa: PLC0415 -- Triton is for GPUs alone

            dtype = DTYPES[decoder.dtype]
            fused.prepare(parameters.sampling, parameters.batch_size, decoder.vocabulary, dtype, decoder.device)

    def prompt(self, number: int) -> torch.Tensor:
        """Return the random prompts of round ``number``, [batch, sequence length], drawn on the host."""
        generator = torch.Generator().manual_seed(self._seed(number))
        shape = (self._parameters.batch_size, self._parameters.sequence_length)
        return torch.randint(self._decoder.vocabulary, shape, generator=generator).to(self._decoder.device)

    def round(self, number: int, samples: Samples, watch: Watch) -> bool:
        """Generate once and return whether to stop; a round that is cut short adds steps but no round figures.

        Raises:
            BrokenMeasurementError: the model gives logits that are not finite.
        """
        timer, forward, parameters = self._timer, self._forward, self._parameters
        prompt = self.prompt(number)
        draws = drawer(parameters.sampling, prompt, self._decoder.vocabulary, self._seed(number))
        began = time.perf_counter()
        timer.start()
        logits = forward.prefill(prompt)
        tokens = draws.next(logits)
        ttft = timer.stop()
        samples.begin()
        stopped, kept, before = False, samples.step, len(samples.step)
        decode_began = time.perf_counter()
        for _ in range(parameters.num_tokens):
            timer.start()
            logits = forward.step(tokens)
            tokens = draws.next(logits)
            seconds = timer.stop()
            kept.append(seconds)
            if watch.step(seconds):
                stopped = True
                break
        ended = time.perf_counter()
        steps = len(kept) - before
        samples.tokens += parameters.batch_size * steps
        samples.decode_seconds += ended - decode_began
        samples.overhead_seconds += ended - decode_began - sum(kept[before:])
        samples.overhead_steps += steps
        if not bool(torch.isfinite(logits).all()):
            raise BrokenMeasurementError(
                "LogitsNotFinite",
                f"the model's logits are not finite in round {number + 1} with dtype {self._decoder.dtype}: "
                "use bfloat16 or float32, or check the weights",
            )
        if steps < parameters.num_tokens:
            return True
        samples.rounds += 1
        samples.ttft.append(ttft)
        samples.e2e.append(ended - began)
        samples.tpot.append((ended - began - ttft) / steps)
        samples.rate.append(parameters.batch_size * steps / (ended - decode_began))
        return watch.round() or stopped

    def _seed(self, number: int) -> int:
        return (self._parameters.sampling.seed + number * SEED_STRIDE) % SEED_SPACE


def measure(parameters: BuiltinParameters, budget_seconds: float, progress: Progress) -> Measurement:
    """Load the model, then generate until the stopping rule or the budget ends it.

    Raises:
        UnmeasurableError: the device or the model that the request names is not there.
        BrokenMeasurementError: the model's numbers are worthless.
    """
    threads = parameters.threads or cpus.usable()
    torch.set_num_threads(threads)
    began = time.perf_counter()
    device = choose_device(parameters.device)
    gpu = watch_gpu(device)
    decoder = load(parameters, device)
    progress(f"model ready: {decoder.parameters} parameters, {decoder.dtype}, {decoder.device}, {threads} threads")
    loaded = time.perf_counter() - began
    samples = Samples()
    started = time.time()
    watch = Watch(parameters.stopping, time.perf_counter() + budget_seconds, time.perf_counter)
    with gpu, torch.inference_mode():
        generator = Generator(decoder, parameters, timer_for(decoder.device))
        number, stop = 0, False
        while not stop:
            stop = generator.round(number, samples, watch)
            gpu.look()
            number += 1
            progress(f"round {number}: {len(samples.step)} steps, {watch.left():.0f} s left {watch.reason}".rstrip())
    return Measurement(
        started=started,
        finished=time.time(),
        series=samples.series(),
        scalars={
            "throughput": samples.throughput(),
            **gpu.scalars(),
            "host_memory_peak": host_memory_peak(),
            "harness_overhead_per_step": samples.overhead(),
        },
        facts={
            **_facts(decoder, parameters),
            **gpu.facts(),
            "threads": threads,
            "timing": timer_for(decoder.device).policy,
            "rounds": samples.rounds,
            "stop_reason": watch.reason,
            "load_seconds": round(loaded, 3),
        },
    )


def _facts(decoder: Decoder, parameters: BuiltinParameters) -> dict[str, Fact]:
    config, sampling = decoder.config, parameters.sampling
    return {
        "engine": "builtin",
        "device": decoder.device.type,
        "device_name": _device_name(decoder.device),
        "dtype": decoder.dtype,
        "parameters": decoder.parameters,
        "model_size": parameters.size,
        "model_digest": decoder.digest,
        "model_weights": f"seed {parameters.model_seed}" if decoder.seeded else str(parameters.path),
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "layers": config.num_hidden_layers,
        "heads": config.num_attention_heads,
        "kv_heads": int(config.num_key_value_heads or config.num_attention_heads),
        "vocab_size": config.vocab_size,
        "batch_size": parameters.batch_size,
        "sequence_length": parameters.sequence_length,
        "num_tokens": parameters.num_tokens,
        "omp_wait_policy": os.environ.get("OMP_WAIT_POLICY", "default"),
        "temperature": sampling.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "min_p": sampling.min_p,
        "repetition_penalty": sampling.repetition_penalty,
        "presence_penalty": sampling.presence_penalty,
        "sampling_seed": sampling.seed,
        "torch": str(torch.__version__),
        "transformers": str(transformers.__version__),
        "python": platform.python_version(),
    }


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return cpus.name()
