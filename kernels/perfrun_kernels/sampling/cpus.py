"""How many CPUs this container may really use.

torch starts a thread for each CPU of the node. In a pod limited to two of sixty-four these throttle each other, and
the measurement shows the throttling instead of the model.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

CGROUP_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def usable(quota_file: Path = CGROUP_QUOTA) -> int:
    """Return the CPUs that affinity and the cgroup's quota (cgroup v2, ``cpu.max``) leave, at least 1."""
    affinity = len(os.sched_getaffinity(0))
    try:
        quota, period = quota_file.read_text(encoding="ascii").split()
        limit = affinity if quota == "max" else math.ceil(int(quota) / int(period))
    except (OSError, ValueError):
        limit = affinity
    return max(1, min(affinity, limit))


def name(info_file: Path = Path("/proc/cpuinfo")) -> str:
    """Return the processor's name as the kernel gives it, else the machine's architecture."""
    try:
        lines = info_file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or os.uname().machine
