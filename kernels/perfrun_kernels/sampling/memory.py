"""Memory at its peak, of the GPU and of the host.

torch counts only what its own allocator holds; the CUDA context and libraries come on top. NVML sees all of it, so
its figure is the one that is judged and torch's is shown beside it.
"""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

from perfrun_kernels.contract import Scalar

if TYPE_CHECKING:
    import torch

INTERVAL_SECONDS = 0.1
KIB = 1024
NO_GPU = "no GPU: this measurement ran on the CPU, so there is no GPU memory to measure"


class MemoryWatch(Protocol):
    """Watches GPU memory while a measurement runs; a context manager."""

    def __enter__(self) -> Self:
        """Begin watching."""

    def __exit__(self, *_: object) -> None:
        """End watching."""

    def look(self) -> None:
        """Take one reading now."""

    def scalars(self) -> dict[str, Scalar]:
        """Return ``gpu_memory_peak`` and ``torch_memory_peak`` in bytes."""

    def source(self) -> str:
        """Return in words whose memory was read."""


class NoGpu:
    """There is no GPU: both figures are absent, with the reason."""

    def __enter__(self) -> Self:
        """Begin watching."""
        return self

    def __exit__(self, *_: object) -> None:
        """End watching."""

    def look(self) -> None:
        """Take one reading now."""

    def scalars(self) -> dict[str, Scalar]:
        """Return the absent figures."""
        return {name: Scalar("bytes", None, NO_GPU) for name in ("gpu_memory_peak", "torch_memory_peak")}

    def source(self) -> str:
        """Return that nothing was read."""
        return "none"


class NvmlWatch:
    """Reads a GPU's memory through NVML in a thread of its own.

    Inside a container NVML may list processes under the host's ids, which this process cannot know for its own. A
    single listed process is then taken for this one; with several, the growth of the whole device's used memory since
    before the first CUDA call stands in, and ``source`` says so.
    """

    def __init__(self, device: torch.device) -> None:
        import pynvml  # noqa: PLC0415 -- only machines with a GPU need it
        import torch  # noqa: PLC0415 -- the rest of this module serves without it

        self._nvml = pynvml
        self._torch = torch
        self._device = device
        self._peak = 0
        self._source = ""
        self._problem = ""
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="gpu-memory", daemon=True)
        try:
            pynvml.nvmlInit()
            self._handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
            self._before = int(pynvml.nvmlDeviceGetMemoryInfo(self._handle).used)
        except pynvml.NVMLError as error:
            self._problem = f"NVML cannot read this GPU: {error}"

    def __enter__(self) -> Self:
        """Begin watching."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End watching."""
        self._end.set()
        self._thread.join()

    def look(self) -> None:
        """Take one reading now."""
        if self._problem:
            return
        try:
            self._peak = max(self._peak, self._read())
        except self._nvml.NVMLError as error:
            self._problem = f"NVML cannot read this GPU: {error}"

    def scalars(self) -> dict[str, Scalar]:
        """Return ``gpu_memory_peak`` and ``torch_memory_peak`` in bytes."""
        self.look()
        gpu = Scalar("bytes", None, self._problem) if self._problem else Scalar("bytes", float(self._peak))
        return {
            "gpu_memory_peak": gpu,
            "torch_memory_peak": Scalar("bytes", float(self._torch.cuda.max_memory_allocated(self._device))),
        }

    def source(self) -> str:
        """Return in words whose memory was read."""
        return self._source or "none"

    def _watch(self) -> None:
        while not self._end.wait(INTERVAL_SECONDS):
            self.look()

    def _read(self) -> int:
        processes = self._nvml.nvmlDeviceGetComputeRunningProcesses(self._handle)
        known = {each.pid: each.usedGpuMemory for each in processes if each.usedGpuMemory is not None}
        if os.getpid() in known:
            self._source = "NVML, this process"
            return int(known[os.getpid()])
        if len(processes) == 1 and known:
            self._source = "NVML, the only process on the device"
            return int(next(iter(known.values())))
        self._source = "NVML, growth of the device's used memory"
        return max(0, int(self._nvml.nvmlDeviceGetMemoryInfo(self._handle).used) - self._before)


def host_memory_peak() -> Scalar:
    """Return this process's largest resident memory so far, in bytes (VmHWM of proc(5))."""
    try:
        found = re.search(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(encoding="ascii"), re.MULTILINE)
    except OSError as error:
        return Scalar("bytes", None, f"the peak of host memory cannot be read: {error}")
    if found is None:
        return Scalar("bytes", None, "the kernel reports no VmHWM, so the peak of host memory is unknown")
    return Scalar("bytes", float(int(found[1]) * KIB))
