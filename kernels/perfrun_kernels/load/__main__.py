"""``python -m perfrun_kernels.load``: makes sure that the generator's binary is there, and prints its path.

Whoever starts pods that cannot build it themselves calls this beforehand.
"""

from __future__ import annotations

import sys

from perfrun_kernels import building
from perfrun_kernels.load.finding import binary

if __name__ == "__main__":
    sys.exit(building.tell(binary))
