"""Whether a GPU was itself while it was measured: neither slowed down, nor used by others, nor faulty.

The pod watches its GPU through NVML and hands in counts (``perfrun_kernels.gpu``). A figure of a GPU that was held back
tells of the room that it stands in, so it is no evidence for or against a promise. A pod that has no GPU, or is older
than the watching, hands in none of the counts, and nothing is said of it.
"""

from __future__ import annotations

from typing import Final

from perfrun.capabilities.dcgm import XID_CHANGES
from perfrun.capabilities.evidence import number
from perfrun_kernels.contract import Result

TOLERATED: Final = 0.002
"""Share of readings that may be throttled: what is slowed so is a fifth of what lies above a p99 at most. One reading
alone may always be: a card that changes its clocks may say so for a moment."""

TAKEN: Final = 2**30
"""Bytes in use before the program began that are another's: more than a context of its own takes on any card."""


def disturbed(result: Result) -> tuple[str, str] | None:
    """Return why times that a GPU took cannot be believed, as a reason and a sentence, or None where they can."""
    readings, throttled = number(result, "gpu.readings") or 0.0, result.scalars.get("gpu.throttled")
    if throttled is None:
        return None
    if throttled.value is None:
        return "GPUUnwatched", f"whether the GPU was throttled or shared is not known: {throttled.reason}"
    if throttled.value > TOLERATED and round(throttled.value * readings) > 1:
        why = result.facts.get("gpu_throttle") or "NVML does not say why"
        return "GPUThrottled", f"the GPU was throttled in {throttled.value:.1%} of {readings:.0f} readings ({why})"
    return spoilt(result)


def spoilt(result: Result) -> tuple[str, str] | None:
    """Return why even what lay in the GPU's memory cannot be believed, as a reason and a sentence, or None.

    A clock that was held back changes no byte, so that throttling is not looked at.
    """
    if others := number(result, "gpu.others"):
        were = "other process was" if others == 1 else "other processes were"
        return "GPUShared", f"{others:.0f} {were} on the GPU at the same time"
    if (taken := number(result, "gpu.taken") or 0.0) > TAKEN:
        return "GPUShared", f"{taken / 2**30:.1f} GiB of the GPU's memory were in use before the measuring began"
    if errors := number(result, "gpu.errors"):
        return "GPUErrors", f"the GPU counted {errors:.0f} uncorrected memory errors meanwhile"
    if result.facts.get(XID_CHANGES):
        return "GPUErrors", "the GPU's driver reported an error meanwhile (DCGM_FI_DEV_XID_ERRORS)"
    return None
