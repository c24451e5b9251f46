"""How much memory this process holds, read when nothing is under way.

Before a reading, what nobody refers to is collected and the C library gives back what it can: what is left is held, or
lost. A reading leaves nothing behind itself, and rows are kept in memory that was taken beforehand, or watching would
be the leak that is found.
"""

from __future__ import annotations

import ctypes
import gc
import re
from array import array
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from perfrun_kernels.contract import Table
from perfrun_kernels.faults import UnmeasurableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROLLUP: Final = Path("/proc/self/smaps_rollup")
"""Sums of what the kernel counts page by page; the counters of /proc/self/statm are off by up to some hundred pages."""

KIB: Final = 1024


def resident(file: Path = ROLLUP) -> float:
    """Return this process's resident memory in bytes.

    Raises:
        UnmeasurableError: the kernel does not tell.
    """
    try:
        found = re.search(rb"^Rss:\s+(\d+) kB$", file.read_bytes(), re.MULTILINE)
    except OSError as error:
        raise UnmeasurableError("NoReading", f"resident memory cannot be read: {error}") from error
    if found is None:
        raise UnmeasurableError("NoReading", f"{file} names no Rss, so resident memory is unknown")
    return float(int(found[1]) * KIB)


@contextmanager
def collected() -> Iterator[None]:
    """Set aside what is there already, so that collecting looks at what comes later only and takes no time."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def settle() -> None:
    """Let go of what nobody refers to: Python's cycles, and free memory that the C library keeps (glibc only)."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


class Rows:
    """Rows of numbers in memory that is taken at once, for ``most`` rows; later ones are left out."""

    def __init__(self, columns: Sequence[str], most: int) -> None:
        self._columns = list(columns)
        self._numbers = array("d", [0.0]) * (most * len(columns))
        self._most = most
        self.count = 0

    def add(self, row: Sequence[float]) -> None:
        """Keep a row, one number for each column."""
        if self.count < self._most:
            width = len(self._columns)
            for at, number in enumerate(row):
                self._numbers[self.count * width + at] = number
            self.count += 1

    def table(self) -> Table:
        """Return the rows kept so far."""
        width = len(self._columns)
        return Table(
            columns=list(self._columns),
            rows=[self._numbers[at * width : (at + 1) * width].tolist() for at in range(self.count)],
        )
