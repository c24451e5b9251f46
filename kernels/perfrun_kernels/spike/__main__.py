"""``python -m perfrun_kernels.spike``: makes sure that perfrun-netwatch's binary is there, and prints its path.

Whoever starts agents that cannot build it themselves calls this beforehand.
"""

from __future__ import annotations

import sys

from perfrun_kernels import building
from perfrun_kernels.spike.watching import PROGRAM

if __name__ == "__main__":
    sys.exit(building.tell(PROGRAM.binary))
