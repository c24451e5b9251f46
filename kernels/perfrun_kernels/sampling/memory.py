"""The host's memory at its peak."""

from __future__ import annotations

import re
from pathlib import Path

from perfrun_kernels.contract import Scalar

KIB = 1024


def host_memory_peak() -> Scalar:
    """Return this process's largest resident memory so far, in bytes (VmHWM of proc(5))."""
    try:
        found = re.search(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(encoding="ascii"), re.MULTILINE)
    except OSError as error:
        return Scalar("bytes", None, f"the peak of host memory cannot be read: {error}")
    if found is None:
        return Scalar("bytes", None, "the kernel reports no VmHWM, so the peak of host memory is unknown")
    return Scalar("bytes", float(int(found[1]) * KIB))
