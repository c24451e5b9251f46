"""Timing one piece of device work that is really finished when the clock is read.

On a GPU, launching returns before the work is done. Events on the stream time the work itself, and the host waits
for the second one, since a server that streams tokens must also have each token before it can send it.
"""

from __future__ import annotations

import time
from typing import Protocol

import torch

MILLI = 1e-3


class Timer(Protocol):
    """Times a stretch of work; ``policy`` says in words how."""

    policy: str

    def start(self) -> None:
        """Begin a stretch."""

    def stop(self) -> float:
        """Return the stretch's seconds once its work is complete."""


class CpuTimer:
    """The monotonic clock; work on the CPU is complete when its call returns."""

    policy = "monotonic clock around each completed step"

    def __init__(self) -> None:
        self._began = 0

    def start(self) -> None:
        """Begin a stretch."""
        self._began = time.perf_counter_ns()

    def stop(self) -> float:
        """Return the stretch's seconds."""
        return (time.perf_counter_ns() - self._began) * 1e-9


class CudaTimer:
    """A pair of CUDA events on the current stream, reused for each stretch."""

    policy = "CUDA events around each step, the host synchronised on the second"

    def __init__(self) -> None:
        self._first = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        self._second = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]

    def start(self) -> None:
        """Begin a stretch."""
        self._first.record()

    def stop(self) -> float:
        """Return the stretch's seconds, waiting for the device."""
        self._second.record()
        self._second.synchronize()
        return float(self._first.elapsed_time(self._second)) * MILLI


def timer_for(device: torch.device) -> Timer:
    """Return the timer that is right for ``device``."""
    return CudaTimer() if device.type == "cuda" else CpuTimer()
