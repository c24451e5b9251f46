"""``python -m perfrun_kernels.network``: makes sure that the packet program's binary is there, and prints its path.

Whoever starts pods that cannot build it themselves calls this beforehand.
"""

from __future__ import annotations

import sys

from perfrun_kernels import building
from perfrun_kernels.network.netpath import PROGRAM

if __name__ == "__main__":
    sys.exit(building.tell(PROGRAM.binary))
