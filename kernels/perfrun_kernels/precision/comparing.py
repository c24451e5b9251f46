"""A model before and after converting it: how large, how fast, and how often right.

Only a GPU is timed. What a CPU does with 16 bits depends on whether it has arithmetic for them, and tells nothing of a
GPU; there, speed is absent with that reason, while bytes are the same everywhere, and so are the labels.
"""

from __future__ import annotations

import time
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Final

import torch
import transformers

from perfrun_kernels.contract import Scalar
from perfrun_kernels.gpu.watching import watch
from perfrun_kernels.precision import dataset, encoder, turns
from perfrun_kernels.precision.asking import Asker
from perfrun_kernels.program import Measurement
from perfrun_kernels.sampling import cpus
from perfrun_kernels.sampling.models import choose_device
from perfrun_kernels.sampling.timing import timer_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from perfrun_kernels.precision.encoder import Encoder
    from perfrun_kernels.precision.parameters import Parameters
    from perfrun_kernels.program import Fact, Progress

NOT_TIMED: Final = "no GPU: a CPU's time for 16-bit numbers tells nothing of a GPU's, so that nothing was timed"
NO_PEAK: Final = "no GPU: the host's memory holds libraries and both models, so that no peak is of one of them"
AHEAD_CYCLES: Final = 40_000_000
"""GPU cycles, some 20 ms, for which the GPU waits before each pass: by then all of its kernels are queued, and what is
timed is the GPU rather than how fast the host starts kernels."""

CACHES: Final = 2
"""Times the L2 cache that is written over before each pass."""


def measure(parameters: Parameters, budget_seconds: float, progress: Progress) -> Measurement:
    """Read and convert the model, time both in turns on a GPU, and ask both for labels.

    Raises:
        UnmeasurableError: the device, the model or the dataset is not there or cannot be used.
    """
    torch.set_num_threads(cpus.usable())
    device = choose_device(parameters.device)
    gpu = watch(device)
    texts = dataset.load(parameters.dataset)
    original = encoder.load(parameters.path, parameters.sequence_length)
    models = {"before": original.model, "after": encoder.converted(original.model, parameters.precision)}
    sizes = {side: encoder.weight_bytes(model) for side, model in models.items()}
    progress(f"{original.name}: {sizes['before']} B became {sizes['after']} B with {parameters.precision}")
    started = time.time()
    deadline = time.perf_counter() + budget_seconds

    def expired() -> bool:
        return time.perf_counter() >= deadline

    _keep_float32_whole()
    with gpu:
        peaks = {side: _peak(model, original, parameters, device) for side, model in models.items()}
        for model in models.values():
            model.to(device)
        timed = _timed(models, original, parameters, device, expired) if device.type == "cuda" else None
        known, asked = dataset.divide(texts.items, parameters.items, parameters.seed)
        progress(f"fitting a probe to {len(known)} texts, then asking about {len(asked)}")
        pairs = Asker(original, parameters, device, expired).compare(models, known, asked)
    progress(f"asked about {pairs.items} texts, {pairs.only_before} right only before, {pairs.only_after} only after")
    return Measurement(
        started=started,
        finished=time.time(),
        series=timed.series() if timed is not None else {},
        scalars={
            **{f"size.{side}": Scalar("bytes", float(size)) for side, size in sizes.items()},
            **{f"memory.{side}": peak for side, peak in peaks.items()},
            "speed": _speed(timed),
            **pairs.scalars(),
            **gpu.scalars(),
        },
        facts={
            **_facts(original, models, parameters, device),
            "dataset": texts.name,
            "dataset_licence": texts.licence,
            "items": pairs.items,
            "labels": len({item.label for item in texts.items}),
            **gpu.facts(),
            "stop_reason": "rounds" if pairs.complete and (timed is None or not timed.expired) else "budget",
        },
    )


def _timed(
    models: Mapping[str, torch.nn.Module], original: Encoder, parameters: Parameters, device: torch.device,
    expired: Callable[[], bool],
) -> turns.Turns:  # fmt: skip
    batch = _full_batch(original, parameters, device)
    cache = torch.cuda.get_device_properties(device).L2_cache_size
    over = torch.empty(CACHES * cache, dtype=torch.uint8, device=device)
    passes = {side: partial(model, **batch) for side, model in models.items()}

    def prepare() -> None:
        torch.cuda._sleep(AHEAD_CYCLES)  # type: ignore[no-untyped-call]  # noqa: SLF001 -- torch's own tests wait so
        over.zero_()

    with torch.inference_mode():
        return turns.take(passes, prepare, timer_for(device), parameters.rounds, parameters.seed, expired)


def _peak(model: torch.nn.Module, original: Encoder, parameters: Parameters, device: torch.device) -> Scalar:
    """Return the largest memory that torch held on the GPU for one pass of ``model`` with nothing else there."""
    if device.type != "cuda":
        return Scalar("bytes", None, NO_PEAK)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    model.to(device)
    with torch.inference_mode():
        model(**_full_batch(original, parameters, device))
    peak = float(torch.cuda.max_memory_allocated(device))
    model.to("cpu")
    return Scalar("bytes", peak)


def _full_batch(original: Encoder, parameters: Parameters, device: torch.device) -> dict[str, torch.Tensor]:
    """Return a batch of random tokens with no padding, so that every pass does the same work."""
    shape = (parameters.batch_size, parameters.sequence_length)
    drawn = torch.randint(original.vocabulary, shape, generator=torch.Generator().manual_seed(parameters.seed))
    # Without a mask, which models look at from the host: the GPU would have to be waited for.
    return {"input_ids": drawn.to(device)}


def _keep_float32_whole() -> None:
    """Keep TF32 out of what is compared with: it is a lower precision that nobody asked for."""
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False


def _speed(timed: turns.Turns | None) -> Scalar:
    """Return how much faster the median pass became, or why that is not known."""
    if timed is None:
        return Scalar("1", None, NOT_TIMED)
    if not timed.seconds["before"]:
        return Scalar("1", None, "the time for measuring was spent in warming up: raise lowPrecision.budget")
    before, after = (median(timed.seconds[side]) for side in turns.SIDES)
    return Scalar("1", before / after)


def _facts(
    original: Encoder, models: Mapping[str, torch.nn.Module], parameters: Parameters, device: torch.device
) -> dict[str, Fact]:
    dtypes = {side: str(next(model.parameters()).dtype).removeprefix("torch.") for side, model in models.items()}
    return {
        "model": original.name,
        "model_digest": original.digest,
        "licence": original.licence,
        "parameters": original.parameters,
        "dtype": dtypes["after"],
        "dtype_before": dtypes["before"],
        "weights_overflowed": encoder.overflowed(models["after"]),
        "device": device.type,
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else cpus.name(),
        "batch_size": parameters.batch_size,
        "sequence_length": parameters.sequence_length,
        "seed": parameters.seed,
        "torch": str(torch.__version__),
        "transformers": str(transformers.__version__),
    }
