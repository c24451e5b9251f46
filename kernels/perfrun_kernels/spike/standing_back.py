"""Standing back for those who are watched: the agent's own work must not be the spike that it looks for.

A task that is woken waits for the slice of the one that runs, some milliseconds, whatever the weights of the two are.
Linux 6.12 and newer let a task ask for shorter slices; the kernel's smallest is a tenth of a millisecond.
"""

from __future__ import annotations

import ctypes
import os
import platform
from typing import Final

_SCHED_BATCH: Final = 3
"""The policy of tasks that take no CPU from others when they wake."""

_CALLS: Final = {"x86_64": 314, "aarch64": 274}
_NICE: Final = 10
_SLICE_NS: Final = 100_000


class _Attributes(ctypes.Structure):
    _fields_ = (
        ("size", ctypes.c_uint32), ("policy", ctypes.c_uint32), ("flags", ctypes.c_uint64), ("nice", ctypes.c_int32),
        ("priority", ctypes.c_uint32), ("runtime", ctypes.c_uint64), ("deadline", ctypes.c_uint64),
        ("period", ctypes.c_uint64),
    )  # fmt: skip


def stand_back() -> None:
    """Have this thread run in short slices and give way; what it starts from now on does so too.

    A kernel that knows no such call leaves it as it is.
    """
    number = _CALLS.get(platform.machine())
    if number is None:
        os.nice(_NICE)
        return
    wanted = _Attributes(policy=_SCHED_BATCH, nice=_NICE, runtime=_SLICE_NS)
    wanted.size = ctypes.sizeof(wanted)
    ctypes.CDLL(None, use_errno=True).syscall(number, 0, ctypes.byref(wanted), 0)
