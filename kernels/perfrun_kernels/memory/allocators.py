"""What the allocator of a device says of itself: how much it holds, how much of that is torn, how often it gave up.

Fragmentation is the share of reserved memory that lies in pieces beside live ones and can serve neither a large request
nor be given back (``inactive_split_bytes`` of torch's caching allocator). With expandable segments that counter reads
nothing, and the share of reserved memory which a trim could not give back is taken instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import torch

from perfrun_kernels.contract import Scalar

if TYPE_CHECKING:
    from collections.abc import Callable

NO_GPU = "no GPU: this pipeline ran on the CPU, whose allocator does not tell how torn its memory is"


class Allocator(Protocol):
    """Reads one device's allocator; ``columns`` name what :meth:`held` returns."""

    columns: tuple[str, ...]

    def settle(self) -> None:
        """Wait for the device, and let the allocator give back what has to be given back before it is read."""

    def held(self) -> tuple[float, ...] | None:
        """Return the bytes held, or None where they cannot be read now."""

    def look(self, *, quiet: bool) -> None:
        """Look at fragmentation; ``quiet`` is whether nothing is under way."""

    def scalars(self) -> dict[str, Scalar]:
        """Return ``fragmentation.worst`` and what else the allocator has counted since the beginning."""


class HostAllocator:
    """The CPU: nothing is read, and why is said."""

    columns: tuple[str, ...] = ()

    def settle(self) -> None:
        """Do nothing: work on the CPU is complete when its call returns."""

    def held(self) -> tuple[float, ...]:
        """Return nothing."""
        return ()

    def look(self, *, quiet: bool) -> None:
        """Look at nothing."""

    def scalars(self) -> dict[str, Scalar]:
        """Return the absent figures."""
        return {name: Scalar("1", None, NO_GPU) for name in ("fragmentation.worst", "allocator.hits")}


class CudaAllocator:
    """torch's caching allocator on one GPU.

    ``nvml`` returns the bytes that the process holds on it as the driver counts them, None where that cannot be read.
    ``cuda`` is asked as ``torch.cuda`` is.
    """

    def __init__(self, device: torch.device, nvml: Callable[[], float | None], cuda: Any = torch.cuda) -> None:
        self._device = device
        self._nvml = nvml
        self._cuda = cuda
        self._expandable = any(segment.get("is_expandable") for segment in cuda.memory_snapshot())
        self._before = self._stats()
        self._worst = 0.0
        self.columns = ("allocated", "reserved", *(("nvml",) if nvml() is not None else ()))

    def settle(self) -> None:
        """Wait for the device; with expandable segments, trim them."""
        self._cuda.synchronize(self._device)
        if self._expandable:
            self._cuda.empty_cache()

    def held(self) -> tuple[float, ...] | None:
        """Return what is allocated and reserved, and what NVML sees of it if it did at the beginning."""
        stats = self._stats()
        held = (float(stats["allocated_bytes.all.current"]), float(stats["reserved_bytes.all.current"]))
        if "nvml" not in self.columns:
            return held
        seen = self._nvml()
        return None if seen is None else (*held, seen)

    def look(self, *, quiet: bool) -> None:
        """Keep the worst share so far; expandable segments are looked at when quiet only, after the trim."""
        stats = self._stats()
        reserved = stats["reserved_bytes.all.current"]
        if not reserved or (self._expandable and not quiet):
            return
        torn = (
            reserved - stats["allocated_bytes.all.current"]
            if self._expandable
            else stats["inactive_split_bytes.all.current"]
        )
        self._worst = max(self._worst, torn / reserved)

    def scalars(self) -> dict[str, Scalar]:
        """Return the worst share, and what has been counted since the beginning."""
        stats = self._stats()
        asked, got, retries, ooms = (
            stats[name] - self._before[name]
            for name in ("allocation.all.allocated", "num_device_alloc", "num_alloc_retries", "num_ooms")
        )
        hits = Scalar("1", 1 - got / asked) if asked else Scalar("1", None, "nothing was allocated on the device")
        return {
            "fragmentation.worst": Scalar("1", self._worst), "allocator.hits": hits,
            "allocator.retries": Scalar("1", float(retries)), "allocator.ooms": Scalar("1", float(ooms)),
        }  # fmt: skip

    def _stats(self) -> dict[str, Any]:
        stats: dict[str, Any] = self._cuda.memory_stats(self._device)
        return stats
