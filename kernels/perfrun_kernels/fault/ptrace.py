"""The few calls of ptrace(2) that stop threads; the standard library has none of them.

A thread that is seized and interrupted stands still until its tracer lets it go, or is gone: the kernel then detaches
it by itself. No option is set that would kill a thread with its tracer.
"""

from __future__ import annotations

import ctypes
import os
from typing import Final

WALL: Final = 0x40000000
"""__WALL: wait for threads as well as for processes."""

_SEIZE: Final = 0x4206
_INTERRUPT: Final = 0x4207
_OPTION_TRACECLONE: Final = 0x8
_SET_DEATH_SIGNAL: Final = 1
_SET_NAME: Final = 15

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
_libc.ptrace.restype = ctypes.c_long
_libc.prctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong)


def stop(thread: int) -> None:
    """Stop a thread at its next return to user space, and from its birth every thread that it still begins.

    Raises:
        ProcessLookupError: it has ended.
        PermissionError: it may not be traced, is traced already, or is just ending.
    """
    _call("seize", _libc.ptrace(_SEIZE, thread, None, _OPTION_TRACECLONE))
    _call("interrupt", _libc.ptrace(_INTERRUPT, thread, None, None))


def die_with_parent(signal_number: int) -> None:
    """Have the kernel send this process a signal when the thread that made it ends.

    Raises:
        OSError: the kernel refuses.
    """
    _call("prctl", _libc.prctl(_SET_DEATH_SIGNAL, signal_number, 0, 0, 0))


def set_name(name: bytes) -> None:
    """Name this process, as /proc and ps show it; at most 15 bytes.

    Raises:
        OSError: the kernel refuses.
    """
    buffer = ctypes.create_string_buffer(name)
    _call("prctl", _libc.prctl(_SET_NAME, ctypes.addressof(buffer), 0, 0, 0))


def _call(what: str, result: int) -> None:
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
