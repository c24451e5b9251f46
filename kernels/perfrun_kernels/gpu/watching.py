"""A GPU watched while something else is measured on it: memory at its peak, and whatever would spoil the figures.

torch counts only what its own allocator holds; the CUDA context and libraries come on top. NVML sees all of it, so
its figure is the one that is judged and torch's is shown beside it. Watching keeps sums and extremes only: it takes as
much memory after a day as in the beginning.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from perfrun_kernels.contract import Scalar
from perfrun_kernels.gpu.nvml import Gpu

if TYPE_CHECKING:
    import torch

    from perfrun_kernels.gpu.nvml import Reading
    from perfrun_kernels.program import Fact

INTERVAL_SECONDS: Final = 0.1
NO_GPU: Final = "no GPU: this measurement ran on the CPU, so there is no GPU memory to measure"
NOT_TOLD: Final = "this GPU does not tell NVML why its clocks are low"


class Watch(Protocol):
    """Watches a GPU while a measurement runs; a context manager."""

    def __enter__(self) -> Self:
        """Begin watching."""

    def __exit__(self, *_: object) -> None:
        """End watching."""

    def look(self) -> None:
        """Take one reading now."""

    def held(self) -> float | None:
        """Return the bytes of GPU memory that this process holds now, None where they cannot be read."""

    def scalars(self) -> dict[str, Scalar]:
        """Return ``gpu_memory_peak`` and ``torch_memory_peak`` in bytes, and the ``gpu.*`` that judging looks at.

        ``gpu.readings`` counts looks, ``gpu.throttled`` is the share of them in which the card was held back,
        ``gpu.others`` the most processes besides this one, ``gpu.taken`` the bytes in use before anything began, and
        ``gpu.errors`` the uncorrected memory errors meanwhile.
        """

    def facts(self) -> dict[str, Fact]:
        """Return what people are told of the GPU, and whose memory was read."""


def watch(device: torch.device) -> Watch:
    """Return the watch over ``device``; make it before the device is first used, or its memory is not empty then."""
    return GpuWatch(device) if device.type == "cuda" else NoGpu()


class NoGpu:
    """There is no GPU: memory is absent with the reason, and nothing else is said."""

    def __enter__(self) -> Self:
        """Begin watching."""
        return self

    def __exit__(self, *_: object) -> None:
        """End watching."""

    def look(self) -> None:
        """Take no reading."""

    def held(self) -> None:
        """Return that nothing can be read."""

    def scalars(self) -> dict[str, Scalar]:
        """Return the absent figures."""
        return {name: Scalar("bytes", None, NO_GPU) for name in ("gpu_memory_peak", "torch_memory_peak")}

    def facts(self) -> dict[str, Fact]:
        """Return that nothing was read."""
        return {"gpu_memory_source": "none"}


class GpuWatch:
    """Reads a GPU through NVML in a thread of its own, ten times a second."""

    def __init__(self, device: torch.device) -> None:
        import pynvml  # noqa: PLC0415 -- only machines with a GPU need it
        import torch  # noqa: PLC0415 -- the rest of this module serves without it

        self._torch = torch
        self._device = device
        self._failure: type[Exception] = pynvml.NVMLError
        self._tally = Tally()
        self._problem = ""
        self._gpu: Gpu | None = None
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="gpu-watch", daemon=True)
        try:
            self._gpu = Gpu(pynvml, str(torch.cuda.get_device_properties(device).uuid))
        except pynvml.NVMLError as error:
            self._fail(error)

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
        self._read()

    def held(self) -> float | None:
        """Return the bytes of GPU memory that this process holds now, None where they cannot be read."""
        reading = self._read()
        return None if reading is None else float(reading.own)

    def scalars(self) -> dict[str, Scalar]:
        """Return the memory at its peak and the counts that judging looks at, after one more reading."""
        self._read()
        torch_peak = Scalar("bytes", float(self._torch.cuda.max_memory_allocated(self._device)))
        if self._problem or self._gpu is None:
            return {
                "gpu_memory_peak": Scalar("bytes", None, self._problem), "torch_memory_peak": torch_peak,
                "gpu.throttled": Scalar("1", None, self._problem),
            }  # fmt: skip
        errors = self._gpu.errors()
        return {
            "gpu_memory_peak": Scalar("bytes", float(self._tally.peak)),
            "torch_memory_peak": torch_peak,
            "gpu.readings": Scalar("1", float(self._tally.readings)),
            "gpu.throttled": self._tally.throttled(),
            "gpu.others": Scalar("1", float(self._tally.others)),
            "gpu.taken": Scalar("bytes", float(self._gpu.before)),
            **({} if errors is None else {"gpu.errors": Scalar("1", float(errors))}),
        }

    def facts(self) -> dict[str, Fact]:
        """Return what people are told of the GPU, and whose memory was read."""
        if self._problem or self._gpu is None:
            return {"gpu_memory_source": "none"}
        clock = self._gpu.highest_clock()
        return {
            "gpu_memory_source": self._tally.source,
            "gpu_uuid": self._gpu.uuid,
            "gpu_driver": self._gpu.driver,
            "gpu_mig": self._gpu.instance,
            **({} if clock is None else {"gpu_clock_max_mhz": clock}),
            **self._tally.facts(),
        }

    def _watch(self) -> None:
        while not self._end.wait(INTERVAL_SECONDS):
            self._read()

    def _read(self) -> Reading | None:
        # One reader at a time, so that no reading is lost from the sums.
        with self._lock:
            if self._problem or self._gpu is None:
                return None
            try:
                reading = self._gpu.read()
            except self._failure as error:
                self._fail(error)
                return None
            self._tally.add(reading)
            return reading

    def _fail(self, error: Exception) -> None:
        self._problem = f"NVML cannot read this GPU: {error}"


class Tally:
    """Readings, added up."""

    def __init__(self) -> None:
        self.readings = 0
        self.peak = 0
        self.others = 0
        self.source = ""
        self._throttled = 0
        self._untold = 0
        self._why: dict[str, None] = {}
        self._most: dict[str, float] = {}
        self._sums: dict[str, tuple[float, int]] = {}

    def add(self, reading: Reading) -> None:
        """Add one reading."""
        self.readings += 1
        self.peak = max(self.peak, reading.own)
        self.others = max(self.others, reading.others)
        self.source = reading.source
        self._throttled += bool(reading.throttled)
        self._untold += reading.throttled is None
        self._why |= dict.fromkeys(reading.throttled or ())
        most = {"gpu_power_watts": reading.power, "gpu_temperature_celsius": reading.temperature}
        for name, value in most.items():
            if value is not None:
                self._most[name] = max(value, self._most.get(name, value))
        for name, value in {"gpu_clock_mhz": reading.clock, "gpu_utilisation": reading.utilisation}.items():
            if value is not None:
                total, count = self._sums.get(name, (0.0, 0))
                self._sums[name] = total + value, count + 1

    def throttled(self) -> Scalar:
        """Return the share of readings in which the card was held back, or that it does not tell."""
        told = self.readings - self._untold
        return Scalar("1", self._throttled / told) if told else Scalar("1", None, NOT_TOLD)

    def facts(self) -> dict[str, Any]:
        """Return what held the card back, its mean clock and utilisation, and its highest power and temperature."""
        means = {name: round(total / count, 3) for name, (total, count) in self._sums.items()}
        return means | self._most | ({"gpu_throttle": ", ".join(self._why)} if self._why else {})
