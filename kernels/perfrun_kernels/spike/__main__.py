"""``python -m perfrun_kernels.spike``: makes sure that perfrun-netwatch's binary is there, and prints its path.

Whoever starts agents that cannot build it themselves calls this beforehand.
"""

from __future__ import annotations

import sys

from perfrun_kernels.faults import BrokenMeasurementError, UnmeasurableError
from perfrun_kernels.spike.watching import PROGRAM


def main() -> int:
    """Print the path and return 0, or say in a sentence what is missing and return 1."""
    try:
        found = PROGRAM.binary()
    except (BrokenMeasurementError, UnmeasurableError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{found}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
