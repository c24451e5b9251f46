"""The memory of the built-in engine under concurrent batches: what is run, and what a result says of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import torch

from perfrun_kernels.gpu.watching import watch
from perfrun_kernels.memory.allocators import CudaAllocator, HostAllocator
from perfrun_kernels.memory.pipeline import soak
from perfrun_kernels.memory.readings import collected
from perfrun_kernels.memory.watching import Watching
from perfrun_kernels.memory.workload import Prompts
from perfrun_kernels.paged.engine import PagedEngine
from perfrun_kernels.sampling import cpus
from perfrun_kernels.sampling.models import DTYPES, choose_device, load

if TYPE_CHECKING:
    from collections.abc import Callable

    from perfrun_kernels.memory.allocators import Allocator
    from perfrun_kernels.memory.parameters import Builtin
    from perfrun_kernels.memory.pipeline import Engine
    from perfrun_kernels.program import Fact, Measurement, Task
    from perfrun_kernels.sampling.models import Decoder


def measure(parameters: Builtin, task: Task, make: Callable[..., Engine] = PagedEngine) -> Measurement:
    """Load the model, then keep batches under way and watch, for what is left of the soak or of the budget.

    ``make`` makes the engine that is watched, of the arguments of :class:`PagedEngine`.

    Raises:
        UnmeasurableError: the device or the model that the request names is not there.
        BrokenMeasurementError: the model's numbers are worthless.
    """
    work = parameters.work
    threads = parameters.decode.threads or cpus.usable()
    torch.set_num_threads(threads)
    device = choose_device(parameters.decode.device)
    gpu = watch(device)
    decoder = load(parameters.decode, device)
    task.progress(f"model ready: {decoder.parameters} parameters, {decoder.dtype}, {decoder.device}, {threads} threads")
    if device.type == "cuda":
        from perfrun_kernels.sampling import fused  # noqa: PLC0415 -- Triton is for GPUs alone

        options, dtype = parameters.decode.sampling, DTYPES[decoder.dtype]
        fused.prepare(options, work.batch_size, decoder.vocabulary, dtype, device)
    seconds = min(work.left_seconds, task.budget_seconds)
    with gpu, torch.inference_mode(), collected():
        engine = make(decoder, parameters.decode.sampling, parameters.blocks, parameters.block_tokens)
        prompts = Prompts(work, decoder.vocabulary)
        allocator: Allocator = CudaAllocator(device, gpu.held) if device.type == "cuda" else HostAllocator()
        most_rows = int(seconds / work.samples_every) + 2
        watching = Watching(engine, prompts, allocator, gpu, task, _facts(decoder, parameters), most_rows)
        soak(engine, prompts, work, seconds, watching, time.perf_counter)
    return watching.measurement()


def _facts(decoder: Decoder, parameters: Builtin) -> dict[str, Fact]:
    work, cuda = parameters.work, decoder.device.type == "cuda"
    return {
        "engine": "builtin",
        "device": decoder.device.type,
        "device_name": str(torch.cuda.get_device_name(decoder.device)) if cuda else cpus.name(),
        "dtype": decoder.dtype,
        "parameters": decoder.parameters,
        "model_size": parameters.decode.size,
        "model_digest": decoder.digest,
        "batches": work.batches,
        "batch_size": work.batch_size,
        "prefix_tokens": work.prefix_tokens,
        "prefixes": work.prefixes,
        "unique_tokens": work.unique_tokens,
        "num_tokens": work.num_tokens,
        "block_tokens": parameters.block_tokens,
        "blocks": parameters.blocks,
        "torch": str(torch.__version__),
    }
